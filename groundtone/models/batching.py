"""Continuous batching: requests join and leave a running batch between two tokens, whatever their length or adapter.

One thread owns the weights. Each of its steps drops the rows that are done or cancelled, prefills newcomers together,
and decodes one token for every row (models/decoding.py). Greedy: a reply is that of `LocalModel.generate` of its prompt
alone. Adapters of one base share a batch, row by row (PEFT's `adapter_names`).

transformers' own continuous batching pages its cache for GPUs; on a CPU it is slower than one prompt at a time, and
it runs one adapter for all rows (docs/serving.md has the figures).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

from groundtone.errors import ModelError
from groundtone.models.adapter import attach, dial_problem
from groundtone.models.decoding import PREFILL_TOKENS, Rows, advance, decoding_problem, newcomers
from groundtone.models.generate import LocalModel
from groundtone.models.tickets import StoppedError, Ticket
from groundtone.types import Generation, Prompt

__all__ = ["BatchedModel", "BatchingEngine"]

_PAUSE_S, _BURST_S = 0.003, 0.03  # an idle engine lets a burst in: until nobody came for so long, at most so long
_BASE = "__base__"  # PEFT's name for a row without any adapter


class BatchingEngine:
    """The thread that writes all replies of one base. It takes the model over: nobody else may generate with it.

    At most `rows` replies are written at once; newcomers are prefilled together up to `prefill_tokens` between two
    tokens of the others (one longer prompt alone), so that a burst of long prompts holds nobody up for long.
    """

    def __init__(self, local: LocalModel, *, rows: int = 16, prefill_tokens: int = PREFILL_TOKENS) -> None:
        problem = decoding_problem(local.base.model)
        if problem:
            raise ModelError(f"replies of {local.name!r} cannot be written together: {problem}")
        self.local = local
        self._rows_limit = rows
        self._prefill_tokens = prefill_tokens
        self._model = local.model
        self._adapters: dict[str, Path] = {}
        self._retired: set[str] = set()
        self._waiting: deque[Ticket] = deque()
        self._jobs: deque[tuple[Callable[[], None], Future[None]]] = deque()
        self._rows: Rows[Ticket] | None = None
        self._wake = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="groundtone-engine", daemon=True)
        self._thread.start()

    @property
    def running(self) -> int:
        """How many replies are being written."""
        rows = self._rows
        return sum(not ticket.over for ticket in rows.replies) if rows else 0

    @property
    def waiting(self) -> int:
        """How many replies have not begun."""
        return len(self._waiting)

    @property
    def adapters(self) -> tuple[str, ...]:
        """The names that can be asked for."""
        return tuple(name for name in self._adapters if name not in self._retired)

    def attach(self, name: str, folder: Path, *, allow_template_mismatch: bool = False) -> None:
        """Load an adapter beside the others. Raises ModelError where it does not fit the base or cannot share it."""
        problem = dial_problem(folder)
        if problem:
            raise ModelError(f"adapter {folder} cannot share its base with others: {problem}")

        def load() -> None:
            self._sweep()
            if name in self._adapters:
                raise ModelError(f"an adapter {name!r} is loaded already: detach it, or wait for its last reply")
            onto = None if self._model is self.local.base.model else self._model
            self._model = attach(
                self.local.base, folder, allow_template_mismatch=allow_template_mismatch, name=name, onto=onto
            )
            self._adapters[name] = folder

        self._between_tokens(load)

    def detach(self, name: str) -> None:
        """Answer no new requests with this adapter; its memory is freed when the last of its replies is written."""

        def retire() -> None:
            if name in self._adapters:
                self._retired.add(name)
            self._sweep()

        self._between_tokens(retire)

    def view(self, adapter: str | None = None) -> BatchedModel:
        """A Generator on these weights; None is the base."""
        return BatchedModel(self, adapter)

    def submit(self, prompt: Prompt, *, max_new_tokens: int, adapter: str | None = None) -> Ticket:
        """Ask for a reply. Raises PromptTooLongError for a prompt without room, ModelError for an unknown adapter."""
        ids = self.local.checked_ids(prompt, max_new_tokens)
        ticket = Ticket(self.local, ids, max_new_tokens=max_new_tokens, adapter=adapter)
        with self._wake:
            if self._closed:
                raise StoppedError("the engine is closed: start the server again")
            if adapter is not None and adapter not in self.adapters:
                raise ModelError(f"adapter {adapter!r} is not loaded (any more): ask for another model")
            self._waiting.append(ticket)
            self._wake.notify()
        return ticket

    def _between_tokens(self, work: Callable[[], None]) -> None:
        """Have the engine's thread do something to the weights, and wait for it; its error is raised here."""
        done: Future[None] = Future()
        with self._wake:
            if self._closed:
                raise StoppedError("the engine is closed: start the server again")
            self._jobs.append((work, done))
            self._wake.notify()
        done.result()

    def close(self) -> None:
        """Stop the thread; whoever still waits gets StoppedError."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join()
        self._fail_all(StoppedError("the engine was closed before the reply was whole"))

    def _run(self) -> None:
        while True:
            with self._wake:
                while not (self._closed or self._waiting or self._rows or self._jobs):
                    self._wake.wait()
                if self._rows is None and self._waiting:
                    self._let_burst_in()
            self._do_jobs()
            if self._closed:
                return
            try:
                with self.local.active(merging=False):
                    self._step()
            except Exception as error:  # such as memory running out: these replies fail, the next ones are written
                self._fail_all(ModelError(f"the model failed while writing ({type(error).__name__}: {error})"))

    def _let_burst_in(self) -> None:
        """Requests that come together are prefilled together: a batch that begins with one row stops for the others."""
        until = time.monotonic() + _BURST_S
        while len(self._waiting) < self._rows_limit and not self._closed and time.monotonic() < until:
            if not self._wake.wait(_PAUSE_S):
                return

    def _do_jobs(self) -> None:
        while self._jobs:
            work, done = self._jobs.popleft()
            try:
                work()
            except BaseException as error:  # handed to the thread that waits for it
                done.set_exception(error)
            else:
                done.set_result(None)

    def _step(self) -> None:
        rows = self._rows = self._rows.alive() if self._rows else None
        if self._retired:
            self._sweep()
        with self._wake:
            free = self._rows_limit - (len(rows.replies) if rows else 0)
            entering = newcomers(self._waiting, free=free, prefill_tokens=self._prefill_tokens)
        base = self.local.base
        try:
            self._rows = advance(
                self._model,
                rows,
                entering,
                pad=base.tokenizer.pad_token_id,
                device=base.device,
                named=(lambda ticket: ticket.adapter or _BASE) if self._adapters else None,
            )
        except Exception as error:
            for ticket in entering:
                ticket.fail(ModelError(f"the model failed on the prompt ({type(error).__name__}: {error})"))
            raise

    def _tickets(self) -> list[Ticket]:
        with self._wake:
            return [*self._waiting, *(self._rows.replies if self._rows else ())]

    def _sweep(self) -> None:
        """Free the retired adapters that no reply uses any more."""
        used = {ticket.adapter for ticket in self._tickets() if not ticket.over}
        for name in self._retired - used:
            self._model.delete_adapter(name)
            del self._adapters[name]
        self._retired &= used
        if not self._adapters and self._model is not self.local.base.model:
            self._model = self._model.unload()  # a wrapper that lost its last adapter still names it as the active one

    def _fail_all(self, error: ModelError) -> None:
        with self._wake:
            tickets = self._tickets()  # the condition's lock is reentrant
            self._waiting.clear()
            self._rows = None
        for ticket in tickets:
            ticket.fail(error)


class BatchedModel:
    """A Generator whose replies are written beside everybody else's. Views of one engine cost nothing."""

    def __init__(self, engine: BatchingEngine, adapter: str | None) -> None:
        self._engine = engine
        self._adapter = adapter
        self.name = engine.local.name + (f"+{adapter}" if adapter else "")

    def submit(self, prompt: Prompt, *, max_new_tokens: int) -> Ticket:
        """Ask for one reply, to be read, counted or cancelled; raises as `BatchingEngine.submit` does."""
        return self._engine.submit(prompt, max_new_tokens=max_new_tokens, adapter=self._adapter)

    def generate(self, prompts: Sequence[Prompt], *, max_new_tokens: int) -> list[Generation]:
        """One greedy reply per prompt, in order."""
        tickets = [self.submit(prompt, max_new_tokens=max_new_tokens) for prompt in prompts]
        return [ticket.result() for ticket in tickets]

    def stream(self, prompt: Prompt, *, max_new_tokens: int) -> Iterator[str]:
        """The reply in pieces; closing the iterator stops the writing."""
        return self.submit(prompt, max_new_tokens=max_new_tokens).pieces()

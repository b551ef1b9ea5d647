"""Continuous batching: requests join and leave a running batch between two tokens, whatever their length or adapter.

One thread owns the weights. Each of its steps drops the rows that are done or cancelled, prefills newcomers together,
and decodes one token for every row over one left-padded key-value cache. Greedy: a reply is that of
`LocalModel.generate` of its prompt alone. Adapters of one base share a batch, row by row (PEFT's `adapter_names`).

transformers' own continuous batching pages its cache for GPUs; on a CPU it is slower than one prompt at a time, and
it runs one adapter for all rows (docs/serving.md has the figures).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundtone.errors import ModelError
from groundtone.models.adapter import attach, dial_problem
from groundtone.models.generate import LocalModel
from groundtone.models.tickets import StoppedError, Ticket
from groundtone.types import Generation, Prompt

if TYPE_CHECKING:
    import torch

__all__ = ["BatchedModel", "BatchingEngine", "batching_problem"]

_BASE = "__base__"  # PEFT's name for a row without any adapter


@dataclass(slots=True)
class _Rows:
    """The running batch: row n of every tensor belongs to ticket n."""

    tickets: list[Ticket]
    cache: Any  # transformers.DynamicCache: keys and values (rows, heads, columns, width) per layer
    mask: torch.Tensor  # (rows, columns): 1 where the cache holds a token, 0 for padding on the left
    last: torch.Tensor  # (rows,): the token that was written last, not yet in the cache

    def keep(self, indices: Sequence[int]) -> None:
        """Drop all other rows, and the columns that are padding in every row that stays."""
        import torch

        wanted = torch.tensor(list(indices), device=self.mask.device)
        self.tickets = [self.tickets[n] for n in indices]
        self.mask, self.last = self.mask[wanted], self.last[wanted]
        self.cache.batch_select_indices(wanted)
        unused = int(self.mask.argmax(dim=1).min())
        if unused:
            self.mask = self.mask[:, unused:]
            for layer in self.cache.layers:
                layer.keys, layer.values = layer.keys[:, :, unused:], layer.values[:, :, unused:]

    def join(self, other: _Rows) -> None:
        """Take the other rows in; the narrower of the two is padded on the left."""
        import torch
        from torch.nn.functional import pad

        width = max(self.mask.shape[1], other.mask.shape[1])
        mine, theirs = width - self.mask.shape[1], width - other.mask.shape[1]
        self.mask = torch.cat([pad(self.mask, (mine, 0)), pad(other.mask, (theirs, 0))])
        self.last = torch.cat([self.last, other.last])
        self.tickets = self.tickets + other.tickets
        for own, new in zip(self.cache.layers, other.cache.layers, strict=True):
            own.keys = torch.cat([pad(own.keys, (0, 0, mine, 0)), pad(new.keys, (0, 0, theirs, 0))])
            own.values = torch.cat([pad(own.values, (0, 0, mine, 0)), pad(new.values, (0, 0, theirs, 0))])


class BatchingEngine:
    """The thread that writes all replies of one base. It takes the model over: nobody else may generate with it.

    At most `rows` replies are written at once; newcomers are prefilled together up to `prefill_tokens` between two
    tokens of the others (one longer prompt alone), so that a burst of long prompts holds nobody up for long.
    """

    def __init__(self, local: LocalModel, *, rows: int = 16, prefill_tokens: int = 4096) -> None:
        problem = batching_problem(local)
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
        self._rows: _Rows | None = None
        self._wake = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="groundtone-engine", daemon=True)
        self._thread.start()

    @property
    def running(self) -> int:
        """How many replies are being written."""
        rows = self._rows
        return sum(not ticket.over for ticket in rows.tickets) if rows else 0

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
            self._do_jobs()
            if self._closed:
                return
            try:
                with self.local.active():
                    self._step()
            except Exception as error:  # such as memory running out: these replies fail, the next ones are written
                self._fail_all(ModelError(f"the model failed while writing ({type(error).__name__}: {error})"))

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
        self._drop_done()
        newcomers = self._newcomers()
        if newcomers:
            fresh = self._prefill(newcomers)
            if self._rows is None:
                self._rows = fresh
            else:
                self._rows.join(fresh)
            self._drop_done()  # a reply may be whole with its first token
        if self._rows is not None:
            self._decode(self._rows)

    def _drop_done(self) -> None:
        rows = self._rows
        if rows is None:
            return
        alive = [n for n, ticket in enumerate(rows.tickets) if not ticket.over]
        if not alive:
            self._rows = None
        elif len(alive) < len(rows.tickets):
            rows.keep(alive)
        if self._retired:
            self._sweep()

    def _newcomers(self) -> list[Ticket]:
        """Waiting tickets, first come first served, as many as there are rows and prefill tokens for."""
        chosen: list[Ticket] = []
        occupied = len(self._rows.tickets) if self._rows else 0
        with self._wake:
            while self._waiting and occupied + len(chosen) < self._rows_limit:
                ticket = self._waiting[0]
                longest = max(len(t.ids) for t in [*chosen, ticket])
                if chosen and longest * (len(chosen) + 1) > self._prefill_tokens:
                    break
                self._waiting.popleft()
                if not ticket.over:
                    chosen.append(ticket)
        return chosen

    def _prefill(self, tickets: list[Ticket]) -> _Rows:
        import torch
        from transformers import DynamicCache

        device, pad = self.local.base.device, self.local.base.tokenizer.pad_token_id
        width = max(len(ticket.ids) for ticket in tickets)
        ids = torch.tensor([[pad] * (width - len(t.ids)) + t.ids for t in tickets], device=device)
        mask = torch.tensor([[0] * (width - len(t.ids)) + [1] * len(t.ids) for t in tickets], device=device)
        rows = _Rows(tickets, DynamicCache(), mask, ids[:, -1])
        try:
            self._forward(rows, ids, positions=(mask.cumsum(dim=1) - 1).clamp(min=0))
        except Exception as error:
            for ticket in tickets:
                ticket.fail(ModelError(f"the model failed on the prompt ({type(error).__name__}: {error})"))
            raise
        return rows

    def _decode(self, rows: _Rows) -> None:
        import torch

        positions = rows.mask.sum(dim=1, keepdim=True)
        rows.mask = torch.cat([rows.mask, torch.ones_like(rows.mask[:, :1])], dim=1)
        self._forward(rows, rows.last[:, None], positions=positions)

    def _forward(self, rows: _Rows, ids: torch.Tensor, *, positions: torch.Tensor) -> None:
        """Feed tokens (rows, n), choose the next one of every row, and hand it to its ticket."""
        named = {"adapter_names": [t.adapter or _BASE for t in rows.tickets]} if self._adapters else {}
        output = self._model(
            input_ids=ids,
            attention_mask=rows.mask,
            position_ids=positions,
            past_key_values=rows.cache,
            use_cache=True,
            logits_to_keep=1,
            **named,
        )
        rows.last = output.logits[:, -1].float().argmax(dim=-1)
        for ticket, token in zip(rows.tickets, rows.last.tolist(), strict=True):
            ticket.add(token)

    def _tickets(self) -> list[Ticket]:
        with self._wake:
            return [*self._waiting, *(self._rows.tickets if self._rows else ())]

    def _sweep(self) -> None:
        """Free the retired adapters that no reply uses any more."""
        used = {ticket.adapter for ticket in self._tickets() if not ticket.over}
        for name in self._retired - used:
            self._model.delete_adapter(name)
            del self._adapters[name]
        self._retired &= used

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


def batching_problem(local: LocalModel) -> str | None:
    """Why the model's memory of a text cannot be cut and joined by rows; None where it can."""
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

    known = (DynamicLayer, DynamicSlidingWindowLayer)  # their subclasses keep other states beside
    layers = DynamicCache(config=local.base.model.config).layers
    odd = next((layer for layer in layers if type(layer) not in known), None)
    if odd is None:
        return None
    return f"a layer keeps {type(odd).__name__.removesuffix('Layer')} states, not keys and values alone"

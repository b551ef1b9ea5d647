"""One request's generator: what it wrote is counted, its stop texts end it, and it stops when the client leaves."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace

from groundtone.errors import GroundtoneError
from groundtone.models.batching import BatchedModel
from groundtone.models.streaming import settled
from groundtone.models.tickets import StoppedError, Ticket
from groundtone.types import Generation, Generator, Prompt


class Call:
    """What a request wants of its models and what became of it. `cancel` may come from any thread.

    `prompt_tokens` and `reply_tokens` add up over everything that was generated for the request; None where a model
    was streamed that does not count.
    """

    def __init__(self, *, stops: Sequence[str] = (), whole: bool = False) -> None:
        """`whole`: nobody reads pieces, so that a model which counts only whole replies is asked for one."""
        self.whole = whole
        self.stops = tuple(stop for stop in stops if stop)
        self.prompt_tokens: int | None = 0
        self.reply_tokens: int | None = 0
        self.finish: str = "stop"
        self.asked = False  # whether a model was asked at all
        self.error: GroundtoneError | None = None  # what a model raised, even where the assistant only records it
        self._cancelled = threading.Event()
        self._tickets: list[Ticket] = []
        self._lock = threading.Lock()

    def speaking(self, inner: Generator) -> Generator:
        """The generator as this request uses it."""
        return _Speaker(self, inner)

    def cancel(self) -> None:
        """Stop generating: whoever reads gets StoppedError."""
        with self._lock:
            self._cancelled.set()
            tickets = list(self._tickets)
        for ticket in tickets:
            ticket.cancel()

    def begin(self) -> None:
        """A model is about to be asked. Raises StoppedError where the request was cancelled."""
        self.check()
        self.asked = True

    def check(self) -> None:
        """Raises StoppedError where the request was cancelled."""
        if self._cancelled.is_set():
            raise StoppedError("the request was cancelled")

    def hold(self, ticket: Ticket) -> None:
        """Cancel this ticket too when the request is cancelled."""
        with self._lock:
            self._tickets.append(ticket)
        if self._cancelled.is_set():
            ticket.cancel()

    def count(self, generation: Generation) -> None:
        """Add what was generated."""
        self.finish = generation.finish
        if self.prompt_tokens is not None and self.reply_tokens is not None:
            self.prompt_tokens += generation.prompt_tokens
            self.reply_tokens += generation.reply_tokens

    def lose_count(self) -> None:
        """A model that does not count was streamed."""
        self.prompt_tokens = self.reply_tokens = None


class _Speaker:
    """A Generator around another one, for one call."""

    def __init__(self, call: Call, inner: Generator) -> None:
        self._call = call
        self._inner = inner
        self.name = inner.name

    def generate(self, prompts: Sequence[Prompt], *, max_new_tokens: int) -> list[Generation]:
        self._call.begin()
        try:
            generations = self._all(prompts, max_new_tokens)
        except GroundtoneError as error:
            self._call.error = error
            raise
        cut = [self._cut(generation) for generation in generations]
        for generation in cut:
            self._call.count(generation)
        return cut

    def stream(self, prompt: Prompt, *, max_new_tokens: int) -> Iterator[str]:
        self._call.begin()
        if isinstance(self._inner, BatchedModel):
            ticket = self._submit(self._inner, prompt, max_new_tokens)
            yield from settled(self._growing(ticket.pieces()), stops=self._call.stops)
            self._call.count(ticket.generation())
            if self._stopped:
                self._call.finish = "stop"
            return
        if self._call.whole:
            yield self.generate([prompt], max_new_tokens=max_new_tokens)[0].text
            return
        yield from settled(
            self._growing(self._inner.stream(prompt, max_new_tokens=max_new_tokens)), stops=self._call.stops
        )
        self._call.lose_count()

    def _all(self, prompts: Sequence[Prompt], max_new_tokens: int) -> list[Generation]:
        if isinstance(self._inner, BatchedModel):
            tickets = [self._submit(self._inner, prompt, max_new_tokens) for prompt in prompts]
            return [ticket.result() for ticket in tickets]
        return self._inner.generate(prompts, max_new_tokens=max_new_tokens)

    def _submit(self, model: BatchedModel, prompt: Prompt, max_new_tokens: int) -> Ticket:
        ticket = model.submit(prompt, max_new_tokens=max_new_tokens)
        self._call.hold(ticket)
        return ticket

    def _cut(self, generation: Generation) -> Generation:
        """The reply up to the first of the request's stop texts."""
        at = min((i for stop in self._call.stops if (i := generation.text.find(stop)) >= 0), default=-1)
        return generation if at < 0 else replace(generation, text=generation.text[:at].strip(), finish="stop")

    def _growing(self, pieces: Iterator[str]) -> Iterator[str]:
        """Prefixes of the reply; the rest is not asked for once a stop text is in it."""
        text = ""
        self._stopped = False
        for piece in pieces:
            self._call.check()
            text += piece
            yield text
            if any(stop in text for stop in self._call.stops):
                self._stopped = True
                break
        pieces.close()  # type: ignore[attr-defined]

"""A reply that one thread writes and another one reads: tokens go in, pieces of text come out."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator

from groundtone.errors import ModelError
from groundtone.models.generate import LocalModel
from groundtone.models.streaming import settled
from groundtone.types import Generation

__all__ = ["StoppedError", "Ticket"]


class StoppedError(ModelError):
    """The request was cancelled, or its engine closed, before the reply was whole."""


class Ticket:
    """One reply that is being written: tokens go in from the engine's thread, pieces of text come out to one reader."""

    def __init__(self, local: LocalModel, ids: list[int], *, max_new_tokens: int, adapter: str | None) -> None:
        self.ids = ids
        self.adapter = adapter
        self.new_ids: list[int] = []
        self._local = local
        self._limit = max_new_tokens
        self._stops = frozenset(local.stop_ids())
        self._tokens: queue.SimpleQueue[int | BaseException | None] = queue.SimpleQueue()
        self._over = threading.Event()
        self._lock = threading.Lock()  # whichever end comes first is the only one

    @property
    def over(self) -> bool:
        """Whether nothing more will be written: the reply is whole, has failed, or was cancelled."""
        return self._over.is_set()

    def pieces(self) -> Iterator[str]:
        """The reply as it is written; closing the iterator cancels the rest. Raises what stopped the engine."""
        return settled(self._growing(), stops=self._local.format.stops)

    def result(self) -> Generation:
        """The whole reply, once it is written."""
        for _ in self._taken():
            pass
        return self.generation()

    def generation(self) -> Generation:
        """What was written so far, with its counts."""
        return self._local.generation(self.new_ids, prompt_tokens=len(self.ids))

    def cancel(self) -> None:
        """Stop writing; a reader that waits gets StoppedError at once, the row is dropped before the next step."""
        self.fail(StoppedError("the reply was cancelled before it was whole"))

    def fail(self, error: BaseException) -> None:
        """Hand the reader an error instead of the rest."""
        with self._lock:
            if not self.over:
                self._over.set()
                self._tokens.put(error)

    def add(self, token: int) -> None:
        """One more token, from the engine's thread; the reply may be whole with it."""
        with self._lock:
            if self.over:
                return
            self.new_ids.append(token)
            if token not in self._stops:
                self._tokens.put(token)
            if self._local.is_whole(self.new_ids, limit=self._limit, stops=self._stops):
                self._over.set()
                self._tokens.put(None)

    def _growing(self) -> Iterator[str]:
        seen: list[int] = []
        try:
            for tokens in self._taken():
                seen += tokens
                yield self._local.format.decode(seen)
        finally:
            if not self.over:
                self.cancel()

    def _taken(self) -> Iterator[list[int]]:
        """The tokens that are there, at least one at a time: a slow reader decodes several at once."""
        while True:
            found: list[int | BaseException | None] = [self._tokens.get()]
            while not self._tokens.empty():
                found.append(self._tokens.get())
            if tokens := [item for item in found if isinstance(item, int)]:
                yield tokens
            last = found[-1]
            if isinstance(last, BaseException):
                raise last
            if last is None:
                return

"""A reply between two worlds: a thread writes it, the event loop passes it on, and either may end it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Generic, TypeVar

from starlette.types import Receive

from groundtone.server.errors import ApiError
from groundtone.server.limits import Desk

Part = TypeVar("Part")
Result = TypeVar("Result")


class Work(Generic[Part]):
    """What `produce` yields in a thread of the desk, as an asynchronous iterator that may be cancelled.

    `cancel` must make `produce` stop soon. It is called when the time is over and when the reader calls `stop`.
    """

    def __init__(
        self, desk: Desk, produce: Callable[[], Iterator[Part]], *, cancel: Callable[[], None], timeout_s: float
    ) -> None:
        """Raises ApiError where the desk takes nothing more on."""
        self._loop = asyncio.get_running_loop()
        self._parts: asyncio.Queue[Part | BaseException | None] = asyncio.Queue()
        self._cancel = cancel
        self._deadline = self._loop.time() + timeout_s
        self._timeout_s = timeout_s
        self._over = False
        self._future = desk.start(lambda: self._run(produce))

    async def __aiter__(self) -> AsyncIterator[Part]:
        """Parts in order. Raises what `produce` raised, or 503 when the time is over."""
        while not self._over:
            try:
                async with asyncio.timeout_at(self._deadline):
                    part = await self._parts.get()
            except TimeoutError:
                self.stop()
                message = f"the reply was not whole after {self._timeout_s:g} s: ask for fewer tokens, or later"
                raise ApiError(503, message, code="timeout", retry_s=5) from None
            if part is None or isinstance(part, BaseException):
                self._over = True
                if part is not None:
                    raise part
                return
            yield part

    def stop(self) -> None:
        """Nobody wants the rest."""
        self._over = True
        self._cancel()
        self._future.cancel()  # where no thread has begun

    def _run(self, produce: Callable[[], Iterator[Part]]) -> None:
        last: BaseException | None = None
        try:
            for part in produce():
                self._put(part)
        except BaseException as error:  # handed to the reader, who raises it
            last = error
        self._put(last)

    def _put(self, part: Part | BaseException | None) -> None:
        self._loop.call_soon_threadsafe(self._parts.put_nowait, part)


class ClientGoneError(Exception):
    """The client has left; nobody waits for the answer."""


async def gone(receive: Receive) -> None:
    """Returns when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def unless_gone(doing: Coroutine[Any, Any, Result], receive: Receive) -> Result:
    """The coroutine's result. Raises ClientGoneError when the client leaves before; then it is cancelled."""
    task, leaving = asyncio.ensure_future(doing), asyncio.ensure_future(gone(receive))
    try:
        await asyncio.wait({task, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGoneError
        return task.result()
    finally:
        for each in (task, leaving):
            each.cancel()

"""How much the server takes on: a rate per caller, a size and a time per request, and a queue that ends."""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from groundtone.server.errors import ApiError

_REMEMBERED = 10_000  # callers whose bucket is kept; the one not seen for longest is forgotten


@dataclass(slots=True)
class _Bucket:
    tokens: float
    seen_s: float


class Rates:
    """A token bucket per caller: `per_minute` on average, a quarter of that at once. 0 lets everything through."""

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_minute / 60
        self._burst = max(1.0, per_minute / 4)
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, caller: str) -> None:
        """Count one request. Raises 429 with the seconds to wait."""
        if not self._per_s:
            return
        now = self._clock()
        bucket = self._buckets.pop(caller, None) or _Bucket(self._burst, now)
        bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.seen_s) * self._per_s)
        bucket.seen_s = now
        self._buckets[caller] = bucket
        while len(self._buckets) > _REMEMBERED:
            self._buckets.popitem(last=False)
        if bucket.tokens < 1:
            wait_s = (1 - bucket.tokens) / self._per_s
            message = f"more than {self._per_s * 60:.0f} requests a minute: try again in {math.ceil(wait_s)} s"
            raise ApiError(429, message, code="rate_limit_exceeded", retry_s=math.ceil(wait_s))
        bucket.tokens -= 1


class Desk:
    """Threads for the requests in work, and a line before them that ends. Used from the event loop alone."""

    def __init__(self, *, running: int, waiting: int) -> None:
        self._threads = ThreadPoolExecutor(running, thread_name_prefix="groundtone-request")
        self._room = running + waiting
        self._inside = 0
        self.draining = False  # set while the server is being stopped

    @property
    def inside(self) -> int:
        """How many requests are worked on or wait."""
        return self._inside

    def check(self) -> None:
        """Raises 503 while the server is being stopped."""
        if self.draining:
            raise ApiError(503, "the server is being stopped: ask again in a moment", code="draining", retry_s=5)

    def start(self, work: Callable[[], None]) -> Future[None]:
        """Have a thread do the work, in turn. Raises 503 while draining, 429 when the line is full."""
        self.check()
        if self._inside >= self._room:
            message = f"{self._inside} requests are being worked on or wait, which is as many as there is room for"
            raise ApiError(429, message, code="queue_full", retry_s=2)
        loop = asyncio.get_running_loop()
        future = self._threads.submit(work)
        self._inside += 1
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._leave))
        return future

    def close(self) -> None:
        """Wait for the requests in work; those that wait are dropped."""
        self.draining = True
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _leave(self) -> None:
        self._inside -= 1


class Bounded:
    """ASGI around the application: double slashes folded, bodies that are too long or come too slowly refused."""

    def __init__(self, app: ASGIApp, *, max_body_bytes: int, body_timeout_s: float) -> None:
        self._app = app
        self._max_bytes = max_body_bytes
        self._timeout_s = body_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = {**scope, "path": re.sub("/{2,}", "/", scope["path"])}
        try:
            body, gone = await self._body(scope, receive)
        except ApiError as error:
            response = error.response()
            response.headers["Connection"] = "close"  # the rest of the body is not read
            await response(scope, receive, send)
            return
        if not gone:
            await self._app(scope, _replayed(body, receive), send)

    async def _body(self, scope: Scope, receive: Receive) -> tuple[bytes, bool]:
        """The whole body, and whether the client left while sending it. Raises 413 or 400."""
        named = dict(scope["headers"]).get(b"content-length", b"0")
        if named.isdigit() and int(named[:18]) > self._max_bytes:
            raise self._too_long(int(named))
        body = bytearray()
        try:
            async with asyncio.timeout(self._timeout_s):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return b"", True
                    body += message.get("body", b"")
                    if len(body) > self._max_bytes:
                        raise self._too_long(len(body))
                    if not message.get("more_body", False):
                        return bytes(body), False
        except TimeoutError:
            message_ = f"the request was not sent within {self._timeout_s:g} s"
            raise ApiError(400, message_, code="request_timeout") from None

    def _too_long(self, seen: int) -> ApiError:
        message = f"the request has {seen} bytes or more, the limit is {self._max_bytes}: send less at once"
        return ApiError(413, message, code="request_too_large")


def _replayed(body: bytes, receive: Receive) -> Receive:
    """The body as one message, then what the connection says next (that the client has left)."""
    told = False

    async def replay() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay

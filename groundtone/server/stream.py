"""Server-sent events that end when the client leaves, or takes too long to read them."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from groundtone.server.work import gone

log = logging.getLogger("groundtone.server")

DONE = b"data: [DONE]\n\n"
_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}  # no proxy may hold pieces back


def event(data: Mapping[str, Any], *, name: str = "") -> bytes:
    """One event; JSON in ASCII, so that no half character can break it."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data, separators=(',', ':'))}\n\n".encode("ascii")


class EventStream(Response):
    """Sends events as they come; the generator is closed in any case, which stops whoever produces them."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[bytes, None], *, send_timeout_s: float) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._events = events
        self._send_timeout_s = send_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the events end or the client is gone."""
        sending, leaving = asyncio.ensure_future(self._send(send)), asyncio.ensure_future(gone(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, leaving):
                task.cancel()
            ended = await asyncio.gather(sending, leaving, return_exceptions=True)
            await self._events.aclose()
        if isinstance(ended[0], TimeoutError | OSError):
            log.info("a client did not take its reply (%s)", type(ended[0]).__name__)
        elif isinstance(ended[0], Exception):
            raise ended[0]

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for part in self._events:
            async with asyncio.timeout(self._send_timeout_s):
                await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

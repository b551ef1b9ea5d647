"""What the OpenAPI document says beyond the shapes: how to send a key, which errors there are, what a stream is."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from groundtone.server.shapes import ErrorReply, Listed
from groundtone.server.state import Caller, of

_bearer = HTTPBearer(
    auto_error=False, description="A key of `groundtone serve keys add`; anything while none is needed."
)
_REASONS = {
    400: "The request is wrong, or longer than the model's context.",
    401: "No valid key.",
    404: "No such model for this caller.",
    413: "The request is too large.",
    429: "Too many requests, by this key or altogether; `Retry-After` says when to ask again.",
    500: "The server failed; its log has the details.",
    503: "Not available: being stopped, no index, no disk space, or too slow.",
}

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorReply, "description": reason} for status, reason in _REASONS.items()
}
PLAIN: dict[int | str, dict[str, Any]] = {200: {"model": Listed, "description": "As OpenAI's server answers."}}
STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "model": Listed,
        "description": "As OpenAI's server answers, with `x_grounding`; server-sent events for `stream: true`.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}


async def _caller(
    request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)] = None
) -> Caller:
    return await of(request).caller(request)


CallerOf = Annotated[Caller, Depends(_caller)]

"""What goes wrong as OpenAI's clients expect it: {"error": {"message", "type", "param", "code"}} with a status."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from groundtone.errors import GroundtoneError, IntegrityError, ModelError, ProjectError, PromptTooLongError
from groundtone.models.tickets import StoppedError

log = logging.getLogger("groundtone.server")

_LONGEST_VALUE = 60  # characters of a value that a message repeats
_TYPES = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}


class ApiError(Exception):
    """An answer to the client that is no success."""

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None, retry_s: float = 0
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.headers = {"Retry-After": str(max(1, round(retry_s)))} if retry_s else {}
        if status == 401:
            self.headers["WWW-Authenticate"] = "Bearer"

    @property
    def body(self) -> dict[str, Any]:
        """The error object."""
        kind = _TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        """The error as a whole response."""
        return JSONResponse(self.body, self.status, headers=self.headers)


def as_api_error(error: BaseException) -> ApiError:
    """What a client is told of an exception; one that nobody meant to raise is logged and not described."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, PromptTooLongError):
        return ApiError(400, str(error), param="messages", code="context_length_exceeded")
    if isinstance(error, StoppedError):
        return ApiError(503, str(error), code="stopped", retry_s=1)
    if isinstance(error, ModelError | ProjectError | IntegrityError):
        log.warning("not available: %s", error)
        return ApiError(503, str(error), code="not_available", retry_s=5)
    if isinstance(error, GroundtoneError):
        return ApiError(400, str(error))
    log.error("a request failed", exc_info=error)
    return ApiError(500, "the server failed on this request; its log has the details", code="internal_error")


def install(app: FastAPI) -> None:
    """Make every error of the application one of ours."""

    async def ours(request: Request, error: Exception) -> JSONResponse:
        return as_api_error(error).response()

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return _invalid(error).response()

    async def http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return _http(error, request.scope["path"])

    app.add_exception_handler(ApiError, ours)
    app.add_exception_handler(GroundtoneError, ours)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, ours)


def _invalid(error: RequestValidationError) -> ApiError:
    """All that is wrong with a request, the first field named as `param`."""
    problems = list(dict.fromkeys((_where(found["loc"]), _what(found)) for found in error.errors()))
    shown = "; ".join(f"{where}: {what}" if where else what for where, what in problems[:5])
    return ApiError(400, _printable(shown), param=_printable(problems[0][0]) or None, code="invalid_request")


def _where(place: tuple[int | str, ...]) -> str:
    """The field; the kinds that pydantic tried for it ("list[str]") and the place where JSON ends are none."""
    fields = [str(part) for part in place if part != "body" and "[" not in str(part)]
    return ".".join(fields) if place[1:] and not isinstance(place[1], int) else ""


def _what(found: Mapping[str, Any]) -> str:
    """What is wrong with it, and the value seen where it is short."""
    if found["type"] == "json_invalid":
        return f"the body is no JSON: {found['ctx']['error']} at character {found['loc'][1]}"
    if found["loc"] == ("body",) and found["type"] in ("missing", "model_attributes_type"):
        return "the body must be a JSON object, sent with the header `Content-Type: application/json`"
    value = found["input"]
    short = isinstance(value, int | float) or (isinstance(value, str) and len(value) <= _LONGEST_VALUE)
    return f"{found['msg']}{f', got {value!r}' if short else ''}".removeprefix("Value error, ")


def _http(error: HTTPException, path: str) -> JSONResponse:
    known: Mapping[int, str] = {
        404: f"there is nothing at {_printable(path)[:200]}: the document at /docs lists what there is",
        405: "this address does not take that method",
    }
    message = known.get(error.status_code, str(error.detail))
    response = ApiError(error.status_code, message).response()
    response.headers.update(error.headers or {})
    return response


def _printable(text: str) -> str:
    """The text without half characters, which JSON as UTF-8 cannot carry."""
    return text.encode("utf-8", "replace").decode("utf-8")

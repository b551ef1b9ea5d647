"""`groundtone chat --json`: a model behind JSON lines, so that a page can chat without loading weights itself.

    first line out  {"event": "ready"}
    in              {"id": "7", "arm": "tuned/rag", "question": "...", "history": [["user", "..."], ...]}
    out             {"id": "7", "event": "piece", "text": "..."} *, then one of
                    {"id": "7", "event": "answer", "answer": {...}}   {"id": "7", "event": "error", "message": "..."}

One request is answered at a time, in order. A bad request is answered by an error; the worker lives until stdin ends.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TextIO

from groundtone.errors import DataError, GroundtoneError
from groundtone.types import Answer, Turn

if TYPE_CHECKING:
    from groundtone.assistant import Assistant


@dataclass(frozen=True, slots=True)
class _Request:
    id: str
    arm: str
    question: str
    history: tuple[Turn, ...]


def serve_lines(
    open_assistant: Callable[[str], Assistant],
    *,
    default_arm: str,
    requests: TextIO | None = None,
    replies: TextIO | None = None,
) -> None:
    """Answer requests until stdin ends. Every question opens its arm anew, so that a promotion counts at once.

    `open_assistant` keeps what is expensive: the weights, the index, the reader.
    """
    out = replies or sys.stdout
    with redirect_stdout(sys.stderr):  # a library that prints must not break the protocol
        _send(out, {"event": "ready"})
        for line in requests or sys.stdin:
            if line.strip():
                _serve_one(line, out, open_assistant, default_arm)


def _serve_one(line: str, out: TextIO, open_assistant: Callable[[str], Assistant], default_arm: str) -> None:
    request_id: str | None = None
    try:
        request_id = _id_of(line)
        request = _parse(line, default_arm)
        for part in open_assistant(request.arm).stream(request.question, history=request.history):
            if isinstance(part, Answer):
                _send(out, {"id": request.id, "event": "answer", "answer": asdict(part)})
            else:
                _send(out, {"id": request.id, "event": "piece", "text": part})
    except GroundtoneError as error:
        _send(out, {"id": request_id, "event": "error", "message": str(error)})
    except Exception as error:  # the boundary of the process: one bad question must not end the conversation
        traceback.print_exc(file=sys.stderr)
        message = f"the answer failed ({type(error).__name__}: {error}); the worker's log has the details"
        _send(out, {"id": request_id, "event": "error", "message": message})


def _id_of(line: str) -> str | None:
    """The request's id, so that even a malformed request is answered under it."""
    try:
        body = json.loads(line)
    except ValueError:
        return None
    return str(body["id"]) if isinstance(body, dict) and "id" in body else None


def _parse(line: str, default_arm: str) -> _Request:
    """One request. Raises DataError that says what is wrong with it."""
    try:
        body = json.loads(line)
        history = tuple(_turn(role, text) for role, text in body.get("history") or ())
        question = body["question"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"not a chat request ({type(error).__name__}: {error}): {line.strip()[:120]!r}") from error
    if not isinstance(question, str) or not question.strip():
        raise DataError(f"the question is empty or no text: {question!r}")
    return _Request(str(body.get("id", "")), str(body.get("arm") or default_arm), question, history)


def _turn(role: Any, text: Any) -> Turn:
    if role not in ("user", "assistant"):
        raise ValueError(f"a turn is by user or assistant, not {role!r}")
    return Turn(role, str(text))


def _send(out: TextIO, event: dict[str, Any]) -> None:
    out.write(json.dumps(event, default=str) + "\n")  # ASCII, so that no locale can break it
    out.flush()

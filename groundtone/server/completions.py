"""POST /v1/chat/completions and /v1/completions, whole or streamed."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from groundtone.server.documents import ERRORS, STREAM, CallerOf
from groundtone.server.errors import ApiError
from groundtone.server.evidence import grounding, url_citations
from groundtone.server.replies import Reply, conversation, error_event, usage_of, wanted_of
from groundtone.server.shapes import Asked, ChatRequest, CompletionRequest
from groundtone.server.state import Caller, State, of, texts
from groundtone.server.stream import DONE, EventStream, event
from groundtone.server.work import ClientGoneError, unless_gone
from groundtone.types import Answer

router = APIRouter()


@router.post("/v1/chat/completions", responses={**STREAM, **ERRORS})
async def chat(request: Request, asked: ChatRequest, caller: CallerOf) -> Response:
    """Answer the last message of a conversation, from the documents where the model id says so."""
    state = of(request)
    question, history, ignored = conversation(asked.messages)
    wanted = wanted_of(asked, question, state, history=history, ignored=ignored)
    await state.check_model(caller, asked.model)
    replies = [Reply(state, caller, wanted)]
    if asked.stream:
        return await _streamed(request, state, asked, replies, _Chat(replies))
    return await _whole(request, replies, _Chat(replies))


@router.post("/v1/completions", responses={**STREAM, **ERRORS})
async def complete(request: Request, asked: CompletionRequest, caller: CallerOf) -> Response:
    """Answer each prompt as a question without a conversation before it."""
    state = of(request)
    prompts = texts(asked.prompt)
    wanted = [wanted_of(asked, prompt, state) for prompt in prompts]
    await state.check_model(caller, asked.model)
    replies = _started(state, caller, wanted)
    shape = _Text(replies, echoed=prompts if asked.echo else [""] * len(prompts))
    if asked.stream:
        return await _streamed(request, state, asked, replies, shape)
    return await _whole(request, replies, shape)


def _started(state: State, caller: Caller, wanted: Sequence[Any]) -> list[Reply]:
    """All replies at once, so that they share a batch; none where there is no room for all."""
    replies: list[Reply] = []
    try:
        for one in wanted:  # not a comprehension: those before the one that fails must be stopped
            replies.append(Reply(state, caller, one))  # noqa: PERF401
    except ApiError:
        for reply in replies:
            reply.stop()
        raise
    return replies


class _Chat:
    """Chat completions: what a whole reply and the chunks of a streamed one look like."""

    kind, chunk_kind = "chat.completion", "chat.completion.chunk"

    def __init__(self, replies: Sequence[Reply]) -> None:
        self.id = f"chatcmpl-{secrets.token_hex(12)}"
        self._reply = replies[0]

    def choice(self, index: int, answer: Answer) -> dict[str, Any]:
        message = {
            "role": "assistant",
            "content": answer.text,
            "refusal": None,
            "annotations": url_citations(answer),
        }
        return {"index": index, "message": message, "logprobs": None, "finish_reason": self._reply.finish}

    def first(self, index: int) -> dict[str, Any] | None:
        return self._delta(index, {"role": "assistant", "content": ""})

    def piece(self, index: int, text: str) -> dict[str, Any]:
        return self._delta(index, {"content": text})

    def cited(self, index: int, answer: Answer) -> dict[str, Any] | None:
        found = url_citations(answer)
        return self._delta(index, {"annotations": found}) if found else None

    def last(self, index: int) -> dict[str, Any]:
        return self._delta(index, {}, finish=self._reply.finish)

    def _delta(self, index: int, delta: dict[str, Any], *, finish: str | None = None) -> dict[str, Any]:
        return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}


class _Text:
    """Text completions: the same for prompts without a conversation."""

    kind = chunk_kind = "text_completion"

    def __init__(self, replies: Sequence[Reply], *, echoed: Sequence[str]) -> None:
        self.id = f"cmpl-{secrets.token_hex(12)}"
        self._replies = replies
        self._echoed = echoed

    def choice(self, index: int, answer: Answer) -> dict[str, Any]:
        return self._said(index, self._echoed[index] + answer.text, finish=self._replies[index].finish)

    def first(self, index: int) -> dict[str, Any] | None:
        return self._said(index, self._echoed[index]) if self._echoed[index] else None

    def piece(self, index: int, text: str) -> dict[str, Any]:
        return self._said(index, text)

    def cited(self, index: int, answer: Answer) -> dict[str, Any] | None:
        return None

    def last(self, index: int) -> dict[str, Any]:
        return self._said(index, "", finish=self._replies[index].finish)

    def _said(self, index: int, text: str, *, finish: str | None = None) -> dict[str, Any]:
        return {"index": index, "text": text, "logprobs": None, "finish_reason": finish}


async def _whole(request: Request, replies: Sequence[Reply], shape: _Chat | _Text) -> Response:
    async def collected() -> list[Answer]:
        return [await reply.answer() for reply in replies]

    try:
        answers = await unless_gone(collected(), request.receive)
    except ClientGoneError:
        return Response(status_code=499)  # nobody reads it
    finally:
        for reply in replies:
            reply.stop()
    body = _head(shape, replies) | {
        "object": shape.kind,
        "choices": [shape.choice(n, answer) for n, answer in enumerate(answers)],
        "usage": usage_of(replies),
        "x_grounding": _grounding(replies, answers),
    }
    return JSONResponse(body)


async def _streamed(
    request: Request, state: State, asked: Asked, replies: Sequence[Reply], shape: _Chat | _Text
) -> Response:
    """The stream, once its first part is there: what fails before that is an error with a status."""
    parts = replies[0].parts()
    try:
        first = await unless_gone(_next(parts), request.receive)
    except ClientGoneError:
        return Response(status_code=499)
    usage = bool(asked.stream_options and asked.stream_options.include_usage)
    events = _events(replies, shape, first, parts, usage=usage)
    return EventStream(events, send_timeout_s=state.settings.server.send_timeout_s)


async def _events(
    replies: Sequence[Reply],
    shape: _Chat | _Text,
    first: str | Answer,
    rest: AsyncIterator[str | Answer],
    *,
    usage: bool,
) -> AsyncGenerator[bytes, None]:
    """Role, pieces, citations, the reason of the end; usage where it was asked for; [DONE]. An error ends it early."""
    head = _head(shape, replies) | {"object": shape.chunk_kind}
    if usage:
        head["usage"] = None  # on every chunk but the last one, as OpenAI does

    def chunk(choice: dict[str, Any] | None, **more: Any) -> bytes:
        return event(head | {"choices": [choice]} | more) if choice else b""

    try:
        for index, reply in enumerate(replies):
            yield chunk(shape.first(index))
            async for part in _chained(first, rest) if index == 0 else reply.parts():
                if not isinstance(part, Answer):
                    yield chunk(shape.piece(index, part))
                    continue
                yield chunk(shape.cited(index, part))
                yield chunk(shape.last(index), x_grounding=_grounding([reply], [part]))
        if usage:
            yield event(head | {"choices": [], "usage": usage_of(replies)})
        yield DONE
    except Exception as error:  # the status was sent long ago: the client is told in an event
        yield event(error_event(error), name="error")
    finally:
        for reply in replies:
            reply.stop()


async def _next(parts: AsyncIterator[str | Answer]) -> str | Answer:
    return await anext(parts)


async def _chained(first: str | Answer, rest: AsyncIterator[str | Answer]) -> AsyncIterator[str | Answer]:
    yield first
    async for part in rest:
        yield part


def _head(shape: _Chat | _Text, replies: Sequence[Reply]) -> dict[str, Any]:
    reply = replies[0]
    return {"id": shape.id, "created": reply.created, "model": reply.wanted.model, "system_fingerprint": None}


def _grounding(replies: Sequence[Reply], answers: Sequence[Answer]) -> dict[str, Any] | list[dict[str, Any]]:
    """Of the only answer; of several, a list in their order."""
    found = [grounding(a, ignored=r.ignored) for r, a in zip(replies, answers, strict=True)]
    return found[0] if len(found) == 1 else found

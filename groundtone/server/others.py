"""The smaller endpoints: models, embeddings, feedback, health, metrics."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from groundtone.feedback import Vote
from groundtone.server.arms import Arm, unknown_model
from groundtone.server.documents import ERRORS, PLAIN, CallerOf
from groundtone.server.errors import ApiError
from groundtone.server.shapes import (
    CorrectionFeedback,
    EmbeddingRequest,
    Feedback,
    VerdictFeedback,
    VoteFeedback,
)
from groundtone.server.state import Caller, State, of, texts
from groundtone.server.work import Work
from groundtone.types import Preference, Verdict

router = APIRouter()


@router.get("/v1/models", responses={**PLAIN, **ERRORS})
async def models(request: Request, caller: CallerOf) -> Response:
    """Every model id that this caller may ask for."""
    return JSONResponse({"object": "list", "data": [_model(arm) for arm in await _allowed(of(request), caller)]})


@router.get("/v1/models/{model:path}", responses={**PLAIN, **ERRORS})
async def model(request: Request, model: str, caller: CallerOf) -> Response:
    """One of them."""
    for arm in await _allowed(of(request), caller):
        if arm.id == model:
            return JSONResponse(_model(arm))
    raise unknown_model(model)


async def _allowed(state: State, caller: Caller) -> list[Arm]:
    arms = [*await run_in_threadpool(state.arms.listed), Arm(state.settings.retrieval.encoder, 0)]
    return [arm for arm in arms if caller.allows(arm.id)]


def _model(arm: Arm) -> dict[str, Any]:
    return {"id": arm.id, "object": "model", "created": arm.created, "owned_by": "groundtone"}


@router.post("/v1/embeddings", responses={**PLAIN, **ERRORS})
async def embeddings(request: Request, asked: EmbeddingRequest, caller: CallerOf) -> Response:
    """Unit vectors of the project's sentence encoder."""
    state = of(request)
    name = state.settings.retrieval.encoder
    if asked.model != name or not caller.allows(name):
        raise unknown_model(asked.model, f"the encoder is {name}")

    def encode() -> Iterator[tuple[list[Any], int]]:
        encoder = state.encoder()
        inputs = texts(asked.input)
        if asked.dimensions not in (None, encoder.dim):
            message = f"dimensions is {asked.dimensions}, but {name} has {encoder.dim}: leave it away"
            raise ApiError(400, message, param="dimensions")
        vectors = encoder.encode(inputs)
        read = sum(len(encoder.token_offsets(text)) for text in inputs)
        if asked.encoding_format == "base64":
            yield [base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii") for vector in vectors], read
        else:
            yield [vector.tolist() for vector in vectors], read

    work = Work(state.desk, encode, cancel=lambda: None, timeout_s=state.settings.server.timeout_s)
    ((vectors, read),) = [part async for part in work]
    data = [{"object": "embedding", "index": n, "embedding": vector} for n, vector in enumerate(vectors)]
    return JSONResponse(
        {"object": "list", "data": data, "model": name, "usage": {"prompt_tokens": read, "total_tokens": read}}
    )


@router.post("/v1/feedback", status_code=201, responses={201: {"model": dict[str, Any]}, **ERRORS})
async def feedback(request: Request, said: Feedback, caller: CallerOf) -> Response:
    """Store a vote, a corrected reply or a verdict on a claim, for `groundtone data from-feedback`."""
    state = of(request)
    person = caller.name if caller.key else said.person or caller.name
    time = await run_in_threadpool(_store, state, said, person)
    return JSONResponse({"object": "feedback", "kind": said.kind, "person": person, "time": time}, 201)


def _store(state: State, said: VoteFeedback | CorrectionFeedback | VerdictFeedback, person: str) -> str:
    """Write it and return its time. Raises ProjectError where the store cannot be written, on a full disk."""
    about = {"door": "server", **said.about}
    if isinstance(said, VerdictFeedback):
        verdict = Verdict(said.claim_key, person, said.value, said.correction)
        return state.feedback.add_verdict(verdict, about=about).time
    if isinstance(said, CorrectionFeedback):
        preference = Preference(said.prompt, said.correction, said.reply, tuple(said.context), said.reason)
        return state.feedback.add_correction(preference, person=person, about=about).time
    preference = Preference(said.prompt, said.chosen, said.rejected, tuple(said.context), said.reason)
    return state.feedback.add_vote(Vote(preference, person, said.outcome, about=about)).time


@router.get("/health", responses={200: {"model": dict[str, Any]}, 503: ERRORS[503]})
async def health(request: Request) -> Response:
    """Whether the server takes requests on, and how busy it is. Needs no key."""
    desk = of(request).desk
    desk.check()
    return JSONResponse({"status": "ok", "requests_inside": desk.inside})


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}, **ERRORS})
async def metrics(request: Request, caller: CallerOf) -> Response:
    """Figures for Prometheus."""
    return Response(of(request).metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

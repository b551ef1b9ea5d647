"""The application: its parts, its endpoints, and what wraps them all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import groundtone
from groundtone.project import Project
from groundtone.server import completions, errors, others
from groundtone.server.limits import Bounded
from groundtone.server.metrics import Metrics
from groundtone.server.state import State
from groundtone.settings import Settings

__all__ = ["create_app"]


def create_app(project: Project, settings: Settings) -> FastAPI:
    """The server of a project as an ASGI application; the model is loaded here, and let go when it shuts down."""
    state = State.of(project, settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(state.close)

    app = FastAPI(
        title="groundtone",
        version=groundtone.__version__,
        description="OpenAI-compatible access to a tuned voice, its documents and its evidence (`x_grounding`).",
        lifespan=lifespan,
        redoc_url=None,
    )
    app.state.groundtone = state
    errors.install(app)
    app.include_router(completions.router)
    app.include_router(others.router)
    app.add_middleware(_Counted, metrics=state.metrics, known=frozenset(_paths(app)))
    given = settings.server
    app.add_middleware(Bounded, max_body_bytes=1024 * given.max_body_kb, body_timeout_s=given.body_timeout_s)
    return app


def _paths(app: FastAPI) -> list[str]:
    return list(app.openapi()["paths"])


class _Counted:
    """Counts requests by endpoint and status; addresses that are none of ours share one label."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, known: frozenset[str]) -> None:
        self._app = app
        self._metrics = metrics
        self._known = known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                path = scope["path"] if scope["path"] in self._known else "other"
                self._metrics.requests.labels(path, str(message["status"])).inc()
            await send(message)

        await self._app(scope, receive, counted)

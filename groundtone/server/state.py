"""What one server process holds, and who is asking."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from groundtone.addresses import is_loopback
from groundtone.feedback import Feedback
from groundtone.keys import Key, KeyFile
from groundtone.models.encoders import Encoder, load_encoder
from groundtone.project import Project
from groundtone.server.arms import Arms, unknown_model
from groundtone.server.errors import ApiError
from groundtone.server.limits import Desk, Rates
from groundtone.server.metrics import Metrics
from groundtone.settings import Settings

_GUESSES_PER_MINUTE = 60  # wrong keys from one address; each may cost a scrypt


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking: a key, or anybody while no key is asked for."""

    name: str
    groups: tuple[str, ...] = ()
    key: Key | None = None

    def allows(self, model: str) -> bool:
        """Whether the caller may ask for a model id."""
        return self.key is None or self.key.allows(model)


@dataclass(slots=True)
class State:
    """A server's parts. Made once, before the first request."""

    project: Project
    settings: Settings
    arms: Arms
    desk: Desk
    rates: Rates
    guesses: Rates
    keys: KeyFile
    feedback: Feedback
    metrics: Metrics
    _encoder: Encoder | None = None
    _asking: bool = False  # stays, once true
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, project: Project, settings: Settings) -> State:
        """The parts for a project; the model is loaded here."""
        given = settings.server
        arms = Arms(project, settings)
        desk = Desk(running=given.max_running, waiting=given.max_waiting)
        state = cls(
            project,
            settings,
            arms,
            desk,
            Rates(given.requests_per_minute),
            Rates(_GUESSES_PER_MINUTE),
            KeyFile(project.keys_path),
            Feedback(project.feedback_path),
            Metrics(inside=lambda: desk.inside, rows=lambda: arms.engine.running if arms.engine else 0),
        )
        state.asks_for_keys()
        return state

    def close(self) -> None:
        """Drop whoever waits, finish what is in work, stop the model."""
        self.arms.close()
        self.desk.close()

    def encoder(self) -> Encoder:
        """The project's sentence encoder, loaded when it is first asked for."""
        with self._lock:
            if self._encoder is None:
                given = self.settings.retrieval
                self._encoder = load_encoder(given.encoder, runtime=given.runtime)
            return self._encoder

    def asks_for_keys(self) -> bool:
        """Whether a caller needs a key. A server that asked once goes on: a file that is gone opens no door."""
        given = self.settings.server
        if given.auth == "auto" and not self._asking:
            self._asking = self.keys.path.exists() or not is_loopback(given.host)
        return given.auth == "always" or self._asking

    async def caller(self, request: Request) -> Caller:
        """Who sends this request. Raises 401 without a valid key where one is asked for, 429 above the rate."""
        address = request.client.host if request.client else "unknown"
        if not self.asks_for_keys():
            self.rates.take(address)
            return Caller("anybody", tuple(self.settings.server.groups))
        scheme, _, text = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not text.strip():
            raise ApiError(401, "no key: send it as `Authorization: Bearer gt-...`", code="missing_api_key")
        key = await run_in_threadpool(self.keys.verify, text.strip())
        if key is None:
            self.guesses.take(address)
            message = "that is not a valid key: ask whoever runs this server for one"
            raise ApiError(401, message, code="invalid_api_key")
        self.rates.take(key.id)
        return Caller(key.name, key.groups, key)

    async def check_model(self, caller: Caller, wanted: str) -> None:
        """Raises 404 for a model id that names nothing, or nothing that this caller may ask for."""
        if not caller.allows(wanted) or not await run_in_threadpool(self.arms.known, wanted):
            raise unknown_model(wanted)


def of(request: Request) -> State:
    """The state of the application that serves this request."""
    state: State = request.app.state.groundtone
    return state


def texts(value: str | Iterable[str]) -> list[str]:
    """One text or several, as a list."""
    return [value] if isinstance(value, str) else list(value)

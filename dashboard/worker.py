"""The chat worker: a child process that loads the models, spoken to in JSON lines. This process never loads weights.

In: {"id", "arm", "question", "history"}; out: {"event": "ready"} once, then per id "piece" events and one "answer" or
"error". Every wait has a limit, and a worker that dies says why with the last lines it printed.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import json
import queue
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from groundtone.errors import ModelError

__all__ = ["ChatEvent", "ChatRequest", "ChatWorker", "chat_command"]

START_S = 300.0  # loading a large model from a cold disk takes minutes
SILENCE_S = 180.0  # without any event for this long, an answer is given up


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One question to one arm; history is (role, text), oldest first."""

    arm: str
    question: str
    history: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ChatEvent:
    """What happened to request number `slot`: a piece of text, the finished answer, or an error message."""

    slot: int
    kind: Literal["piece", "answer", "error"]
    text: str = ""
    answer: Mapping[str, Any] = field(default_factory=dict)


def chat_command(project: Path) -> list[str]:
    """The command that serves a project's chat over standard input and output."""
    return [sys.executable, "-m", "groundtone.cli.main", "chat", "--json", "--project", str(project)]


class ChatWorker:
    """A running chat process. Several sessions may ask at once; events find their way back by id."""

    def __init__(self, command: Sequence[str], *, start_s: float = START_S, silence_s: float = SILENCE_S) -> None:
        self._start_s, self._silence_s = start_s, silence_s
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._waiting: dict[str, tuple[int, queue.Queue[ChatEvent]]] = {}
        self._tail: deque[str] = deque(maxlen=12)  # the last lines that were no protocol: what went wrong
        self._ready = threading.Event()
        self._ended = threading.Event()
        try:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
            )
        except OSError as error:
            raise ModelError(f"the chat worker could not be started ({error}): {' '.join(command)}") from error
        self._readers = [
            threading.Thread(target=self._read_events, daemon=True),
            threading.Thread(target=self._read_errors, daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        atexit.register(self.close)

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def wait_ready(self) -> None:
        """Wait until the models are loaded. Raises ModelError where the worker ends or takes too long."""
        deadline = time.monotonic() + self._start_s
        while not self._ready.wait(0.05):
            if self._ended.is_set():
                raise ModelError(self._obituary())
            if time.monotonic() > deadline:
                self.close()
                raise ModelError(f"the chat worker was not ready within {self._start_s:.0f} s and was stopped")

    def ask(self, requests: Sequence[ChatRequest]) -> Iterator[ChatEvent]:
        """Events of all requests as they come, until each has its answer or its error.

        Raises ModelError where the worker dies or is silent for too long; an arm that fails is an "error" event.
        """
        self.wait_ready()
        events: queue.Queue[ChatEvent] = queue.Queue()
        ids = [str(next(self._ids)) for _ in requests]
        with self._lock:
            self._waiting |= {key: (slot, events) for slot, key in enumerate(ids)}
        try:
            for key, request in zip(ids, requests, strict=True):
                self._send(key, request)
            yield from self._until_done(events, len(requests))
        finally:
            with self._lock:
                for key in ids:
                    self._waiting.pop(key, None)

    def close(self) -> None:
        """End the process: first by closing its input, then by force. Safe to call twice."""
        atexit.unregister(self.close)
        with contextlib.suppress(OSError, ValueError):
            if self._process.stdin:
                self._process.stdin.close()
        for stop in (lambda: None, self._process.terminate, self._process.kill):
            stop()
            try:
                self._process.wait(timeout=2)
                break
            except subprocess.TimeoutExpired:
                continue
        for reader in self._readers:
            reader.join(timeout=1)

    def _send(self, key: str, request: ChatRequest) -> None:
        line = {"id": key, "arm": request.arm, "question": request.question, "history": request.history}
        try:
            with self._lock:
                stdin = self._process.stdin
                assert stdin is not None
                stdin.write(json.dumps(line) + "\n")
                stdin.flush()
        except (OSError, ValueError) as error:
            self._ended.wait(2)
            raise ModelError(self._obituary()) from error

    def _until_done(self, events: queue.Queue[ChatEvent], open_requests: int) -> Iterator[ChatEvent]:
        last = time.monotonic()
        while open_requests:
            try:
                event = events.get(timeout=0.1)
            except queue.Empty:
                if self._ended.is_set() and events.empty():
                    raise ModelError(self._obituary()) from None
                if time.monotonic() - last > self._silence_s:
                    self.close()
                    raise ModelError(
                        f"the chat worker was silent for {self._silence_s:.0f} s and was stopped; ask again"
                    ) from None
                continue
            last = time.monotonic()
            open_requests -= event.kind != "piece"
            yield event

    def _read_events(self) -> None:
        for line in _lines(self._process.stdout):
            message = _message(line)
            if message is None:
                self._tail.append(line)
            elif message.get("event") == "ready":
                self._ready.set()
            else:
                self._deliver(message)
        self._process.wait()
        self._ended.set()

    def _deliver(self, message: Mapping[str, Any]) -> None:
        with self._lock:
            slot, events = self._waiting.get(str(message.get("id")), (-1, None))
        if events is None:  # an answer that nobody waits for any more
            return
        kind = message.get("event")
        if kind == "piece":
            events.put(ChatEvent(slot, "piece", text=str(message.get("text", ""))))
        elif kind == "answer" and isinstance(message.get("answer"), dict):
            events.put(ChatEvent(slot, "answer", answer=message["answer"]))
        else:
            events.put(ChatEvent(slot, "error", text=str(message.get("message") or f"unknown event {kind!r}")))

    def _read_errors(self) -> None:
        for line in _lines(self._process.stderr):
            self._tail.append(line)

    def _obituary(self) -> str:
        self._readers[1].join(timeout=1)
        last = "; ".join(line for line in list(self._tail)[-3:] if line) or "it printed nothing"
        return f"the chat worker ended (exit status {self._process.poll()}): {last}"


def _lines(stream: IO[str] | None) -> Iterator[str]:
    assert stream is not None
    with contextlib.suppress(ValueError):  # closed while reading
        for line in stream:
            yield line.rstrip("\n")


def _message(line: str) -> dict[str, Any] | None:
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) and "event" in message else None

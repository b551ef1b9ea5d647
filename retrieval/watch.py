"""Keep an index up to date while its folder changes: look at names, sizes and times, wait until they rest, update.

Polling, since it works on every system and network drive; a look at 10,000 files takes some 0.1 s.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from groundtone.errors import DocumentError, GroundtoneError
from retrieval.loaders import walk
from retrieval.update import IndexReport

INTERVAL_S = 2.0
_SETTLE_S = 1.0  # a copy under way changes again within this time
_MAX_SETTLE_S = 30.0  # a folder that never rests is indexed all the same
_RETRY_S = 60.0  # after an error that the folder did not cause, such as a full disk


def watch(
    folder: Path,
    update: Callable[[], IndexReport],
    *,
    report: Callable[[IndexReport], None],
    failed: Callable[[Exception], None],
    stop: threading.Event | None = None,
    interval_s: float = INTERVAL_S,
    settle_s: float = _SETTLE_S,
    retry_s: float = _RETRY_S,
) -> None:
    """Update at once and after every change until `stop` is set; each update's report or error is handed over.

    An error ends nothing: it is tried again after the next change or `retry_s` seconds.
    """
    stop = stop or threading.Event()
    seen: object = None
    retry_at = float("inf")
    while not stop.is_set():
        state = _state(folder)
        if state != seen or time.monotonic() >= retry_at:
            first = seen is None
            seen = state if first else _settled(folder, state, stop, settle_s)
            retry_at = float("inf")
            try:
                report(update())
            except (GroundtoneError, OSError) as error:
                failed(error)
                retry_at = time.monotonic() + retry_s
        stop.wait(interval_s)


def _state(folder: Path) -> object:
    """What changes when a file comes, goes or is written; where the folder cannot be read, why."""
    try:
        return [(path, *_size_and_times(path)) for path in walk(folder) if isinstance(path, Path)]
    except (DocumentError, OSError) as error:
        return str(error)


def _size_and_times(path: Path) -> tuple[int, int, int]:
    try:
        stat = path.stat()
    except OSError:  # gone since it was listed, or not ours to see: the update will say so
        return (-1, 0, 0)
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _settled(folder: Path, state: object, stop: threading.Event, settle_s: float) -> object:
    """The state once two looks `settle_s` apart agree."""
    give_up = time.monotonic() + _MAX_SETTLE_S
    while not stop.wait(settle_s) and time.monotonic() < give_up:
        now = _state(folder)
        if now == state:
            break
        state = now
    return state

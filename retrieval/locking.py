"""A lock between processes: one writer at a time per index; the operating system frees it when its holder dies."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from groundtone.errors import ProjectError
from groundtone.files import as_user_error

_POLL_S = 0.1
_MARK_AT = 1 << 20  # the locked byte on Windows, where a locked range cannot be read: far behind the holder's number


@contextmanager
def writer_lock(
    index: Path, *, waiting: Callable[[str], None] | None = None, wait_s: float | None = None
) -> Iterator[None]:
    """Hold the lock file beside the index; `waiting("process 4711")` is called once when another process has it.

    Waits as long as that process holds it, or `wait_s` seconds: then ProjectError.
    """
    path = Path(f"{index}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b", buffering=0)
    except OSError as error:
        raise as_user_error(error, path) from error
    with file:  # closing frees the lock; the file stays: were it removed, two processes could lock two files
        begun = time.monotonic()
        told = False
        while not _try(file.fileno()):  # polled, so that Ctrl-C is heard on every system
            file.seek(0)
            holder = f"process {file.read(32).decode('ascii', 'replace')}"
            if wait_s is not None and time.monotonic() - begun >= wait_s:
                raise ProjectError(
                    f"the index {index} is being written by {holder}; run this again when it is done, or stop it"
                )
            if waiting and not told:
                waiting(holder)
                told = True
            time.sleep(_POLL_S)
        with suppress(OSError):  # on a full disk the lock holds all the same; the number only tells who has it
            file.truncate(0)
            file.write(str(os.getpid()).encode())
        yield


def _try(handle: int) -> bool:
    """Take the lock if it is free."""
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(handle, _MARK_AT, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True

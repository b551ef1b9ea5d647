"""Files on disk: atomic writes with clear errors, hashes, and the time that stands in records."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from datetime import UTC, datetime
from pathlib import Path

from groundtone.errors import UserError


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write a file so that it is there wholly or not at all: temporary neighbour, fsync, rename.

    Text is written as UTF-8. The folder is created. A symbolic link is followed, so that the link itself stays.
    Raises UserError where the disk is full, the quota used up or the folder not writable; the earlier file is kept.
    """
    target = path.resolve()
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "xb") as file:
            file.write(data.encode("utf-8") if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
        _sync_folder(target.parent)
    except OSError as error:
        raise as_user_error(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable; Windows has no handle on a folder to sync."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def as_user_error(error: OSError, path: Path) -> UserError:
    """A failed write in words that say what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        what = "the disk is full or the quota used up; free some space and run the command again"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        what = "the folder cannot be written; change its permissions or choose another folder with --project"
    else:
        what = error.strerror or str(error)
    return UserError(f"cannot write {path}: {what}. The earlier file, if there was one, is unchanged")


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_text(text: str) -> str:
    """Hex SHA-256 of a text as UTF-8."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def now_iso() -> str:
    """The time now, UTC, ISO 8601 with microseconds, so that texts sort by time."""
    return datetime.now(UTC).isoformat(timespec="microseconds")

"""Tombstones: which documents were forgotten on purpose, so that an update does not bring them back from the folder.

`forgotten.json` lies beside the index and holds names and hashes, no text. A copy of the same bytes under another name
is kept out too.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from groundtone.errors import IntegrityError
from groundtone.files import now_iso, write_atomic

__all__ = ["Tombstone", "bury", "forgotten_path", "read_tombstones", "unbury"]


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A source that is kept out of the index, the SHA-256 of its last file ("" where unknown), and since when."""

    source: str
    file_sha256: str
    time: str


def forgotten_path(index: Path) -> Path:
    """Where the list of an index lies."""
    return index.with_name("forgotten.json")


def read_tombstones(index: Path) -> dict[str, Tombstone]:
    """By source; none where nothing was ever forgotten. Raises IntegrityError for a file that cannot be read."""
    path = forgotten_path(index)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {row["source"]: Tombstone(row["source"], row["file_sha256"], row["time"]) for row in found["forgotten"]}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(
            f"{path} cannot be read ({error}), so it is not known what must stay out of the index: restore the file, "
            "or remove it and forget those documents again"
        ) from error


def bury(index: Path, source: str, *, file_sha256: str) -> None:
    """Keep a source out from now on."""
    stones = read_tombstones(index)
    stones[source] = Tombstone(source, file_sha256, now_iso())
    _write(index, stones)


def unbury(index: Path, source: str) -> bool:
    """Let the next update read a source again; False where it was not kept out."""
    stones = read_tombstones(index)
    if source not in stones:
        return False
    del stones[source]
    _write(index, stones)
    return True


def _write(index: Path, stones: dict[str, Tombstone]) -> None:
    rows = [asdict(stones[source]) for source in sorted(stones)]
    write_atomic(
        forgotten_path(index), json.dumps({"schema": 1, "forgotten": rows}, indent=1, ensure_ascii=False) + "\n"
    )

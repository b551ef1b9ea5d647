"""Tombstones: which documents were forgotten on purpose, so that an update does not bring them back from the folder.

`forgotten.json` lies beside the index and holds names and hashes, no text. A copy of the same bytes under another name
is kept out too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from groundtone.errors import IntegrityError
from groundtone.files import now_iso, write_atomic

__all__ = ["Tombstone", "bury", "forgotten_path", "read_tombstones", "unbury"]


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A source that is kept out of the index, the SHA-256 of its last file ("" where unknown), and since when.

    `earlier_sha256` are those of files that it was read from before: a copy of one of them is kept out as well.
    """

    source: str
    file_sha256: str
    time: str
    earlier_sha256: tuple[str, ...] = ()

    @property
    def hashes(self) -> frozenset[str]:
        """The bytes that are kept out under any name."""
        return frozenset((self.file_sha256, *self.earlier_sha256)) - {""}


def forgotten_path(index: Path) -> Path:
    """Where the list of an index lies."""
    return index.with_name("forgotten.json")


def read_tombstones(index: Path) -> dict[str, Tombstone]:
    """By source; none where nothing was ever forgotten. Raises IntegrityError for a file that cannot be read."""
    path = forgotten_path(index)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        stones = (
            Tombstone(row["source"], row["file_sha256"], row["time"], tuple(row.get("earlier_sha256", ())))
            for row in found["forgotten"]
        )
        return {stone.source: stone for stone in stones}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(
            f"{path} cannot be read ({error}), so it is not known what must stay out of the index: restore the file, "
            "or remove it and forget those documents again"
        ) from error


def bury(index: Path, source: str, *, file_sha256: str, earlier: Iterable[str] = ()) -> None:
    """Keep a source out from now on, and copies of its file's bytes and of `earlier` ones."""
    stones = read_tombstones(index)
    before = stones[source].hashes if source in stones else frozenset()
    kept_out = tuple(sorted({*earlier, *before} - {file_sha256, ""}))
    stones[source] = Tombstone(source, file_sha256, now_iso(), kept_out)
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

"""What people decided about rows of training data: keep, drop, or another text; in SQLite, safe with several writers.

A row is known by the hash of its line, so that a decision stays with its row when lines move, and ends when the row is
changed in the file. Every decision is kept, the latest per row counts.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from groundtone.errors import DataError, ProjectError
from groundtone.files import now_iso, sha256_text, write_atomic

__all__ = ["Cleaned", "Decision", "Edits", "Row", "export", "read_rows"]

Word = Literal["keep", "drop", "edit"]
BUSY_S = 10.0
_TABLE = (
    "CREATE TABLE IF NOT EXISTS decisions(seq INTEGER PRIMARY KEY, row TEXT NOT NULL, word TEXT NOT NULL, "
    "text TEXT NOT NULL, person TEXT NOT NULL, time TEXT NOT NULL)"
)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the data file: its number from 1, its text, and what it says."""

    number: int
    line: str
    data: Mapping[str, Any]

    @property
    def key(self) -> str:
        """What decisions on it are stored under."""
        return sha256_text(self.line)


@dataclass(frozen=True, slots=True)
class Decision:
    """What somebody decided on a row; `text` is the new line of an edit, else ""."""

    word: Word
    text: str
    person: str
    time: str


@dataclass(frozen=True, slots=True)
class Cleaned:
    """An exported set: where, the SHA-256 of its bytes, and how many rows were kept, edited and dropped."""

    path: Path
    sha256: str
    rows: int
    edited: int
    dropped: int


def read_rows(path: Path) -> list[Row]:
    """The rows of a JSON-lines file. Raises DataError naming the line that is none."""
    rows = []
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); rows are edited in a JSON-lines file in UTF-8") from error
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}:{number}: is no JSON ({error}); rows are edited in a JSON-lines file") from error
        if not isinstance(data, dict):
            raise DataError(f"{path}:{number}: is no JSON object; write one row per line")
        rows.append(Row(number, line.strip(), data))
    return rows


class Edits:
    """The decisions in the file at `path`. Reading one that is not there finds none; the first decision makes it."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    def decide(self, row: Row, word: Word, *, person: str, changes: Mapping[str, Any] | None = None) -> None:
        """Store a decision; an edit changes fields of the row and leaves the others. Raises DataError for no text."""
        text = ""
        if word == "edit":
            changed = {**row.data, **(changes or {})}
            if not all(str(changed.get(key, "")).strip() for key in changes or {}):
                raise DataError("a prompt and a reply need text: drop the row instead")
            text = json.dumps(changed, ensure_ascii=False)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._open() as connection:
            values = (row.key, word, text, person, now_iso())
            connection.execute("INSERT INTO decisions(row, word, text, person, time) VALUES (?, ?, ?, ?, ?)", values)

    def latest(self) -> dict[str, Decision]:
        """The decision that counts, by row."""
        if not self.path.exists():
            return {}
        with self._open() as connection:
            rows = connection.execute("SELECT row, word, text, person, time FROM decisions ORDER BY seq").fetchall()
        return {key: Decision(*rest) for key, *rest in rows}

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute(_TABLE)
                yield connection
        except sqlite3.DatabaseError as error:
            raise ProjectError(f"{self.path}: {error}; move the file away to begin anew") from error


def export(rows: Sequence[Row], decisions: Mapping[str, Decision], *, folder: Path, name: str) -> Cleaned:
    """Write the rows that remain, edited ones as edited, in their order; the file carries its hash in its name.

    Raises DataError where nothing remains.
    """
    lines, edited = [], 0
    for row in rows:
        decision = decisions.get(row.key)
        if decision is not None and decision.word == "drop":
            continue
        is_edit = decision is not None and decision.word == "edit"
        edited += is_edit
        lines.append(decision.text if decision is not None and is_edit else row.line)
    if not lines:
        raise DataError("every row is dropped: there is nothing to export")
    text = "\n".join(lines) + "\n"
    digest = sha256_text(text)
    path = folder / f"{Path(name).stem}-{digest[:12]}.jsonl"
    write_atomic(path, text)
    return Cleaned(path, digest, len(lines), edited, len(rows) - len(lines))

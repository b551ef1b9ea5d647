"""Which parts of the store are of a person, of a time or of a document, and taking them out."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from groundtone.feedback.nouns import FORGOTTEN, Removed

_TEXTS = {  # table -> its key, the claim it is about, all its text
    "verdicts": "seq, claim_key, person || ' ' || correction || ' ' || about",
    "votes": "seq, '', prompt || ' ' || chosen || ' ' || rejected || ' ' || context || ' ' || about",
    "training_rows": "id, '', row || ' ' || notes",
    "reviews": "seq, '', row || ' ' || why",
}


@dataclass(frozen=True, slots=True)
class Whose:
    """What is to go: what one person said, or what was said before a time."""

    person: str | None
    before: datetime | None

    def where(self, column: str = "person") -> tuple[str, tuple[str]]:
        """An SQL condition; a time that SQLite cannot read is never before another."""
        if self.person is not None:
            return f"{column} = ?", (self.person,)
        assert self.before is not None, "one of the two is given"
        return "julianday(time) < julianday(?)", (self.before.isoformat(),)

    def said(self, origin: dict[str, str]) -> bool:
        """Whether an origin of a row is to go."""
        if self.person is not None:
            return origin["person"] == self.person
        assert self.before is not None, "one of the two is given"
        try:
            return datetime.fromisoformat(origin["time"]) < self.before
        except (ValueError, TypeError):  # no ISO time, or one without its offset
            return False


def quoting(read: Callable[[str], list[tuple[Any, ...]]], quotes: Callable[[str, str], bool]) -> dict[str, list[Any]]:
    """Table -> keys of the entries whose text `quotes`."""
    return {
        table: [key for key, claim, text in read(f"SELECT {columns} FROM {table}") if quotes(claim, text)]
        for table, columns in _TEXTS.items()
    }


def delete(connection: sqlite3.Connection, table: str, keys: Iterable[Any]) -> None:
    """Delete by key; a row's reviews go with it."""
    key = _TEXTS[table].partition(",")[0]
    some = [(one,) for one in keys]
    connection.executemany(f"DELETE FROM {table} WHERE {key} = ?", some)
    if table == "training_rows":
        connection.executemany("DELETE FROM reviews WHERE row_id = ?", some)


def find(connection: sqlite3.Connection, whose: Whose) -> Removed:
    """What would go."""
    gone, seen = list[str](), list[str]()
    for row_id, text in connection.execute("SELECT id, origins FROM training_rows ORDER BY id"):
        theirs = [whose.said(origin) for origin in json.loads(text)]
        seen += [row_id] if any(theirs) else []
        gone += [row_id] if all(theirs) else []
    reviews, values = whose.where("reviewer")
    left = f"{reviews} AND reviewer != ? AND row_id NOT IN (SELECT value FROM json_each(?))"
    acts, who = whose.where()
    return Removed(
        _count(connection, "verdicts", acts, who),
        _count(connection, "votes", acts, who),
        _count(connection, "reviews", left, (*values, FORGOTTEN, json.dumps(gone))),
        tuple(gone),
        tuple(seen),
    )


def _count(connection: sqlite3.Connection, table: str, condition: str, values: tuple[str, ...]) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {table} WHERE {condition}", values).fetchone()[0])


def remove(connection: sqlite3.Connection, whose: Whose, found: Removed) -> None:
    """Take it out; a row that others said too stays with their names alone."""
    acts, who = whose.where()
    for table in ("verdicts", "votes"):
        connection.execute(f"DELETE FROM {table} WHERE {acts}", who)
    delete(connection, "training_rows", found.rows)
    for row_id in set(found.seen) - set(found.rows):
        (text,) = connection.execute("SELECT origins FROM training_rows WHERE id = ?", (row_id,)).fetchone()
        left = [origin for origin in json.loads(text) if not whose.said(origin)]
        connection.execute(
            "UPDATE training_rows SET origins = ? WHERE id = ?", (json.dumps(left, ensure_ascii=False), row_id)
        )
    reviews, values = whose.where("reviewer")
    connection.execute(f"UPDATE reviews SET reviewer = ? WHERE {reviews}", (FORGOTTEN, *values))

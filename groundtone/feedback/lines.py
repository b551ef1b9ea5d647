"""The store as JSON lines and back: one object per verdict, vote, row, review and file of rows."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

from groundtone.errors import DataError
from groundtone.feedback.nouns import Decision, Loaded, Outcome, Review, RowKind, Vote
from groundtone.types import HumanVerdict, Verdict

REVIEW = "row_id, reviewer, decision, row, why, time"

# kind -> table, its columns, which of them hold JSON
_KINDS: dict[str, tuple[str, tuple[str, ...], frozenset[str]]] = {
    "verdict": ("verdicts", ("claim_key", "person", "value", "correction", "time", "about"), frozenset({"about"})),
    "vote": (
        "votes",
        ("person", "outcome", "prompt", "chosen", "rejected", "context", "reason", "time", "about"),
        frozenset({"context", "about"}),
    ),
    "row": (
        "training_rows",
        ("id", "row_kind", "row", "reason", "origins", "notes"),
        frozenset({"row", "origins", "notes"}),
    ),
    "review": ("reviews", tuple(REVIEW.split(", ")), frozenset({"row"})),
    "file": ("exports", ("sha256", "path", "lines", "time"), frozenset({"lines"})),
}
_CHOICES = {
    ("verdict", "value"): get_args(HumanVerdict),
    ("vote", "outcome"): get_args(Outcome),
    ("row", "row_kind"): get_args(RowKind),
    ("review", "decision"): get_args(Decision),
}
_COLUMN = {"row_kind": "kind"}  # `kind` is what a line calls itself


def insert_verdict(connection: sqlite3.Connection, verdict: Verdict, about: Mapping[str, Any]) -> None:
    """One verdict, with its time."""
    insert(
        connection,
        "verdict",
        claim_key=verdict.claim_key,
        person=verdict.person,
        value=verdict.value,
        correction=verdict.correction,
        time=verdict.time,
        about=dict(about),
    )


def insert_vote(connection: sqlite3.Connection, vote: Vote) -> None:
    """One vote, with its time."""
    given = vote.preference
    insert(
        connection,
        "vote",
        person=vote.person,
        outcome=vote.outcome,
        prompt=given.prompt,
        chosen=given.chosen,
        rejected=given.rejected,
        context=list(given.context),
        reason=given.reason,
        time=vote.time,
        about=dict(vote.about),
    )


def insert(connection: sqlite3.Connection, kind: str, **values: Any) -> None:
    """One entry of a kind; what is there under the same key is left alone."""
    table, columns, nested = _KINDS[kind]
    names = ", ".join(_COLUMN.get(column, column) for column in columns)
    marks = ", ".join("?" * len(columns))
    cells = [dump(values[c]) if c in nested else _storable(values[c]) for c in columns]
    connection.execute(f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})", cells)


def review_of(row: tuple[Any, ...]) -> Review:
    """A review as it was read with the columns REVIEW."""
    row_id, reviewer, decision, edited, why, when = row
    return Review(row_id, reviewer, decision, json.loads(edited), why, when)


def export(connection: sqlite3.Connection) -> Iterator[str]:
    """Every entry, kind by kind, in the order in which it was stored."""
    for kind, (table, columns, nested) in _KINDS.items():
        names = ", ".join(_COLUMN.get(column, column) for column in columns)
        for row in connection.execute(f"SELECT {names} FROM {table} ORDER BY rowid"):
            cells = zip(columns, row, strict=True)
            yield dump({"kind": kind} | {c: json.loads(cell) if c in nested else cell for c, cell in cells})


def parse(some: Iterable[str]) -> list[dict[str, Any]]:
    """The lines as objects; blank ones are skipped. Raises DataError with the number of the first that is none."""
    read = []
    for number, line in enumerate(some, 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except ValueError as error:
            raise DataError(
                f"line {number} is no JSON ({error}): give a file of `groundtone feedback export`"
            ) from error
        if wrong := _wrong(entry):
            raise DataError(f"line {number}: {wrong}; give a file of `groundtone feedback export`")
        read.append(entry)
    return read


def _wrong(entry: Any) -> str:
    """What is wrong with a line, "" for nothing."""
    if not isinstance(entry, dict) or entry.get("kind") not in _KINDS:
        kind = entry.get("kind") if isinstance(entry, dict) else entry
        return f"its kind is {kind!r}, not one of {', '.join(_KINDS)}"
    kind = entry["kind"]
    _, columns, nested = _KINDS[kind]
    if set(entry) != {"kind", *columns}:
        return f"a {kind} has the fields {', '.join(columns)}, this one {', '.join(sorted(set(entry) - {'kind'}))}"
    for column in columns:
        if column not in nested and not isinstance(entry[column], str):
            return f"{column} is {entry[column]!r}, not a text"
        allowed = _CHOICES.get((kind, column))
        if allowed and entry[column] not in allowed:
            return f"{column} is {entry[column]!r}, not one of {', '.join(allowed)}"
    return _wrong_nested(entry)


def _wrong_nested(entry: Mapping[str, Any]) -> str:
    shapes: dict[str, type | tuple[type, ...]] = {"about": dict, "context": list, "origins": list, "notes": list}
    shapes |= {"lines": list, "row": dict if entry["kind"] == "row" else (dict, type(None))}
    for column, shape in shapes.items():
        if column in entry and not isinstance(entry[column], shape):
            return f"{column} is a {type(entry[column]).__name__}"
    for origin in entry.get("origins", ()):
        if not isinstance(origin, dict) or set(origin) != {"person", "time"}:
            return f"an origin is {origin!r}, not a person and a time"
    texts = (*entry.get("context", ()), *entry.get("notes", ()), *entry.get("lines", ()))
    return "" if all(isinstance(text, str) for text in texts) else "context, notes and lines are lists of texts"


def load(connection: sqlite3.Connection, read: Iterable[Mapping[str, Any]]) -> Loaded:
    """Add what is not there; an entry that stands twice in the lines is to stand twice in the store."""
    there = Counter(export(connection))
    added = known = 0
    for entry in read:
        kind = entry["kind"]
        line = dump({"kind": kind} | {column: entry[column] for column in _KINDS[kind][1]})
        if there[line]:
            there[line] -= 1
            known += 1
            continue
        before = connection.total_changes
        insert(connection, kind, **{k: v for k, v in entry.items() if k != "kind"})
        added += connection.total_changes - before
        known += connection.total_changes == before
    return Loaded(added, known)


def dump(value: Any) -> str:
    """JSON that SQLite can store."""
    return _storable(json.dumps(value, ensure_ascii=False))


def _storable(text: str) -> str:
    """SQLite stores UTF-8: a lone surrogate (half an emoji cut by a tokenizer) becomes a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")

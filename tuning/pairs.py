"""Voice pairs and preferences: reading them from any table with every problem named at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundtone.errors import DataError
from groundtone.types import Preference, Turn, VoicePair
from tuning.lint import PairReport, lint
from tuning.shapes import (
    MAX_REPLY_BYTES,
    Columns,
    Plan,
    citation_problem,
    history_problem,
    plan,
    text_problem,
    to_pair,
    to_preference,
)
from tuning.split import split_by_source
from tuning.tables import Problem, Record, read_records, refuse_rows

__all__ = [
    "Columns",
    "PairReport",
    "PairTable",
    "citation_problem",
    "lint",
    "read_pairs",
    "read_preferences",
    "read_table",
    "split_by_source",
]

_FIELDS = frozenset({"prompt", "reply", "source", "context", "tags", "history"})
GUESS = Columns()


@dataclass(frozen=True, slots=True)
class PairTable:
    """Pairs in order, where each stands ("train.csv:7"), and what was guessed about the columns."""

    pairs: tuple[VoicePair, ...]
    where: tuple[str, ...]
    notes: tuple[str, ...]


def read_pairs(
    source: str | Path, *, default_source: str | None = None, columns: Columns = GUESS
) -> tuple[VoicePair, ...]:
    """The pairs of `read_table`."""
    return read_table(source, default_source=default_source, columns=columns).pairs


def read_table(source: str | Path, *, default_source: str | None = None, columns: Columns = GUESS) -> PairTable:
    """The pairs of a file, a dataset's folder or `hf:org/name`, in order; blank lines are skipped.

    A JSON file with prompt and reply is ours: it has our fields and no others, and every row names its source unless
    `default_source` is given. In any other table the columns are the ones named in `columns`, else guessed, and the
    guess is noted. Raises DataError naming the place of every problem (the first 20): broken rows, missing fields,
    wrong types, empty texts, replies beyond 100 kB, markup of a chat template, citations of passages that the row
    does not have.
    """
    rows = _planned(source, columns)
    how = rows.how
    if how.kind == "preferences":
        raise DataError(
            f"{source}: holds preferences; to tune on the preferred replies alone, set tuning.columns.reply to "
            f"{how.columns.chosen!r} and tuning.columns.prompt"
        )
    strict = how.own and Path(str(source)).suffix.lower() in (".jsonl", ".ndjson", ".json")

    def convert(values: Any) -> VoicePair | list[str]:
        return _own(values, default_source) if strict else to_pair(values, how, default_source=default_source)

    pairs, where = _convert(rows, convert)
    return PairTable(tuple(pairs), where, how.notes)


def read_preferences(source: str | Path, *, columns: Columns = GUESS) -> tuple[Preference, ...]:
    """The rows of a table with two replies to a prompt, one of them preferred. Raises DataError like `read_table`."""
    rows = _planned(source, columns)
    how = rows.how
    if how.kind != "preferences":
        raise DataError(f"{source}: has no two replies to compare; name them: tuning.columns.chosen and .rejected")
    return tuple(_convert(rows, lambda values: to_preference(values, how))[0])


@dataclass(frozen=True, slots=True)
class _Rows:
    """What a table holds, how its columns are read, and the rows that could not be read at all."""

    records: tuple[Record, ...]
    how: Plan
    problems: tuple[str, ...]


def _planned(source: str | Path, columns: Columns) -> _Rows:
    rows = list(read_records(source))
    problems = tuple(f"{row.where}: {row.what}" for row in rows if isinstance(row, Problem))
    records = tuple(row for row in rows if isinstance(row, Record))
    if not rows:
        raise DataError(f"{source}: holds no rows; write one JSON object per line with prompt, reply and source")
    names = Counter(str(name) for record in records for name in record.values)
    try:
        how = plan(names, given=columns, where=Path(str(source)).name)
    except DataError:
        refuse_rows(problems)  # the columns may be in the rows that could not be read
        raise
    return _Rows(records, how, problems)


def _convert(rows: _Rows, convert: Callable[[Any], Any]) -> tuple[list[Any], tuple[str, ...]]:
    """The converted rows and their places; raises DataError with the problems of all, in the order of the rows."""
    found: list[Any] = []
    problems = list(rows.problems)
    for record in rows.records:
        row = convert(record.values)
        if isinstance(row, list):
            problems += [f"{record.where}: {problem}" for problem in row]
        else:
            found.append(row)
    refuse_rows(problems)
    return found, tuple(record.where for record in rows.records)


def _own(row: Any, default_source: str | None) -> VoicePair | list[str]:
    """A row in our own fields, or what is wrong with it."""
    problems = [
        f"unknown field {key!r}: known are {', '.join(sorted(_FIELDS))}" for key in sorted(row.keys() - _FIELDS)
    ]
    for key in ("prompt", "reply", "source"):
        if key == "source" and key not in row and default_source is not None:
            continue
        if key not in row:
            problems.append(f"field {key!r} is missing")
        elif not isinstance(row[key], str):
            problems.append(f"{key} is a {type(row[key]).__name__}, not a text")
        elif wrong := text_problem(row[key], most_bytes=MAX_REPLY_BYTES if key == "reply" else None):
            problems.append(f"{key} {wrong}")
    for key in ("context", "tags"):
        value = row.get(key, [])
        if not isinstance(value, list) or not all(isinstance(text, str) and text.strip() for text in value):
            problems.append(f"{key} must be a list of texts, none empty")
    if turns := history_problem(row.get("history", [])):
        problems.append(turns)
    if problems:
        return problems
    context = tuple(row.get("context", ()))
    wrong = citation_problem(row["reply"], len(context))
    if wrong:
        return [wrong]
    source = row.get("source") or default_source or ""
    history = tuple(Turn(role, text) for role, text in row.get("history", ()))
    return VoicePair(row["prompt"], row["reply"], source, context, tuple(row.get("tags", ())), history)

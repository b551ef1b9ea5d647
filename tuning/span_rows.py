"""Rows for a reader: a question, a passage, and the span that answers it, or none."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundtone.errors import DataError
from groundtone.models.span_format import SpanFormat
from tuning.tables import refuse_rows

_FIELDS = frozenset({"question", "context", "heading", "answer", "source", "tags"})


@dataclass(frozen=True, slots=True)
class SpanRow:
    """`context[start:start + len(text)] == text`; `start` is -1 where the context does not answer the question."""

    question: str
    context: str
    heading: str
    start: int
    text: str
    source: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class EncodedSpan:
    """A row in tokens; `first` and `last` are 0 where there is no answer."""

    ids: list[int]
    first: int
    last: int


def read_span_rows(path: Path) -> tuple[SpanRow, ...]:
    """The rows of a JSON-lines file. Raises DataError naming file and line of every problem (the first 20)."""
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); it must be UTF-8 JSON lines") from error
    rows: list[SpanRow] = []
    problems: list[str] = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            found = _parse(line)
            if isinstance(found, SpanRow):
                rows.append(found)
            else:
                problems.append(f"{path}:{number}: {found}")
    refuse_rows(problems)
    if not rows:
        raise DataError(f"{path}: holds no rows; write one JSON object per line with question, context and answer")
    return tuple(rows)


def _parse(line: str) -> SpanRow | str:
    """The row, or what is wrong with the line."""
    try:
        row: Any = json.loads(line)
    except ValueError as error:
        return f"broken JSON ({error}): one object per line"
    if not isinstance(row, dict):
        return f"a {type(row).__name__} where an object with question, context and answer was expected"
    if unknown := sorted(set(row) - _FIELDS):
        return f"unknown fields {', '.join(unknown)}: a row has {', '.join(sorted(_FIELDS))}"
    for name in ("question", "context"):
        if not isinstance(row.get(name), str) or not row[name].strip():
            return f"{name} is {row.get(name)!r}: write a text that is not empty"
    answer = row.get("answer")
    if answer is None:
        start, text = -1, ""
    elif isinstance(answer, dict) and isinstance(answer.get("start"), int) and isinstance(answer.get("text"), str):
        start, text = answer["start"], answer["text"]
        stands = row["context"][start : start + len(text)] if start >= 0 else ""
        if not text or stands != text:
            return f"answer {text[:60]!r} does not stand at character {start} of the context, there is {stands[:60]!r}"
    else:
        return f"answer is {answer!r}: write null, or an object with start (a character offset) and text"
    tags = row.get("tags") or [""]
    return SpanRow(
        row["question"],
        row["context"],
        str(row.get("heading") or ""),
        start,
        text,
        str(row.get("source") or ""),
        tags[0],
    )


def encode(span_format: SpanFormat, rows: Sequence[SpanRow]) -> tuple[tuple[EncodedSpan, ...], tuple[int, ...]]:
    """The rows in tokens, and the numbers of those left out because their answer lies beyond the window."""
    shown = span_format.show([r.question for r in rows], [r.heading for r in rows], [r.context for r in rows])
    encoded, dropped = [], []
    for number, (row, seen) in enumerate(zip(rows, shown, strict=True)):
        span = (0, 0) if row.start < 0 else seen.tokens_of(row.start, row.start + len(row.text))
        if span is None:
            dropped.append(number)
        else:
            encoded.append(EncodedSpan(seen.ids, *span))
    return tuple(encoded), tuple(dropped)


def spans_sha256(*parts: Sequence[EncodedSpan]) -> str:
    """SHA-256 over tokens and spans of the given lists of rows, order included."""
    total = hashlib.sha256()
    for rows in parts:
        total.update(b"rows")
        for row in rows:
            total.update(f"{row.first}:{row.last}:{','.join(map(str, row.ids))};".encode())
    return total.hexdigest()

"""Answers that were made elsewhere, one JSON object per line: what `groundtone eval --answers` reads.

    {"id": "q1", "question": "How long?", "answer": "14 days [1].", "contexts": [{"text": "...", "source": "post.md"}],
     "gold": {"values": [["14 days"]], "quotes": [["post.md", "Parcels are kept for 14 days."]]}}

Only question and answer are needed. A row that cannot be used stays in its place with its error: it is counted, shown,
and never dropped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from groundtone.errors import DataError
from groundtone.types import Gold, Passage, Question, short_hash

__all__ = ["UNGRADED", "GivenAnswer", "read_answers"]

UNGRADED = "ungraded"  # the kind of a question without gold that nobody called unanswerable
_KINDS = ("answerable", "two_documents", "unanswerable", UNGRADED)


@dataclass(frozen=True, slots=True)
class GivenAnswer:
    """One row. `contexts` are the passages that it says were shown, in order; None where it says nothing of them.

    A context without a source has the source "". `error` says what is wrong with the row, or what it says of itself.
    """

    question: Question
    text: str = ""
    contexts: tuple[Passage, ...] | None = None
    tokens: Mapping[str, int] = field(default_factory=dict)
    timing: Mapping[str, float] = field(default_factory=dict)
    error: str = ""


def read_answers(path: Path) -> tuple[GivenAnswer, ...]:
    """Every row of the file, in order, each under an id of its own. Raises DataError for a file without any."""
    try:
        lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); give a file of JSON lines") from error
    rows = tuple(_unique(_row(line, number) for number, line in enumerate(lines, 1) if line.strip()))
    if not rows:
        raise DataError(f"{path}: holds no row; write one JSON object per line, with question and answer")
    return rows


def _unique(rows: Iterator[tuple[int, GivenAnswer]]) -> Iterator[GivenAnswer]:
    """Rows under ids that stand once: a later row of the same id becomes an error under an id of its own."""
    seen: dict[str, int] = {}
    for number, row in rows:
        name = row.question.id
        if name not in seen:
            seen[name] = number
            yield row
            continue
        own = f"{name}@line-{number}"
        while own in seen:
            own += "'"
        seen[own] = number
        yield GivenAnswer(
            Question(own, row.question.text, kind=UNGRADED),
            error=f"the id {name!r} stands in line {seen[name]} already",
        )


def _row(line: bytes, number: int) -> tuple[int, GivenAnswer]:
    name = f"line-{number}"
    try:
        data = json.loads(line.decode("utf-8"))
        if not isinstance(data, dict):
            raise ValueError(f"it holds {type(data).__name__}, not an object")
        name, asked = _name(data.get("id"), name), data.get("question")
    except (ValueError, RecursionError) as error:  # a decoding error is a ValueError
        return number, GivenAnswer(Question(name, "", kind=UNGRADED), error=f"line {number} cannot be read: {error}")
    question = Question(name, asked if isinstance(asked, str) else "", kind=UNGRADED)
    try:
        return number, _parsed(data, name)
    except ValueError as error:
        return number, GivenAnswer(question, error=f"line {number}: {error}")


def _parsed(data: Mapping[str, Any], name: str) -> GivenAnswer:
    gold = _gold(data.get("gold"))
    kind = data.get("kind", UNGRADED if gold is None else "answerable")
    if kind not in _KINDS:
        raise ValueError(f"kind is {kind!r}; give one of {', '.join(_KINDS)}")
    if (gold is None) != (kind in ("unanswerable", UNGRADED)):
        raise ValueError(f"kind is {kind!r} {'without' if gold is None else 'with'} gold")
    question = Question(name, _text(data, "question"), gold=gold, kind=kind)
    told = data.get("error")
    if told:
        return GivenAnswer(question, error=f"the row says: {told}")
    answer = data.get("answer")
    if not isinstance(answer, str):
        raise ValueError(f"answer is {_short(answer)}; give a text, which may be empty")
    return GivenAnswer(question, answer, _contexts(data), _tokens(data.get("tokens")), _timing(data.get("latency_s")))


def _name(given: Any, default: str) -> str:
    if given is None:
        return default
    if isinstance(given, bool) or not isinstance(given, str | int) or not str(given).strip():
        raise ValueError(f"id is {_short(given)}; give a text or a number")
    return str(given)


def _text(data: Mapping[str, Any], field: str) -> str:
    given = data.get(field)
    if not isinstance(given, str) or not given.strip():
        raise ValueError(f"{field} is {_short(given)}; give a text")
    return given


def _contexts(data: Mapping[str, Any]) -> tuple[Passage, ...] | None:
    """Of "contexts" or "hits": texts, or objects with text and source."""
    given = data.get("contexts", data.get("hits"))
    if given is None:
        return None
    if not isinstance(given, list):
        raise ValueError(f"contexts is {_short(given)}; give a list of texts, or of objects with text and source")
    passages = []
    for item in given:
        text, source = (item.get("text"), item.get("source", "")) if isinstance(item, dict) else (item, "")
        if not isinstance(text, str) or not isinstance(source, str):
            raise ValueError(f"a context is {_short(item)}; give a text, or an object with text and source")
        passages.append(Passage(short_hash(source, text), short_hash(source), source, text, 0, len(text)))
    return tuple(passages)


def _gold(given: Any) -> Gold | None:
    """A text, a list of texts to be said all, a list of lists of spellings, or an object as in question files."""
    if given is None:
        return None
    values, quotes = (given.get("values"), given.get("quotes", [])) if isinstance(given, dict) else (given, [])
    groups = [values] if isinstance(values, str) else values
    groups = [[group] if isinstance(group, str) else group for group in groups] if isinstance(groups, list) else None
    if not groups or not all(_texts(group) for group in groups):
        raise ValueError(f"gold is {_short(given)}; give a text, or values like [['14 days', '14']]")
    if not isinstance(quotes, list) or not all(_texts(quote) and len(quote) == 2 for quote in quotes):
        raise ValueError(f"the quotes of gold are {_short(quotes)}; give a list of [source, verbatim quote]")
    return Gold(tuple(tuple(group) for group in groups), tuple((quote[0], quote[1]) for quote in quotes))


def _texts(given: Any) -> bool:
    return isinstance(given, Sequence) and bool(given) and all(isinstance(v, str) and v.strip() for v in given)


MOST_TOKENS = 10**12  # of one answer; more is a slip that no sum should carry
MOST_SECONDS = 10**9


def _tokens(given: Any) -> dict[str, int]:
    if given is None:
        return {}
    if not isinstance(given, dict) or not all(
        type(given.get(k)) is int and 0 <= given[k] < MOST_TOKENS for k in ("prompt", "reply")
    ):
        raise ValueError(f"tokens is {_short(given)}; give an object with the counts prompt and reply")
    return {"prompt": given["prompt"], "reply": given["reply"]}


def _timing(given: Any) -> dict[str, float]:
    if given is None:
        return {}
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given < MOST_SECONDS:
        raise ValueError(f"latency_s is {_short(given)}; give seconds, below {MOST_SECONDS}")
    return {"total": float(given)}


def _short(given: Any) -> str:
    shown = repr(given)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."

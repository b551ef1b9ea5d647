"""Reads what is asked: question files with gold, edits of documents, and general items with checks.

Every mistake in a file is a DataError that names file and line, what stands there and what should.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.checks import Check, check_problem
from groundtone.errors import DataError
from groundtone.types import Gold, Question, Turn

__all__ = ["Change", "GeneralItem", "read_changes", "read_general", "read_questions", "read_texts"]

QUESTION_FILES = ("answerable", "two_documents", "unanswerable", "changed")


@dataclass(frozen=True, slots=True)
class Change:
    """An edit of a document and the question that notices it: `quote` becomes `changed_quote` in `source`.

    `question.gold` holds the new value; `old_values` are what an answer from memory would say.
    """

    question: Question
    source: str
    quote: str
    changed_quote: str
    old_values: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class GeneralItem:
    """A task that has nothing to do with the documents; `context` are passages shown in the prompt, if any."""

    suite: str
    question: Question
    context: tuple[str, ...]
    check: Check


def read_questions(path: Path) -> tuple[Question, ...]:
    """The questions of a file, or of the known files of a folder. The kind is the file's name.

    A question of changed.jsonl is to be asked of the changed documents: its gold is the new value; see `read_changes`.
    """
    questions: list[Question] = []
    for file in _files(path, QUESTION_FILES):
        if file.stem == "changed":
            questions += [change.question for change in read_changes(file)]
        else:
            questions += [_question(row, file.stem, where) for where, row in _rows(file)]
    return tuple(_unique(questions, path))


def read_changes(path: Path) -> tuple[Change, ...]:
    """The edits of a changed.jsonl, or of the one in a folder; none where there is no such file."""
    if path.is_dir():
        path = path / "changed.jsonl"
        if not path.exists():
            return ()
    changes = []
    for where, row in _rows(path):
        before = _question(row, "changed", where, extra=("changed_quote", "changed_values"))
        assert before.gold is not None, "every kind but unanswerable has gold"
        if len(before.gold.quotes) != 1:
            raise DataError(f"{where}: a changed question has {len(before.gold.quotes)} quotes; give exactly one")
        source, quote = before.gold.quotes[0]
        new_quote, values = _text(row, "changed_quote", where), _groups(row, "changed_values", where)
        if new_quote == quote:
            raise DataError(f"{where}: changed_quote equals the quote; write the new value into it")
        question = Question(before.id, before.text, gold=Gold(values, ((source, new_quote),)), kind="changed")
        changes.append(Change(question, source, quote, new_quote, before.gold.values))
    return tuple(changes)


def read_general(path: Path) -> tuple[GeneralItem, ...]:
    """The general items of a file, or of all .jsonl files of a folder by name."""
    items = []
    for file in _files(path, ()):
        for where, row in _rows(file):
            problem = check_problem(row.get("check"))
            if problem:
                raise DataError(f"{where}: {problem}")
            context = row.get("context") or []
            if not isinstance(context, list) or not all(isinstance(c, str) for c in context):
                raise DataError(f"{where}: context is {context!r}; give a list of texts")
            question = Question(
                _text(row, "id", where), _text(row, "prompt", where), history=_history(row, where), kind="general"
            )
            items.append(GeneralItem(_text(row, "suite", where), question, tuple(context), row["check"]))
    _unique([item.question for item in items], path)
    return tuple(items)


def read_texts(path: Path) -> dict[str, str]:
    """Held-out texts by their id, in the file's order: one {"id", "text"} a line."""
    texts: dict[str, str] = {}
    for where, row in _rows(path):
        item = _text(row, "id", where)
        if item in texts:
            raise DataError(f"{where}: the id {item!r} stands there twice; give each text its own")
        texts[item] = _text(row, "text", where)
    return texts


def _files(path: Path, names: Sequence[str]) -> list[Path]:
    """The file itself, or those of the folder (only the named ones, in that order, where names are given)."""
    if path.is_file():
        if names and path.stem not in names:
            raise DataError(
                f"{path}: the name of a question file says its kind; call it one of {', '.join(names)}.jsonl"
            )
        return [path]
    if not path.is_dir():
        raise DataError(f"{path}: no such file or folder; set the path in the eval section")
    found = [path / f"{n}.jsonl" for n in names if (path / f"{n}.jsonl").is_file()] if names else []
    found = found if names else sorted(path.glob("*.jsonl"))
    if not found:
        raise DataError(f"{path}: holds none of {', '.join(f'{n}.jsonl' for n in names) or '*.jsonl'}")
    return found


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 at byte {error.start}; save it as UTF-8") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"{where}: is not JSON ({error}): {line[:60]!r}") from error
        if not isinstance(row, dict):
            raise DataError(f"{where}: holds {type(row).__name__}; write one object per line")
        yield where, row


def _question(row: dict[str, Any], kind: str, where: str, extra: Sequence[str] = ()) -> Question:
    allowed = {"id", "question", "history", "groups", *extra}
    allowed |= {"why"} if kind == "unanswerable" else {"values", "quotes"}
    unknown = sorted(set(row) - allowed)
    if unknown:
        raise DataError(f"{where}: unknown field {unknown[0]!r}; {kind} takes {', '.join(sorted(allowed))}")
    gold = None
    if kind != "unanswerable":
        gold = Gold(_groups(row, "values", where), _quotes(row, where))
        if kind == "two_documents" and len({source for source, _ in gold.quotes}) < 2:
            raise DataError(f"{where}: its quotes come from {gold.quotes!r}; give quotes from two sources")
    groups = row.get("groups") or []
    return Question(
        _text(row, "id", where), _text(row, "question", where), _history(row, where), tuple(groups), gold, kind
    )


def _text(row: dict[str, Any], field: str, where: str) -> str:
    value = row.get(field)
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{where}: {field} is {value!r}; give a text")
    return value


def _groups(row: dict[str, Any], field: str, where: str) -> tuple[tuple[str, ...], ...]:
    value = row.get(field)
    good = isinstance(value, list) and value and all(isinstance(g, list) and g for g in value)
    if not good or not all(isinstance(v, str) and v.strip() for group in value or () for v in group):
        raise DataError(f"{where}: {field} is {value!r}; give a list of lists of spellings, like [['14 days', '14']]")
    return tuple(tuple(group) for group in value or ())


def _quotes(row: dict[str, Any], where: str) -> tuple[tuple[str, str], ...]:
    value = row.get("quotes")
    pairs = isinstance(value, list) and value and all(isinstance(q, list) and len(q) == 2 for q in value)
    if not pairs or not all(isinstance(t, str) and t.strip() for quote in value or () for t in quote):
        raise DataError(f"{where}: quotes is {value!r}; give a list of [source, verbatim quote]")
    return tuple((source, quote) for source, quote in value or ())


def _history(row: dict[str, Any], where: str) -> tuple[Turn, ...]:
    turns = row.get("history") or []
    for turn in turns:
        if not isinstance(turn, list) or len(turn) != 2 or turn[0] not in ("user", "assistant"):
            raise DataError(f"{where}: a turn of history is {turn!r}; give ['user' or 'assistant', text]")
    return tuple(Turn(role, text) for role, text in turns)


def _unique(questions: Sequence[Question], path: Path) -> Sequence[Question]:
    seen: set[str] = set()
    for question in questions:
        if question.id in seen:
            raise DataError(f"{path}: the id {question.id!r} stands there twice; give each item its own")
        seen.add(question.id)
    return questions

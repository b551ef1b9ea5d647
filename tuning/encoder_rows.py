"""Rows that tune an encoder: texts with labels, texts with labelled spans, documents without any label.

From JSON lines, CSV, Parquet or Hugging Face datasets through `tuning.tables`. Every problem names its row; spans are
characters of the text, exact, without the spaces at their ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from groundtone.errors import DataError
from tuning.encoder_rows_spans import LabelledSpan, Marked, from_spans, from_tags
from tuning.tables import Problem, Record, read_records, refuse_rows

__all__ = [
    "DocumentRow",
    "LabelledSpan",
    "RowColumns",
    "RowSet",
    "TextRow",
    "TokenRow",
    "read_documents",
    "read_text_rows",
    "read_token_rows",
]

_GUESSES: dict[str, tuple[str, ...]] = {
    "text": ("text", "sentence", "sentence1", "premise", "question1", "utterance", "review", "comment", "content"),
    "text_pair": ("text_pair", "sentence2", "hypothesis", "question2"),
    "label": ("label", "labels", "intent", "sentiment", "class", "category", "target"),
    "context": ("context", "premise", "question", "passage"),
    "spans": ("spans", "entities"),
    "tokens": ("tokens", "words"),
    "tags": ("tags", "ner_tags", "labels"),
    "source": ("source", "doc_id", "document", "file"),
}


@dataclass(frozen=True, slots=True)
class RowColumns:
    """Which column holds what; "" is guessed."""

    text: str = ""
    text_pair: str = ""  # the second text of a pair that is judged
    label: str = ""
    context: str = ""  # shown before a text whose spans are labelled
    spans: str = ""
    tokens: str = ""
    tags: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class TextRow:
    """A text, or a pair of texts, and its labels: one, or any number where labels do not exclude one another."""

    where: str
    text: str
    pair: str | None
    labels: tuple[str, ...]
    source: str = ""


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A text with spans that do not overlap, in reading order; `context` is shown before it and carries no labels."""

    where: str
    text: str
    context: str | None
    spans: tuple[LabelledSpan, ...]
    source: str = ""


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """A document without labels."""

    where: str
    text: str
    source: str = ""


R = TypeVar("R", TextRow, TokenRow, DocumentRow)


@dataclass(frozen=True, slots=True)
class RowSet(Generic[R]):
    """The rows of one source, and what was guessed while reading them."""

    rows: tuple[R, ...]
    notes: tuple[str, ...]


def read_text_rows(
    source: str | Path, *, columns: RowColumns | None = None, labels: Sequence[str] = (), multi_label: bool = False
) -> RowSet[TextRow]:
    """Rows of text, perhaps a second text, and label.

    `labels` are all that may occur, in order: a number in the data is a place among them, and any other label is a
    problem. With `multi_label` a cell is a list, or a text with "|" between labels; an empty one is a text without any.
    """

    def parse(record: Record, named: RowColumns) -> TextRow | str:
        text = _text(record.values, named.text)
        pair = _text(record.values, named.text_pair) if named.text_pair else None
        given = record.values.get(named.label)
        found = _labels(given, labels, multi_label=multi_label)
        if isinstance(text, _Wrong):
            return text.what
        if isinstance(pair, _Wrong):
            return pair.what
        if isinstance(found, _Wrong):
            return f"{named.label} {found.what}"
        return TextRow(record.where, text, pair, found, _source(record, named))

    return _read(source, columns, ("text", "label"), ("text_pair", "source"), parse)


def read_token_rows(
    source: str | Path, *, columns: RowColumns | None = None, labels: Sequence[str] = ()
) -> RowSet[TokenRow]:
    """Rows {text, spans: [{start, end, label}]}, or {tokens, tags} with BIO tags; either may have a context.

    An I- tag that follows no span of its kind begins one. With `labels`, numbers among the tags are places in "O",
    "B-first", "I-first", "B-second" ..., as Hugging Face datasets store them.
    """
    rows = tuple(read_records(source))
    names = {name for row in rows if isinstance(row, Record) for name in row.values}
    given = columns or RowColumns()
    tagged = bool(given.tokens) or (not given.spans and not names & set(_GUESSES["spans"]) and "tokens" in names)

    def parse(record: Record, named: RowColumns) -> TokenRow | str:
        context = record.values.get(named.context) if named.context else None
        if context is not None and not isinstance(context, str):
            return f"{named.context} is a {type(context).__name__}, not a text"
        made = (
            from_tags(record.values.get(named.tokens), record.values.get(named.tags), labels)
            if tagged
            else _spans_of(record.values, named)
        )
        if isinstance(made, str):
            return made
        text, spans = made
        unknown = sorted({span.label for span in spans} - set(labels)) if labels else []
        if unknown:
            return f"label {unknown[0]!r} is unknown: the labels are {', '.join(labels)}"
        return TokenRow(record.where, text, context or None, spans, _source(record, named))

    wanted = ("tokens", "tags") if tagged else ("text", "spans")
    return _read(source, columns, wanted, ("context", "source"), parse, records=rows)


def read_documents(source: str | Path, *, columns: RowColumns | None = None) -> RowSet[DocumentRow]:
    """Documents to learn the words of a domain from: the column `text`."""

    def parse(record: Record, named: RowColumns) -> DocumentRow | str:
        text = _text(record.values, named.text)
        return text.what if isinstance(text, _Wrong) else DocumentRow(record.where, text, _source(record, named))

    return _read(source, columns, ("text",), ("source",), parse)


def _read(
    source: str | Path,
    columns: RowColumns | None,
    needed: Sequence[str],
    welcome: Sequence[str],
    parse: Callable[[Record, RowColumns], R | str],
    *,
    records: Sequence[Record | Problem] | None = None,
) -> RowSet[R]:
    records = tuple(read_records(source)) if records is None else records
    names = Counter(name for record in records if isinstance(record, Record) for name in record.values)
    if not records:
        raise DataError(f"{source}: holds no rows; write one object per line with {' and '.join(needed)}")
    named, notes = _plan(names, columns or RowColumns(), needed, welcome, str(source))
    rows: list[R] = []
    problems: list[str] = []
    for record in records:
        made = record.what if isinstance(record, Problem) else parse(record, named)
        if isinstance(made, str):
            problems.append(f"{record.where}: {made}")
        else:
            rows.append(made)
    refuse_rows(problems)
    return RowSet(tuple(rows), notes)


def _plan(
    names: Counter[str], given: RowColumns, needed: Sequence[str], welcome: Sequence[str], where: str
) -> tuple[RowColumns, tuple[str, ...]]:
    """The columns of the roles that count here; what was guessed under another name than the role's is noted."""
    asked = {role: name for role in (*needed, *welcome) if (name := _column(given, role))}
    absent = sorted(set(asked.values()) - set(names))
    if absent:
        raise DataError(f"{where}: tuning.columns names {', '.join(absent)}, but the columns are {', '.join(names)}")
    found, notes = dict(asked), list[str]()
    for role in (*needed, *welcome):
        if role in asked:
            continue
        name = next((guess for guess in _GUESSES[role] if guess in names and guess not in found.values()), "")
        if name:
            found[role] = name
            notes += [] if name == role else [f"{where}: {role} from {name!r}"]
        elif role in needed:
            raise DataError(
                f"{where}: no column for {role} among {', '.join(names) or 'none'}; name it: tuning.columns.{role}"
            )
    return RowColumns(**found), tuple(notes)


def _column(columns: RowColumns, role: str) -> str:
    named: Mapping[str, str] = {
        "text": columns.text,
        "text_pair": columns.text_pair,
        "label": columns.label,
        "context": columns.context,
        "spans": columns.spans,
        "tokens": columns.tokens,
        "tags": columns.tags,
        "source": columns.source,
    }
    return named[role]


@dataclass(frozen=True, slots=True)
class _Wrong:
    what: str


def _text(values: Mapping[str, Any], name: str) -> str | _Wrong:
    value = values.get(name)
    if not isinstance(value, str) or not value.strip():
        return _Wrong(f"{name} is {value!r}: write a text that is not empty")
    return value


def _spans_of(values: Mapping[str, Any], columns: RowColumns) -> Marked | str:
    text = _text(values, columns.text)
    if isinstance(text, _Wrong):
        return text.what
    spans = from_spans(text, values.get(columns.spans))
    return f"{columns.spans}: {spans}" if isinstance(spans, str) else (text, spans)


def _source(record: Record, columns: RowColumns) -> str:
    value = record.values.get(columns.source) if columns.source else None
    return "" if value is None else str(value)


def _labels(value: Any, known: Sequence[str], *, multi_label: bool) -> tuple[str, ...] | _Wrong:
    if multi_label and isinstance(value, str):
        value = [part.strip() for part in value.split("|") if part.strip()]
    if isinstance(value, list | tuple) and not multi_label:
        return _Wrong(f"is a list ({value!r}): set tuning.encoder.multi_label, or give each row one label")
    if multi_label and not isinstance(value, list | tuple):
        return _Wrong(f'is {value!r}: with tuning.encoder.multi_label give a list, or labels with "|" between them')
    made = [_label(item, known) for item in (value if multi_label else [value])]
    wrong = next((item for item in made if isinstance(item, _Wrong)), None)
    if wrong is not None:
        return wrong
    return tuple(dict.fromkeys(item for item in made if isinstance(item, str)))


def _label(value: Any, known: Sequence[str]) -> str | _Wrong:
    if isinstance(value, int) and not isinstance(value, bool) and known:
        if str(value) in known:
            return str(value)
        return known[value] if 0 <= value < len(known) else _Wrong(f"is {value}: there are {len(known)} labels, from 0")
    if not isinstance(value, str | int) or (isinstance(value, str) and not value.strip()):
        return _Wrong(f"is {value!r}: write a label that is not empty")
    label = str(value).strip()
    if known and label not in known:
        return _Wrong(f"is {label!r}, which is unknown: the labels are {', '.join(known)}")
    return label

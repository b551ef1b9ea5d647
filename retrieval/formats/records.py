"""JSON and JSON lines -> Markdown: one section per record, one line per field."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from groundtone.errors import DocumentError
from retrieval.formats.encodings import decode, one_line_end
from retrieval.formats.extract import Extract

_NAMES = ("title", "name", "heading", "subject", "question", "label", "id", "key")
_LONG_CHARS = 160  # a longer text gets paragraphs of its own
_MOST_DEPTH = 12  # what is nested deeper is written as JSON
_HEADING_CHARS = 100


def read_json(data: bytes) -> Extract:
    """A list gives one section per item; an object one section per field that holds more than a value."""
    decoded = decode(data)
    try:
        value = json.loads(decoded.text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and error.lineno > 1:  # lines of JSON under the wrong name
            return read_jsonl(data)
        raise DocumentError(f"it is no JSON (line {error.lineno}: {error.msg}); mend or export it again") from error
    except RecursionError as error:
        raise DocumentError("its values are nested too deeply to be read; flatten it") from error
    records = value if isinstance(value, list) else None
    text = _sections(records) if records is not None else "\n\n".join(_object(value))
    title = str(value.get("title") or "") if isinstance(value, dict) else ""
    return Extract(one_line_end(text), title, meta=decoded.meta())


def read_jsonl(data: bytes) -> Extract:
    """One section per line. A line that is no JSON is an error that names it."""
    decoded = decode(data)
    records = []
    for number, line in enumerate(one_line_end(decoded.text).split("\n"), 1):
        if not line.strip():
            continue
        try:
            records.append(json.loads(line))
        except (json.JSONDecodeError, RecursionError) as error:
            raise DocumentError(f"line {number} is no JSON ({error}); mend or export it again") from error
    return Extract(one_line_end(_sections(records)), meta=decoded.meta())


def _sections(records: list[Any]) -> str:
    if not any(isinstance(record, dict | list) for record in records):
        return "\n".join(f"- {_shown(record)}" for record in records)
    return "\n\n".join(
        "\n\n".join([f"## {_name(record, number)}", *_fields(record)]) for number, record in enumerate(records, 1)
    )


def _object(value: Any) -> Iterator[str]:
    """The plain fields first, then a section for each field that holds more."""
    if not isinstance(value, dict):
        yield _shown(value)
        return
    plain = {key: v for key, v in value.items() if not isinstance(v, dict | list) or not v}
    yield from _fields(plain)
    for key, inner in value.items():
        if key in plain:
            continue
        yield f"## {_one_line(str(key))}"
        if isinstance(inner, list) and any(isinstance(item, dict) for item in inner):
            for number, item in enumerate(inner, 1):
                yield f"### {_name(item, number)}"
                yield from _fields(item)
        else:
            yield from _fields(inner)


def _name(record: Any, number: int) -> str:
    """What a record calls itself, else its number."""
    fields = {str(key).lower(): v for key, v in record.items()} if isinstance(record, dict) else {}
    for key in _NAMES:
        found = fields.get(key)
        if isinstance(found, str | int) and not isinstance(found, bool) and any(c.isalnum() for c in str(found)):
            return _one_line(str(found))[:_HEADING_CHARS]
    return f"Record {number}"


def _fields(record: Any) -> Iterator[str]:
    """The fields of a record: short ones as one list, long texts as paragraphs under their name."""
    short: list[str] = []
    for path, value in _flat(record, "", 0):
        text = _shown(value)
        if "\n" in text.strip() or len(text) > _LONG_CHARS:
            if short:
                yield "\n".join(short)
                short = []
            yield f"{path}:\n\n{text.strip()}" if path else text.strip()
        elif text:
            short.append(f"- {path}: {_one_line(text)}" if path else f"- {_one_line(text)}")
    if short:
        yield "\n".join(short)


def _flat(value: Any, path: str, depth: int) -> Iterator[tuple[str, Any]]:
    """Paths such as "price.net" and the values there; a list of plain values is one value."""
    if depth >= _MOST_DEPTH and isinstance(value, dict | list):
        yield path, json.dumps(value, ensure_ascii=False)
    elif isinstance(value, dict):
        for key, inner in value.items():
            name = _one_line(str(key))
            yield from _flat(inner, f"{path}.{name}" if path else name, depth + 1)
    elif isinstance(value, list):
        if any(isinstance(item, dict | list) for item in value):
            for number, inner in enumerate(value, 1):
                yield from _flat(inner, f"{path}.{number}" if path else str(number), depth + 1)
        elif value:
            yield path, ", ".join(_shown(item) for item in value)
    elif value is not None:
        yield path, value


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _one_line(text: str) -> str:
    return " ".join(text.split())

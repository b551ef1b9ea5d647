"""Evaluation records as lines of JSON: a record read back equals the one written. Unknown fields are ignored."""

from __future__ import annotations

import dataclasses
import json
import numbers
import types
import typing
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Union, get_args, get_origin

from groundtone.errors import IntegrityError
from groundtone.types import EvalRecord

__all__ = ["from_json", "read_records", "to_json"]

_Decoder = Callable[[Any], Any]


def to_json(record: EvalRecord) -> str:
    """One line without a line break at its end; NaN is refused with ValueError."""
    return json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)


def from_json(line: str) -> EvalRecord:
    """The record of one line. Raises IntegrityError for anything that is no record."""
    try:
        return typing.cast(EvalRecord, _decoder(EvalRecord)(json.loads(line)))
    except (ValueError, TypeError, KeyError, AttributeError, AssertionError) as error:
        raise IntegrityError(f"not an evaluation record ({error}): {line[:80]!r}") from error


def _plain(value: Any) -> float | dict[str, Any]:
    """A dataclass by its fields; numbers of other libraries (NumPy's, torch's) as plain ones."""
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, numbers.Real):
        return float(value)
    raise TypeError(f"a record cannot hold {type(value).__name__}: {value!r}")


def read_records(path: Path) -> list[EvalRecord]:
    """All records of a file in order. A half-written last line (no line break) is left out; it was never finished.

    Raises IntegrityError naming file and line.
    """
    records = []
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], 1):
        try:
            records.append(from_json(line.decode("utf-8")))
        except (IntegrityError, UnicodeDecodeError) as error:
            raise IntegrityError(f"{path}:{number}: {error}; move the file away and evaluate again") from error
    return records


@cache
def _decoder(kind: Any) -> _Decoder:
    """How JSON becomes a value of the annotated type: dataclasses, tuples, mappings and unions of them."""
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _dataclass_decoder(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is tuple:
        return _tuple_decoder(arguments)
    if origin in (dict, Mapping) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        inner = _decoder(arguments[1])
        return lambda value: {key: inner(item) for key, item in value.items()}
    if origin in (Union, types.UnionType):
        some = [a for a in arguments if a is not type(None)]
        assert len(some) == 1, f"{kind}: only optional types are stored"
        inner = _decoder(some[0])
        return lambda value: None if value is None else inner(value)
    return lambda value: value


def _tuple_decoder(arguments: tuple[Any, ...]) -> _Decoder:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        inner = _decoder(arguments[0])
        return lambda value: tuple(inner(item) for item in value)
    decoders = [_decoder(argument) for argument in arguments]
    return lambda value: tuple(decode(item) for decode, item in zip(decoders, value, strict=True))


def _dataclass_decoder(kind: type) -> _Decoder:
    hints = typing.get_type_hints(kind)
    decoders = {field.name: _decoder(hints[field.name]) for field in dataclasses.fields(kind)}

    def decode(value: Mapping[str, Any]) -> Any:
        return kind(**{name: decoders[name](item) for name, item in value.items() if name in decoders})

    return decode

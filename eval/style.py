"""The voice's checkable format, from style.yaml: what `metrics.format` enforces and what a prompted base is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from eval.validators import Banned, Closing, Length, Opening, Rule, read_rules
from groundtone.errors import DataError
from groundtone.types import VoicePair

__all__ = ["Style", "read_style"]

_FIELDS = ("guide", "opens_with", "closes_with", "max_words", "forbidden", "validators", "examples")


@dataclass(frozen=True, slots=True)
class Style:
    """The house style. An empty list or a limit of 0 is a rule that does not apply."""

    guide: str = ""
    opens_with: tuple[str, ...] = ()
    closes_with: tuple[str, ...] = ()
    max_words: int = 0
    forbidden: tuple[str, ...] = ()
    examples: tuple[VoicePair, ...] = ()
    validators: tuple[Rule, ...] = ()

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Every rule as a validator, the short fields first."""
        short: list[Rule] = []
        if self.opens_with:
            short.append(Opening(kind="opening", phrases=self.opens_with))
        if self.closes_with:
            short.append(Closing(kind="closing", phrases=self.closes_with))
        if self.max_words:
            short.append(Length(kind="length", max=self.max_words))
        if self.forbidden:
            short.append(Banned(kind="banned", phrases=self.forbidden))
        return (*short, *self.validators)

    @property
    def boilerplate(self) -> tuple[str, ...]:
        """The fixed phrases, which assert nothing and are no claims."""
        return (*self.opens_with, *self.closes_with)


def read_style(path: Path) -> Style:
    """The style in a YAML file. Raises DataError naming the file and the field."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); set eval.style to the style file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: is not YAML in UTF-8 ({' '.join(str(error).split())})") from error
    if not isinstance(data, dict):
        raise DataError(f"{path}: holds {type(data).__name__}; write a mapping with {', '.join(_FIELDS)}")
    for key in data:
        if key not in _FIELDS:
            near = get_close_matches(str(key), _FIELDS, 1)
            raise DataError(f"{path}: unknown field {key!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    words = data.get("max_words", 0)
    if not isinstance(words, int) or words < 0:
        raise DataError(f"{path}: max_words is {words!r}; give a number of words, or leave it out")
    examples = data.get("examples") or []
    return Style(
        guide=str(data.get("guide") or "").strip(),
        opens_with=_phrases(path, data, "opens_with"),
        closes_with=_phrases(path, data, "closes_with"),
        max_words=words,
        forbidden=_phrases(path, data, "forbidden"),
        examples=tuple(_pair(path, number, row) for number, row in enumerate(examples, 1)),
        validators=read_rules(data.get("validators") or [], where=str(path)),
    )


def _phrases(path: Path, data: Mapping[str, Any], field: str) -> tuple[str, ...]:
    value = data.get(field) or []
    if not isinstance(value, list) or not all(isinstance(v, str) and v.strip() for v in value):
        raise DataError(f"{path}: {field} is {value!r}; give a list of phrases")
    return tuple(value)


def _pair(path: Path, number: int, row: Any) -> VoicePair:
    if not isinstance(row, dict) or not all(isinstance(row.get(k), str) and row[k] for k in ("prompt", "reply")):
        raise DataError(f"{path}: example {number} is {row!r}; give a mapping with prompt and reply")
    context = row.get("context") or []
    tags = row.get("tags") or []
    return VoicePair(row["prompt"], row["reply"], str(row.get("source", "")), tuple(context), tuple(tags))

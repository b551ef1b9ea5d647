"""Spans of a text from two forms: objects with start, end and label, and BIO tags on tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

__all__ = ["LabelledSpan", "Marked", "from_spans", "from_tags"]

_BEGINS = {"B", "S", "U"}  # of BIO, IOBES and BILOU
_INSIDE = {"I", "E", "L"}


@dataclass(frozen=True, slots=True)
class LabelledSpan:
    """`text[start:end]` is of the kind `label`."""

    start: int
    end: int
    label: str


Marked = tuple[str, tuple[LabelledSpan, ...]]


def from_spans(text: str, given: Any) -> tuple[LabelledSpan, ...] | str:
    """Spans in reading order, without the spaces at their ends; or what is wrong with them."""
    if isinstance(given, str):  # a cell of a CSV file
        try:
            given = json.loads(given or "[]")
        except ValueError:
            return f"{given[:60]!r} is no JSON: write a list of objects with start, end and label"
    if not isinstance(given, list | tuple):
        return f"{given!r} where a list of objects with start, end and label was expected; [] for none"
    spans: list[LabelledSpan] = []
    for item in given:
        span = _span(text, item)
        if isinstance(span, str):
            return span
        spans.append(span)
    spans.sort(key=lambda span: span.start)
    for before, after in pairwise(spans):
        if after.start < before.end:
            shown = f"{text[before.start : before.end]!r} and {text[after.start : after.end]!r}"
            return f"spans overlap at character {after.start} ({shown}): a token has one label, keep one of them"
    return tuple(spans)


def _span(text: str, item: Any) -> LabelledSpan | str:
    """A span without the spaces at its ends, or what is wrong with it."""
    if not isinstance(item, Mapping):
        return f"span {item!r} is no object: write start, end and label"
    start, end, label = item.get("start"), item.get("end"), item.get("label")
    if type(start) is not int or type(end) is not int or not isinstance(label, str) or not label.strip():
        return f"span {dict(item)!r}: start and end must be whole numbers and label a text that is not empty"
    if not 0 <= start < end <= len(text):
        return f"span {start} to {end} lies outside the text, which has {len(text)} characters, or is empty"
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return LabelledSpan(start, end, label.strip()) if start < end else f"span at {start} holds nothing but spaces"


def from_tags(tokens: Any, tags: Any, labels: Sequence[str]) -> Marked | str:
    """Tokens joined by single spaces, and their tags as spans of that text; or what is wrong with them."""
    if not isinstance(tokens, list | tuple) or not all(isinstance(t, str) and t.strip() for t in tokens) or not tokens:
        return f"tokens are {str(tokens)[:60]}: write a list of texts, none of them empty"
    if not isinstance(tags, list | tuple) or len(tags) != len(tokens):
        count = len(tags) if isinstance(tags, list | tuple) else "no"
        return f"{count} tags for {len(tokens)} tokens: write one tag per token"
    numbered = ["O", *(f"{kind}-{label}" for label in labels for kind in "BI")]
    spans: list[LabelledSpan] = []
    at, open_label = 0, ""
    for token, tag in zip(tokens, tags, strict=True):
        if type(tag) is int and labels and 0 <= tag < len(numbered):
            tag = numbered[tag]
        kind, _, label = tag.partition("-") if isinstance(tag, str) else ("", "", "")
        end = at + len(token)
        if kind == "O" and not label:
            open_label = ""
        elif kind in _BEGINS | _INSIDE and label:
            if kind in _INSIDE and label == open_label:
                spans[-1] = LabelledSpan(spans[-1].start, end, label)
            else:
                spans.append(LabelledSpan(at, end, label))
            open_label = label
        else:
            hint = "" if labels else ", or name tuning.encoder.labels where tags are numbers"
            return f"tag {tag!r}: write O, B-name or I-name{hint}"
        at = end + 1
    return " ".join(tokens), tuple(spans)

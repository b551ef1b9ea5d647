"""Passages that say the same thing, or the same thing with another value, among the results of one search.

Copies collapse into one result. Where two dated documents differ in a value, the newer effective date goes first; a
date that is still to come comes after those that hold today.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from groundtone.text import words
from groundtone.types import Passage
from retrieval.snapshot import Snapshot

__all__ = ["Duplicate", "Entry", "collapse"]

COPY = 0.97  # cosine of the two passages' vectors, their headings embedded with them
RIVAL = 0.85  # of two statements that may differ in a value; their words decide
_SAME_WORDS = 0.9  # Jaccard overlap: fewer differing words are another spelling
_SAME_TOPIC = 0.75
_LEAST_WORDS = 8  # a short text such as "Price: 20 euros" says different things below different headings
_NEGATIONS = frozenset("no not never none nor without cannot except unless neither".split())


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A passage that was left out, and why."""

    passage: Passage
    why: str


@dataclass(slots=True)
class Entry:
    """One result in the making: `at` is its place in the list that `collapse` was given."""

    at: int
    score: float
    duplicates: list[Duplicate] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def collapse(
    snap: Snapshot, ids: Sequence[int], scores: Sequence[float], *, query: str, today: str = ""
) -> list[Entry]:
    """The passages `ids`, best first, without copies; of two dated versions of a statement the newer one first.

    A version whose date comes after `today` (ISO; default: the snapshot's day) is not in force and goes behind. Scores
    stay in order: what takes another's place takes its score too. A query that names the year of the one that would
    go behind keeps the order.
    """
    today = today or snap.day
    vectors = snap.cache.stored[snap.first[list(ids)]].astype(np.float32)
    text_of = np.unique([" ".join(snap.passages[i].text.casefold().split()) for i in ids], return_inverse=True)[1]
    cosines = vectors @ vectors.T
    rivals = (cosines > RIVAL) | (text_of[:, None] == text_of[None, :])
    alone = rivals.sum(axis=1) == 1  # with itself
    kept: list[Entry] = []
    for at, score in enumerate(scores):
        entry = Entry(at, score)
        merged = False
        for other in () if alone[at] else kept:
            if not rivals[entry.at, other.at]:
                continue
            one, two = (snap.passages[ids[e.at]] for e in (entry, other))
            same_text = bool(text_of[entry.at] == text_of[other.at])
            kind = _relation(one, two, same_text=same_text, near=bool(cosines[entry.at, other.at] > COPY))
            if kind == "copy":
                _merge(snap, ids, other, entry, today=today)
                merged = True
                break
            if kind == "conflict":
                _newer_first(snap, ids, other, entry, query=query, today=today)
        if not merged:
            kept.append(entry)
    return kept


def _relation(one: Passage, other: Passage, *, same_text: bool, near: bool) -> Literal["copy", "conflict", ""]:
    if same_text:
        same = one.heading == other.heading or len(words(one.text)) >= _LEAST_WORDS
        return "copy" if same else ""
    a, b = set(words(one.text)), set(words(other.text))
    overlap = len(a & b) / max(1, len(a | b))
    valued = {w for w in a ^ b if w in _NEGATIONS or any(c.isdigit() for c in w)}
    text = f"{one.text} {other.text}"
    if any(re.search(rf"\b{re.escape(word)}\b", text) is None for word in (a ^ b) - valued):
        return ""  # a name that one of them lacks, for it is never written in small letters: about different things
    if valued:
        return "conflict" if overlap >= _SAME_TOPIC else ""
    return "copy" if near and overlap >= _SAME_WORDS else ""


def _merge(snap: Snapshot, ids: Sequence[int], kept: Entry, copy: Entry, *, today: str) -> None:
    """The kept one stays unless its copy's document counts from a later date that has come."""
    dates = _effective(snap, ids[kept.at]), _effective(snap, ids[copy.at])
    if all(dates) and _force(dates[1], today) > _force(dates[0], today):
        kept.at, copy.at = copy.at, kept.at
        other = _dated(snap, ids[copy.at])
        coming = f"shown instead of {other}, which is not in force before {dates[0]}"
        kept.notes.append(coming if dates[0] > today else f"shown for its later date instead of {other}")
    kept.duplicates.append(
        Duplicate(snap.passages[ids[copy.at]], f"says the same as {snap.passages[ids[kept.at]].source}")
    )


def _newer_first(snap: Snapshot, ids: Sequence[int], first: Entry, second: Entry, *, query: str, today: str) -> None:
    """Two statements that differ in a value: told in their notes, and put in the order of their dates."""
    dates = _effective(snap, ids[first.at]), _effective(snap, ids[second.at])
    if not all(dates) or dates[0] == dates[1]:
        return
    swaps = _force(dates[1], today) > _force(dates[0], today)
    if swaps and re.search(rf"\b{re.escape(dates[0][:4])}\b", query) is None:
        first.at, second.at = second.at, first.at
        first.duplicates, second.duplicates = second.duplicates, first.duplicates
        first.notes, second.notes = second.notes, first.notes
    newer, older = first, second
    if _force(_effective(snap, ids[first.at]), today) < _force(_effective(snap, ids[second.at]), today):
        newer, older = second, first
    coming = _effective(snap, ids[older.at])
    if coming > today >= _effective(snap, ids[newer.at]):
        newer.notes.append(f"changes on {coming} with {_dated(snap, ids[older.at])}, which differs in a value")
        older.notes.append(f"not in force before {coming}: until then {_dated(snap, ids[newer.at])} holds")
        return
    newer.notes.append(f"newer than {_dated(snap, ids[older.at])}, which differs in a value")
    older.notes.append(f"superseded by {_dated(snap, ids[newer.at])}, which differs in a value")


def _force(date: str, today: str) -> tuple[bool, str]:
    """Larger for what holds today than for what is to come, then for the later date."""
    return date <= today, date


def _effective(snap: Snapshot, i: int) -> str:
    return snap.facts(i).effective


def _dated(snap: Snapshot, i: int) -> str:
    date = _effective(snap, i)
    return f"{snap.passages[i].source} ({date})" if date else snap.passages[i].source

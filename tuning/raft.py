"""Rows made like the runtime: passages of the user's own documents around the right one, and rows without it.

After RAFT (Zhang et al. 2024, arXiv 2403.10131), with three differences. Passages stand in the order that the search
gives them and are never shuffled: a served prompt is ranked, and a model that was taught with the right passage at a
random place refused questions whose answer stood first (docs/log.md). Where the right passage is missing, the reply
refuses in the house voice; RAFT answers from memory there, which is what a voice must not learn. And no chain of
thought is written.

A row whose reply cites keeps every passage that it cites, its [n] renumbered. A passage that holds the answer too, or
reads as if it did, is never a distractor. The same seed makes the same rows; a row's draw depends on nothing but
itself and its number.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from groundtone.errors import DataError
from groundtone.refusal import is_refusal
from groundtone.text import contains_value, content_words, sentence_spans
from groundtone.types import VoicePair, short_hash
from tuning.facts import blank_house, facts_in

__all__ = ["Candidate", "Kind", "MadeRow", "RaftRows", "Search", "make_rows"]

Kind = Literal["answer", "no gold", "refusal"]
_MARKER = re.compile(r"\[(\d+)\]")
_SAME_STATEMENT = 0.8  # share of a valueless reply's content words that make a passage hold it too


@dataclass(frozen=True, slots=True)
class Candidate:
    """A passage as a prompt would show it. `own` is its place in the row's context, None for one of the documents.

    `answers` says whether it reads as answering the prompt; None where nobody read it.
    """

    text: str
    own: int | None = None
    source: str = ""
    answers: bool | None = None


Search = Callable[[Sequence[VoicePair]], Sequence[Sequence[Candidate]]]
"""For each row the passages in the order of a search, best first, all of the row's own among them."""


@dataclass(frozen=True, slots=True)
class MadeRow:
    """What became of one row. `index` counts the pairs as given, `gold` the places of what is cited, both from 0."""

    index: int
    kind: Kind
    gold: tuple[int, ...]
    documents: tuple[str, ...]  # sources of the passages that came from the documents


@dataclass(frozen=True, slots=True)
class RaftRows:
    """All rows in their old order, the rebuilt ones in place of what they were."""

    pairs: tuple[VoicePair, ...]
    made: tuple[MadeRow, ...]

    @property
    def documents(self) -> tuple[str, ...]:
        """Sources of all documents that the rows now quote, sorted."""
        return tuple(sorted({source for row in self.made for source in row.documents}))

    @property
    def first_places(self) -> dict[int, int]:
        """How many answering rows have their first cited passage at which place, from 1."""
        return dict(sorted(Counter(min(row.gold) + 1 for row in self.made if row.gold).items()))

    def summary(self) -> str:
        """One line for people."""
        kinds = Counter(row.kind for row in self.made)
        first = self.first_places
        placed = f", the cited passage first in {first.get(1, 0)} of {sum(first.values())}" if first else ""
        return (
            f"rows like the runtime: {len(self.made)} of {len(self.pairs)} rebuilt with passages of "
            f"{len(self.documents)} documents ({kinds['answer']} answers, {kinds['no gold']} refusals instead of an "
            f"answer, {kinds['refusal']} refusals as before){placed}"
        )


def make_rows(
    pairs: Sequence[VoicePair],
    search: Search,
    *,
    share: float,
    no_gold: float,
    shown: int,
    budget_chars: float,
    refusals: Sequence[str],
    distractors: int | None = None,
    house: Sequence[str] = (),
    seed: int = 0,
) -> RaftRows:
    """A `share` of the rows that have passages, rebuilt as the assistant would show them.

    `no_gold` is the share of rebuilt answers that lose what they cite and refuse with one of `refusals`; a prompt holds
    at most `shown` passages and about `budget_chars`, but always all that is cited; `distractors` bounds those that
    are not. Raises DataError where refusals are wanted and none is known.
    """
    if share and no_gold and not refusals:
        raise DataError(
            f"tuning.raft.no_gold is {no_gold:g}, but no refusal in the house voice is known: add one to the examples "
            "of the style file or to the rows, or set tuning.raft.no_gold to 0"
        )
    draws = [random.Random(short_hash("raft", str(seed), str(n), pair.prompt)) for n, pair in enumerate(pairs)]
    chosen = [n for n, pair in enumerate(pairs) if pair.context and draws[n].random() < share]
    found = search([pairs[n] for n in chosen])
    rows = list(pairs)
    made = []
    room = _Room(shown, budget_chars, distractors)
    for n, candidates in zip(chosen, found, strict=True):
        loses = draws[n].random() < no_gold
        refusal = draws[n].choice(refusals) if loses else ""
        rebuilt = _rebuilt(pairs[n], candidates, room, refusal=refusal, house=house)
        if rebuilt is not None:
            rows[n], kind, kept = rebuilt
            documents = tuple(sorted({c.source for c in kept if c.own is None}))
            gold = tuple(sorted(int(number) - 1 for number in set(_MARKER.findall(rows[n].reply))))
            made.append(MadeRow(n, kind, gold, documents))
    return RaftRows(tuple(rows), tuple(made))


@dataclass(frozen=True, slots=True)
class _Room:
    """What a prompt holds."""

    shown: int
    budget_chars: float
    distractors: int | None

    def fill(self, candidates: Sequence[Candidate], *, needed: frozenset[int] = frozenset()) -> list[Candidate]:
        """The candidates that fit, in their order: own passages in `needed` always, the best of the others beside."""
        must = [c for c in candidates if c.own in needed and c.own is not None]
        free = max(0, self.shown - len(must))
        free = free if self.distractors is None else min(free, self.distractors)
        left = self.budget_chars - sum(len(c.text) for c in must)
        kept = []
        for candidate in candidates:
            if candidate.own is not None and candidate.own in needed:
                kept.append(candidate)
            elif free and (len(candidate.text) <= left or (not kept and not must)):
                kept.append(candidate)
                free, left = free - 1, left - len(candidate.text)
        return kept


def _rebuilt(
    pair: VoicePair, candidates: Sequence[Candidate], room: _Room, *, refusal: str, house: Sequence[str]
) -> tuple[VoicePair, Kind, list[Candidate]] | None:
    """The row as the assistant would show it; None where that cannot be done without a doubt."""
    if is_refusal(pair.reply):
        # A document may well answer what the row's own passages do not: only a reader's "no" makes it a distractor.
        kept = room.fill([c for c in candidates if c.own is not None or c.answers is False])
        return _with(pair, kept, tag="raft"), "refusal", kept
    cited = frozenset(int(number) - 1 for number in _MARKER.findall(pair.reply))
    needed = cited or frozenset(range(len(pair.context)))  # a reply that cites nothing may rest on any of them
    holds = _holding(pair, needed, house)
    harmless = [c for c in candidates if c.own is not None or not (c.answers or holds(c.text))]
    if refusal and cited:
        rest = [c for c in harmless if c.own not in needed and not holds(c.text)]
        kept = room.fill(rest)
        if kept:
            return replace(_with(pair, kept, tag="raft no gold"), reply=refusal), "no gold", kept
    kept = room.fill(harmless, needed=needed)
    return _with(pair, kept, tag="raft"), "answer", kept


def _with(pair: VoicePair, kept: Sequence[Candidate], *, tag: str) -> VoicePair:
    """The pair over these passages, its markers renumbered to where the passages now stand."""
    place = {c.own: n for n, c in enumerate(kept, 1) if c.own is not None}

    def moved(match: re.Match[str]) -> str:
        return f"[{place[int(match.group(1)) - 1]}]"

    reply = _MARKER.sub(moved, pair.reply) if tag == "raft" else pair.reply
    return replace(pair, context=tuple(c.text for c in kept), reply=reply, tags=(*pair.tags, tag))


def _holding(pair: VoicePair, needed: frozenset[int], house: Sequence[str]) -> Callable[[str], bool]:
    """Whether a text says what the reply takes from its passages: all of its values, else most of its words."""
    said = _MARKER.sub("", blank_house(pair.reply, house))
    given = " ".join(pair.context[n] for n in sorted(needed))
    sources = [fact for n in sorted(needed) for fact in facts_in(pair.context[n])]
    values = [f for f in facts_in(said) if f.kind != "name" and any(f.same_as(other) for other in sources)]
    names = [f.text for f in facts_in(said) if f.kind == "name" and contains_value(given, f.text)]
    sentences = [said[start:end] for start, end in sentence_spans(said)]
    words = set(content_words(" ".join(sentences))) & set(content_words(given))

    def holds(text: str) -> bool:
        if not values:
            return bool(words) and len(words & set(content_words(text))) >= _SAME_STATEMENT * len(words)
        there = facts_in(text)
        return all(any(f.same_as(other) for other in there) for f in values) and all(
            contains_value(text, name) for name in names
        )

    return holds

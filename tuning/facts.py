"""The facts-in-voice check: which numbers, dates, prices, addresses, codes and names do the replies teach?

A voice is tuned on how things are said. A value that the row's own passages or prompt hold is copied, and that is fine.
One that only the documents hold would be memorised and go stale; one that nothing holds teaches invention. New facts
are learned slowly in tuning, and once learned they raise hallucination (Gekhman et al. 2024, arXiv 2405.05904).

Reads English. Not seen: a wrong value that another sentence of the cited passage holds, a false statement without a
value in it, and a single name as the first word of a sentence.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from groundtone.text import contains_value, sentence_spans
from groundtone.types import VoicePair
from groundtone.units import MONTHS, WEEKDAYS
from groundtone.values import Value, find_names, find_values

__all__ = ["Fact", "FactReport", "Finding", "Lookup", "Where", "blank_house", "check_facts", "facts_in", "nowhere"]

Where = Literal[
    "given", "generic", "other passage", "document", "nowhere"
]  # generic: a way of speaking, the house's name
TAUGHT: tuple[Where, ...] = ("other passage", "document", "nowhere")

_URL = re.compile(
    r"(?:https?://|www\.)[^\s<>\"')\]]*[\w/]|(?<![@\w.-])(?:[\w-]+\.)+(?:com|org|net|io|example)\b(?:/[\w/-]+)?"
)
_CODE = re.compile(
    r"(?<![\w-])(?=[A-Z0-9/-]*\d)(?:[A-Z]{1,6}(?:[-/][A-Z0-9]+)+|[A-Z]{2,6}\d{2,}[A-Z0-9]*|\d{2,}[A-Z]{2,}\d*)(?![\w-])"
    r"|(?<!\w)#\d{3,}\b"
)
_MARKER = re.compile(r"\[(\d+)\]")
_WISH = re.compile(r"\b(?:happy|good|nice|great|lovely|pleasant|fine)\s+$", re.IGNORECASE)
_SMALL = 12  # up to a dozen, in words, counts nothing in particular: "the two of us"
_SHORT_S = 300.0  # "give us two minutes"


@dataclass(frozen=True, slots=True)
class Fact:
    """One checkable value of a text, at `start:end`. `kind` is a kind of `groundtone.values`, "url" or "code"."""

    kind: str
    key: str
    text: str
    start: int
    end: int
    value: Value | None = None  # None for names, addresses on the web and codes: their text is the value

    def same_as(self, other: Fact) -> bool:
        """Whether both mean the same."""
        if self.value is not None and other.value is not None:
            return self.value.same_as(other.value)
        return self.kind == other.kind and self.key == other.key


Lookup = Callable[[Fact, str], str]  # (fact, its sentence) -> the source of a document that holds it, or ""


@dataclass(frozen=True, slots=True)
class Finding:
    """A value that a row teaches. `row` counts from 0; `start:end` is its place in the reply."""

    row: int
    fact: Fact
    where: Where
    source: str = ""  # the document that holds it, or the passage of the row ("[2]") where another one is cited

    @property
    def suggestion(self) -> str:
        """What to do about it."""
        if self.where == "document":
            return f"put the passage of {self.source} into the row's context, or take the value out: it goes stale"
        if self.where == "other passage":
            return f"cite {self.source}, which holds it, or mend the value"
        return "mend it, give the passage that holds it, or take it out: it teaches invention"


@dataclass(frozen=True, slots=True)
class FactReport:
    """What came of the check. `counts` has every value of every reply by where it was found."""

    rows: int
    counts: dict[Where, int] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    looked_up: bool = True  # whether there were documents to look in

    @property
    def values(self) -> int:
        """How many values the replies hold."""
        return sum(self.counts.values())

    @property
    def taught_rows(self) -> tuple[int, ...]:
        """The rows that teach a fact, in order, each once."""
        return tuple(sorted({finding.row for finding in self.findings}))

    @property
    def share(self) -> float:
        """Share of rows that teach a fact, 0 to 1."""
        return len(self.taught_rows) / self.rows if self.rows else 0.0

    def summary(self) -> str:
        """One line for people."""
        by = ", ".join(f"{self.counts.get(w, 0)} {_SAID[w]}" for w in TAUGHT if self.counts.get(w))
        unseen = "" if self.looked_up else " (no index: the documents were not looked up)"
        found = f"{len(self.taught_rows)} of {self.rows} rows teach facts: {by}" if by else "no row teaches a fact"
        return f"facts in voice: {self.values} values in {self.rows} replies; {found}{unseen}"


_SAID: dict[Where, str] = {
    "other passage": "not in the cited passage",
    "document": "only in the documents",
    "nowhere": "nowhere",
}


def nowhere(fact: Fact, sentence: str) -> str:
    """The lookup of somebody without documents."""
    return ""


def check_facts(
    pairs: Sequence[VoicePair], lookup: Lookup = nowhere, *, house: Sequence[str] = (), looked_up: bool = True
) -> FactReport:
    """Every value of every reply, and where it stands. `house` are the fixed phrases of the style: they assert nothing.

    A sentence that cites is held to the passages it cites, and to what was said before; any other to all of the row.
    `lookup` is asked only for values that the row does not hold.
    """
    counts: Counter[Where] = Counter()
    findings: list[Finding] = []
    own = frozenset(name for phrase in house for name in find_names(phrase))
    for row, pair in enumerate(pairs):
        for finding in _of_row(row, pair, lookup, house, own):
            counts[finding.where] += 1
            if finding.where in TAUGHT:
                findings.append(finding)
    return FactReport(len(pairs), dict(counts), tuple(findings), looked_up)


def _of_row(row: int, pair: VoicePair, lookup: Lookup, house: Sequence[str], own: frozenset[str]) -> Iterator[Finding]:
    reply = blank_house(pair.reply, house)
    facts = facts_in(reply)
    if not facts:
        return
    said = _Text("\n".join((*(turn.text for turn in pair.history), pair.prompt)))
    passages = [_Text(text) for text in pair.context]
    spans = sentence_spans(reply)
    for fact in facts:
        start, end = next(((s, e) for s, e in spans if s <= fact.start < e), (0, len(reply)))
        sentence = reply[start:end]
        cited = {int(n) - 1 for n in _MARKER.findall(sentence)} & set(range(len(passages)))
        holding = [n for n, passage in enumerate(passages) if passage.holds(fact)]
        if said.holds(fact) or (cited.intersection(holding) if cited else holding):
            yield Finding(row, fact, "given")
        elif holding:
            yield Finding(row, fact, "other passage", f"[{holding[0] + 1}]")
        elif not own.isdisjoint(_forms(fact.text)) or (not passages and _is_generic(fact, reply)):
            yield Finding(row, fact, "generic")
        else:
            source = lookup(fact, sentence)
            yield Finding(row, fact, "document" if source else "nowhere", source)


class _Text:
    """A passage or prompt with its values, read once."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.facts = [fact for fact in facts_in(text) if fact.kind != "name"]

    def holds(self, fact: Fact) -> bool:
        """A name stands in the text in any case; any other value equals one of the text's."""
        if fact.kind != "name":
            return any(fact.same_as(other) for other in self.facts)
        return any(contains_value(self.text, form) for form in _forms(fact.text))


def _forms(name: str) -> list[str]:
    """The spellings that count as the same name: as it stands, without its possessive, without its plural."""
    bare = re.sub(r"['’]s?$", "", name)
    return [form for form in (name, bare, bare.removesuffix("s")) if form]


def blank_house(reply: str, house: Sequence[str]) -> str:
    """The reply with its house phrases as spaces, so that offsets stay."""
    for phrase in house:
        reply = reply.replace(phrase, " " * len(phrase))
    return reply


def facts_in(text: str) -> list[Fact]:
    """The values, addresses, codes and names of `text` by position; each name once, at its first place."""
    facts: list[Fact] = []
    rest = text
    for kind, pattern in (("url", _URL), ("code", _CODE)):
        for match in pattern.finditer(rest):
            key = match.group().lower().rstrip("/") if kind == "url" else match.group()
            facts.append(Fact(kind, key, match.group(), *match.span()))
        rest = pattern.sub(lambda m: " " * len(m.group()), rest)
    facts += [Fact(v.kind, v.key, v.text, v.start, v.end, v) for v in find_values(rest)]
    spans = [(fact.start, fact.end) for fact in facts]
    for name in find_names(rest):
        words = name.split()
        while len(words) > 1 and words[0].lower() in _OPENERS:
            words = words[1:]
        if all(word.lower().rstrip("s") in _CALENDAR for word in words):
            continue
        spaced = r"\s+".join(map(re.escape, words))
        place = re.search(rf"(?<!\w){spaced}(?!\w)", rest)
        if place and not any(start <= place.start() and place.end() <= end for start, end in spans):
            facts.append(Fact("name", " ".join(words), place.group(), *place.span()))
    return sorted(facts, key=lambda fact: fact.start)


_CALENDAR = frozenset((*MONTHS, *WEEKDAYS))
_OPENERS = frozenset(  # words that open a sentence in front of a name: "Hello Ada", "Ask Ada Finch"
    "hello hi dear hey moin ahoy welcome thanks goodbye bye sorry yes no well please ask call write see visit meet "
    "contact tell use give send find try choose order let when "
    "where while once since because although there here".split()
)


def _is_generic(fact: Fact, reply: str) -> bool:
    """Whether it is a way of speaking: "the two of us", "give us two minutes", "happy Friday"."""
    value = fact.value
    if value is None or any(c.isdigit() for c in fact.text):
        return False
    if fact.kind == "weekday":
        return bool(_WISH.search(reply[: fact.start])) and not fact.text.endswith("s")
    if fact.kind == "number":
        return float(value.key) <= _SMALL
    return fact.kind == "quantity" and value.dimension == "time" and float(value.key) <= _SHORT_S

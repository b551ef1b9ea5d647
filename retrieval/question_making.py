"""Questions made from passages by rules, without a model: what an encoder is tuned on and judged by.

Each question belongs to exactly one passage: one that several passages would answer is dropped. The rules for
sentences read English; headings, tables and key words are read in any language that puts spaces between words.
The same passages and seed give the same questions.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from groundtone.prompts import split_heading
from groundtone.text import STOP_WORDS, is_table_row, normalise, sentence_spans, table_cells, words
from groundtone.types import Passage

__all__ = ["KINDS", "Kind", "MadeQuestion", "candidates", "make_questions"]

Kind = Literal["faq", "how", "rule", "number", "date", "name", "definition", "table", "heading", "keywords"]
# In order of how much they sound like a person's question; a passage gives the first ones that it can.
KINDS: tuple[Kind, ...] = (
    "faq", "how", "number", "date", "name", "rule", "definition", "table", "heading", "keywords",
)  # fmt: skip
PER_PASSAGE = 3
_MOST_WORDS = 24  # of a question; sentences that would make longer ones are left alone
_KEYWORDS = (4, 6)

_NUMBER = r"(?:[€$£]\s?)?\d[\d,.]*(?:\s?(?:%|percent|[€$£]|euros?|dollars?))?"
_SPELLED = r"(?:one|two|three|four|five|six|seven|eight|nine|ten|twelve|\d[\d,.]*)"
_TIME = rf"{_SPELLED}[ -](?:(?:business|working|calendar) )?(?:second|minute|hour|day|week|month|quarter|year)s?"
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_DATE = (
    rf"(?:(?:\d{{1,2}}(?:st|nd|rd|th)? )?{_MONTH}(?: \d{{1,2}}(?:st|nd|rd|th)?)?,? ?(?:\d{{4}})?|\d{{4}}(?:-\d\d-\d\d)?"
    r"|(?:mon|tues|wednes|thurs|fri|satur|sun)days?)"
)
_SUBJECT = r"(?P<s>[A-Z][^,;:()?!]{1,70}?)"
_BE = r"(?P<aux>is|are|was|were)"
_MODAL = r"(?P<aux>must|may|can|should|will)"
_AUX = r"(?P<aux>is|are|was|were|must be|may be|can be|should be|will be)"
_VP = r"[a-z][^,;]{2,60}?"
_POINTING = re.compile(
    r"(?:it|this|that|there|these|those|he|she|they|here|what|which|who|however|but|and|or|so|if|when|for|in|on|at|to|"
    r"some|most|many|one|all of|each of|another|other|let's|since|as|while|because|assuming|then|also|given)\b",
    re.IGNORECASE,
)
_NOT_IN_SUBJECT = frozenset(
    "is are was were be been has have had do does did can may must should will would could that which who whom if to "
    "when where because since than".split()
)
_MOST_SUBJECT_WORDS = 8
_ASKING = re.compile(
    r"(?:who|whom|whose|what|when|where|which|why|how|is|are|was|were|do|does|did|can|could|may|must|should|will|"
    r"would|has|have|am)\b",
    re.IGNORECASE,
)
_MARKS = re.compile(r"https?://|[{}\[\]|<>\\]|\.\w{2,4}$")
_AFTER_VERB = frozenset(
    "the a an your this that these any all it for in to with on out up off our each every both only if no at from "
    "yourself by as".split()
)
_VERBS = frozenset(
    "add apply ask attach book bring call change check choose click close complete confirm contact create delete "
    "download edit email enter fill find follow get give go hand include install join keep log look make notify open "
    "order pay pick place post press put read record register remove replace report request return review run save "
    "schedule select send set sign speak start stop store submit switch take talk tell turn type update upload use "
    "visit wait wash wear write".split()
)
_PERSONS = (
    (r"\byou are\b", "I am"), (r"\byou were\b", "I was"), (r"\byou're\b", "I'm"), (r"\byou've\b", "I've"),
    (r"\byou'll\b", "I'll"), (r"\byou'd\b", "I'd"), (r"\b(for|to|with|from|by|of|at|on|about) you\b", r"\1 me"),
    (r"\byou\b", "I"), (r"\byours\b", "mine"), (r"\byour\b", "my"), (r"\byourself\b", "myself"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class MadeQuestion:
    """A question and the passage that answers it."""

    text: str
    passage_id: str
    source: str
    kind: Kind


def make_questions(passages: Sequence[Passage], *, per_passage: int = PER_PASSAGE, seed: int = 0) -> list[MadeQuestion]:
    """At most `per_passage` different questions for each passage, of different kinds where it can be, in order."""
    made: dict[str, list[MadeQuestion]] = {}
    owners: dict[str, set[str]] = defaultdict(set)
    for passage in passages:
        found = candidates(passage, seed=seed)
        made[passage.id] = found
        for question in found:
            owners[normalise(question.text)].add(passage.id)
    chosen: list[MadeQuestion] = []
    for passage_id, found in made.items():
        single = {normalise(q.text): q for q in found if len(owners[normalise(q.text)]) == 1}
        chosen += _varied(list(single.values()), per_passage, random.Random(f"{seed} {passage_id}"))
    return chosen


def _varied(found: list[MadeQuestion], most: int, rng: random.Random) -> list[MadeQuestion]:
    """One of each kind, in the order of `KINDS`, then a second of each, until there are enough."""
    rng.shuffle(found)
    by_kind = {kind: [q for q in found if q.kind == kind] for kind in KINDS}
    rounds = max((len(some) for some in by_kind.values()), default=0)
    ordered = [some[at] for at in range(rounds) for some in by_kind.values() if at < len(some)]
    return ordered[:most]


def candidates(passage: Passage, *, seed: int = 0) -> list[MadeQuestion]:
    """All questions that the rules make of a passage."""
    rng = random.Random(f"{seed} {passage.id} words")
    heading, columns = split_heading(passage.heading)
    sentences = [passage.text[a:b] for a, b in sentence_spans(passage.text)]
    prose = [" ".join(s.split()) for s in sentences if not is_table_row(s)]
    found: list[tuple[Kind, str]] = list(_of_heading(heading))
    found += [("faq", text) for text in _asked_in_text(prose)]
    found += [pair for sentence in prose for pair in _of_sentence(sentence)]
    found += [("table", text) for s in sentences if is_table_row(s) for text in _of_row(columns, s)]
    found += [("keywords", text) for text in _keywords(prose, rng)]
    return [
        MadeQuestion(text, passage.id, passage.source, kind)
        for kind, text in found
        if 2 <= len(text.split()) <= _MOST_WORDS and not _MARKS.search(text)
    ]


def _of_heading(heading: str) -> Iterator[tuple[Kind, str]]:
    """The last heading as a search query, below the title where it says little; a heading that asks, as it stands."""
    parts = [part for part in heading.split(" > ") if part]
    if not parts:
        return
    last = parts[-1]
    if last.endswith("?"):
        yield "faq", last
    elif len(parts) > 1:
        yield "heading", last if len(words(last)) > 3 else f"{parts[0]} {last}"


def _asked_in_text(prose: Sequence[str]) -> Iterator[str]:
    """Questions that stand in the text and have something behind them that may be their answer."""
    for sentence, following in pairwise(prose):
        asked = re.sub(r"^(?:Q|Question)\s*\d*[.:)]\s*", "", sentence).strip("*_ ")
        if asked.endswith("?") and _ASKING.match(asked) and len(asked.split()) > 2 and not following.endswith("?"):
            yield asked


def _of_sentence(sentence: str) -> Iterator[tuple[Kind, str]]:
    """The first rule that fits makes the question; sentences that lean on the one before are left alone."""
    plain = _plain(sentence).rstrip(".!;:")
    if plain.endswith("?") or len(plain.split()) < 4:
        return
    for kind, pattern, ask in _RULES:
        match = pattern.match(plain)
        if match and (kind == "how" or not _POINTING.match(plain)) and _names_something(match):
            text = ask(match)
            if text:
                yield kind, _spoken(text)
                return


def _plain(text: str) -> str:
    """Markdown as it is read: the words of a link, no emphasis, no citation markers."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)\s]*\)", r"\1", text)
    return re.sub(r"\s*\[\d+\]|[*_`]|\{[%{].*?[%}]\}", "", text).strip()


def _names_something(match: re.Match[str]) -> bool:
    """Whether the subject of a rule is a noun with what belongs to it, not half a sentence."""
    subject = match.groupdict().get("s")
    if subject is None:
        return True
    inside = subject.lower().split()
    return len(inside) <= _MOST_SUBJECT_WORDS and not _NOT_IN_SUBJECT.intersection(inside)


def _spoken(text: str) -> str:
    """Turned to the one who asks ("your" becomes "my"), a capital at its start, one question mark at its end."""
    for pattern, replacement in _PERSONS:
        text = re.sub(pattern, replacement, text, flags=re.IGNORECASE)
    text = " ".join(text.split()).rstrip(" ,.;:?")
    return f"{text[:1].upper()}{text[1:]}?"


def _inside(subject: str) -> str:
    """A subject in the middle of a question: its article and pronoun small, names as they are."""
    first, _, rest = subject.partition(" ")
    name = first[1:] != first[1:].lower() or (rest and rest[0].isupper()) or (not rest and not first.endswith("s"))
    return f"{first if name and first.lower() not in STOP_WORDS else first.lower()} {rest}".strip()


def _do(subject: str) -> str:
    """The auxiliary of a full verb: "do" for what looks like a plural, "does" for the rest."""
    last = re.split(r" (?:at|of|in|for|on|with|from|to) ", subject)[0].split()[-1].lower()
    plural = last in ("you", "we") or (last.endswith("s") and not last.endswith(("ss", "us", "is")))
    return "do" if plural else "does"


def _imperative(match: re.Match[str]) -> str:
    usual = match["verb"].lower() in _VERBS and match["next"] in _AFTER_VERB
    return f"How do I {match[0][0].lower()}{match[0][1:]}" if usual else ""


def _has(match: re.Match[str]) -> str:
    return f"How many {match['what']} {_do(match['s'])} {_inside(match['s'])} have"


def _asked(match: re.Match[str], *, lead: str = "") -> str:
    """Subject and auxiliary turned round: "The form can be sent" -> "can the form be sent"."""
    aux, _, be = match["aux"].partition(" ")
    return " ".join(part for part in (lead, aux, _inside(match["s"]), be, match["vp"]) if part)


def _time_of(match: re.Match[str]) -> str:
    leads = {"within": "Within what time", "for": "For how long", "after": "After how long", "every": "How often"}
    return _asked(match, lead=leads[match["prep"]])


def _what_is(match: re.Match[str]) -> str:
    return f"What {match['aux']} {_inside(match['s'])}" if len(match["s"].split()) <= 6 else ""


_RULES: tuple[tuple[Kind, re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    ("how", re.compile(r"(?:If|When) (?P<c>you [^,]{6,80}),"), lambda m: f"What if {m['c']}"),
    ("how", re.compile(r"To (?P<c>[a-z]+ [^,]{4,80}),"), lambda m: f"How do I {m['c']}"),
    (
        "number",
        re.compile(rf"{_SUBJECT} costs? {_NUMBER}"),
        lambda m: f"How much {_do(m['s'])} {_inside(m['s'])} cost",
    ),
    (
        "number",
        re.compile(rf"{_SUBJECT} (?P<v>take|last)s? (?:about |up to |at least |at most )?{_TIME}"),
        lambda m: f"How long {_do(m['s'])} {_inside(m['s'])} {m['v']}",
    ),
    (
        "number",
        re.compile(rf"{_SUBJECT} (?:has|have|gets?|receives?) {_SPELLED} (?P<what>[a-z]+(?: [a-z]+)?s)\b"),
        _has,
    ),
    (
        "number",
        re.compile(rf"{_SUBJECT} {_AUX} (?P<vp>{_VP}) (?P<prep>within|for|after|every) (?:about |up to )?{_TIME}"),
        _time_of,
    ),
    (
        "date",
        re.compile(rf"{_SUBJECT} {_AUX} (?P<vp>{_VP}) (?:on|in|by|from|until|since) {_DATE}\b", re.IGNORECASE),
        lambda m: _asked(m, lead="When"),
    ),
    (
        "name",
        re.compile(rf"{_SUBJECT} {_AUX} (?P<vp>[a-z]+(?: [a-z]+)?(?:ed|en|un|wn)) by (?:the )?[A-Z]\w+"),
        lambda m: _asked(m, lead="Who") + " by",
    ),
    (
        "name",
        re.compile(
            r"(?P<s>[A-Z]\w+ [A-Z]\w+) (?P<v>(?!is|was|has|does)[a-z]+s) "
            r"(?P<rest>(?:the|our|all|a|an|every|your) [^,;]{3,60}(?![\w’'-]))"
        ),
        lambda m: f"Who {m['v']} {m['rest']}",
    ),
    ("rule", re.compile(rf"{_SUBJECT} {_MODAL} (?P<vp>(?!not |be )[a-z][^,;]{{3,80}}(?![\w’'-]))"), _asked),
    (
        "rule",
        re.compile(rf"{_SUBJECT} (?P<aux>(?:must|may|can|should|will) be) (?P<vp>[a-z][^,;]{{2,80}}(?![\w’'-]))"),
        _asked,
    ),
    (
        "rule",
        re.compile(
            rf"{_SUBJECT} {_BE} (?P<vp>(?:eligible|entitled|required|allowed|available|free|limited|responsible|closed|"
            r"open|covered|included|paid)\b[^,;]{0,70}(?![\w’'-]))"
        ),
        _asked,
    ),
    ("definition", re.compile(rf"{_SUBJECT} {_BE} (?:an?|the|one of) [a-z]"), _what_is),
    (
        "definition",
        re.compile(rf"{_SUBJECT} (?:means|refers to|stands for|is defined as) "),
        lambda m: f"What does {_inside(m['s'])} mean" if len(m["s"].split()) <= 6 else "",
    ),
    ("how", re.compile(r"(?P<verb>[A-Z][a-z]+) (?P<next>[a-z]+) [^,;:]{4,70}(?![\w’'-])"), _imperative),
)


def _of_row(columns: Sequence[str], row: str) -> Iterator[str]:
    """What the other columns say of the first cell of a row."""
    cells = [_plain(cell) for cell in table_cells(row)]
    if len(columns) < 2 or not cells or not words(cells[0]) or len(cells[0].split()) > 8:
        return
    for column, cell in zip(columns[1:], cells[1:], strict=False):
        if cell.strip() and words(column):
            yield f"What is the {column[:1].lower()}{column[1:]} of {cells[0]}?"


def _keywords(prose: Sequence[str], rng: random.Random) -> Iterator[str]:
    """What somebody might type into a search box: some of a sentence's content words, in their order."""
    usable = [[w for w in words(s) if w not in STOP_WORDS and len(w) > 1] for s in prose]
    usable = [some for some in usable if len(some) > _KEYWORDS[1]]
    if usable:
        some = rng.choice(usable)
        kept = sorted(rng.sample(range(len(some)), rng.randint(*_KEYWORDS)))
        yield " ".join(some[at] for at in kept)

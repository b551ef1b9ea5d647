"""Ways in which a true sentence becomes one that the evidence does not carry: the spans that changed are returned.

Each function gives the new sentence and the characters that are wrong in it, or None where the sentence has nothing
of the kind.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from eval.detectors.features import OPPOSITE_WORDS
from groundtone.text import Span
from groundtone.values import find_names, find_values

__all__ = ["Changed", "contradict", "reword"]

_AUXILIARY = re.compile(
    r"\b(is|are|was|were|can|will|should|must|may|has|have|had|does|did|could|would)\b(?! not|n['’]t)"
)
_DENIED = re.compile(r"\b(is|are|was|were|can|will|should|must|may|has|have|had|does|do|did|could|would) ?not\b")
_SYNONYMS = dict(
    pair.split(":")
    for pair in (
        "large:big,big:large,start:begin,begin:start,started:began,began:started,use:make use of,used:employed,"
        "located:situated,many:a number of,several:some,show:demonstrate,help:assist,helps:assists,buy:purchase,"
        "needs:requires,need:require,also:additionally,but:however,because:since,known as:called,called:known as,"
        "created:made,made:produced,important:significant,important:key,get:obtain,about:approximately,around:about,"
        "usually:typically,often:frequently,such as:like,including:such as,allows:lets,provide:offer,provides:offers,"
        "people:individuals,children:kids,quickly:rapidly,although:though,however:but,first:initially,main:primary,"
        "became:turned into,ended:finished,end:finish,increase:rise,built:constructed,build:construct,"
        "received:got,area:region,areas:regions,city:town,major:main,various:different,different:various,"
        "contains:includes,includes:contains,require:need,must:have to,information:details,choose:select,"
        "developed:created,caused by:due to,due to:because of,keep:maintain,ensure:make sure,obtain:get,"
        "share:pass on,collect:gather,collected:gathered,personal:private,website:site,treatment:therapy,"
        "doctor:physician,symptoms:signs,disease:condition,condition:disorder,affect:impact,affects:impacts"
    ).split(",")
)
_SYNONYM = re.compile(r"\b(?:" + "|".join(sorted(map(re.escape, _SYNONYMS), key=len, reverse=True)) + r")\b")
_OPENERS = (
    "Based on the provided passages, ", "According to the passages, ", "According to the text, ", "Additionally, ",
    "In addition, ", "Also, ", "Overall, ", "In summary, ", "Yes, ", "The passage states that ", "Therefore, ",
)  # fmt: skip

_OPENING_WORDS = frozenset(
    "the a an in on at it this these they he she there many some most if when for by during after before we you "
    "your our all each as while its their".split()
)


@dataclass(frozen=True, slots=True)
class Changed:
    """A sentence and the characters in it that are wrong."""

    text: str
    wrong: Span


_Way = Callable[[str, Sequence[str], random.Random], Changed | None]


def reword(sentence: str, rng: random.Random) -> str:
    """The same sentence as another writer might put it; what it says stays."""
    text = re.sub(r"\s*\([^)]*\)", "", sentence) if rng.random() < 0.6 else sentence
    text = re.sub(r"\[\d+\]", "", text)
    if rng.random() < 0.35:
        text = re.sub(r",? (?:which|who|where|while|although)\b[^,.;]*(?=[,.;])", "", text, count=1)
    if rng.random() < 0.7:
        text = _SYNONYM.sub(lambda m: _SYNONYMS[m.group()] if rng.random() < 0.6 else m.group(), text)
    moved = re.fullmatch(r"((?:In|On|At|During|After|Before|By|For) [^,]{3,40}), (.+)\.", text, re.DOTALL)
    if moved and rng.random() < 0.5:
        text = f"{_capital(moved[2])} {_small(moved[1])}."
    if rng.random() < 0.15:
        text = re.sub(r"\b\w+ly ", "", text, count=1)
    if rng.random() < 0.12:
        text = rng.choice(_OPENERS) + _small(text)
    return text.strip()


def contradict(sentence: str, others: Sequence[str], rng: random.Random) -> Changed | None:
    """The sentence with a value, a name, a negation or a word turned into its rival; `others` lend values and names."""
    ways: list[_Way] = [_value, _value, _name, _denial, _opposite]
    rng.shuffle(ways)
    for way in ways:
        changed = way(sentence, others, rng)
        if changed is not None and changed.text != sentence:
            return changed
    return None


def _value(sentence: str, others: Sequence[str], rng: random.Random) -> Changed | None:
    found = [value for value in find_values(sentence) if value.number is not None or value.kind == "date"]
    if not found:
        return None
    value = rng.choice(found)
    rivals = [
        other.text
        for text in others
        for other in find_values(text)
        if other.kind == value.kind and other.rivals(value) and not other.same_as(value)
    ]
    if rivals and rng.random() < 0.5:
        return _swap(sentence, (value.start, value.end), rng.choice(rivals))
    digits = re.search(r"\d[\d,]*(?:\.\d+)?", value.text)
    if digits is None:
        return None
    number = float(digits.group().replace(",", ""))
    if 1500 <= number <= 2050 and number == int(number):
        new = str(int(number) + rng.choice([-20, -10, -7, -3, -2, -1, 1, 2, 4, 8, 10, 15]))
    else:
        factor, step = rng.choice([0.1, 0.5, 0.8, 1.2, 1.5, 2, 3, 10]), rng.choice([1, 2, 3, 5])
        scaled = number * factor if number > 12 else number + step
        new = f"{scaled:,.0f}" if number == int(number) else f"{scaled:.1f}"
    if new == digits.group():
        return None
    return _swap(sentence, (value.start + digits.start(), value.start + digits.end()), new)


def _name(sentence: str, others: Sequence[str], rng: random.Random) -> Changed | None:
    names = [name for name in find_names(sentence) if sentence.count(name) == 1]
    rivals = sorted({name for text in others for name in find_names(text) if name not in sentence})
    if not names or not rivals:
        return None
    name = rng.choice(names)
    near = [rival for rival in rivals if len(rival.split()) == len(name.split())] or rivals
    start = sentence.index(name)
    return _swap(sentence, (start, start + len(name)), rng.choice(near))


def _denial(sentence: str, others: Sequence[str], rng: random.Random) -> Changed | None:
    denied = _DENIED.search(sentence)
    if denied:
        return _swap(sentence, denied.span(), denied.group(1))
    affirmed = _AUXILIARY.search(sentence)
    return _swap(sentence, affirmed.span(), f"{affirmed.group()} not") if affirmed else None


def _opposite(sentence: str, others: Sequence[str], rng: random.Random) -> Changed | None:
    places = [m for m in re.finditer(r"[A-Za-z]+", sentence) if m.group().lower() in OPPOSITE_WORDS]
    if not places:
        return None
    place = rng.choice(places)
    new = rng.choice(OPPOSITE_WORDS[place.group().lower()])
    return _swap(sentence, place.span(), new.capitalize() if place.group()[0].isupper() else new)


def _swap(sentence: str, span: Span, new: str) -> Changed:
    return Changed(sentence[: span[0]] + new + sentence[span[1] :], (span[0], span[0] + len(new)))


def _small(text: str) -> str:
    """Lower-cased first letter, unless the first word is a name or an acronym."""
    first = text.split(" ", 1)[0]
    plain = first.lower() in _OPENING_WORDS
    return text[:1].lower() + text[1:] if plain else text


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]

"""The values that a sentence asserts: quantities, money, dates, times, addresses, numbers, names.

`find_values` reads English. Values that mean the same compare equal however they are spelled ("two weeks" and
"14 days", "€1,200" and "1200 euros"); `conflicts` compares two sentences by them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import dropwhile, zip_longest
from typing import Literal

from groundtone.text import STOP_WORDS
from groundtone.units import CURRENCIES, MONTHS, SCALES, SMALL_NUMBERS, TENS, UNITS, WEEKDAYS

__all__ = ["Kind", "Value", "find_names", "find_values", "missing_values"]

Kind = Literal["quantity", "number", "money", "percent", "date", "weekday", "time", "mail", "phone", "name"]


@dataclass(frozen=True, slots=True)
class Value:
    """One value: `text` stands at `start:end`. Two values mean the same when `same_as` says so.

    `key` is the canonical value: an amount in the dimension's base unit, ISO parts of a date, minutes after midnight.
    """

    kind: Kind
    key: str
    dimension: str  # of a quantity: "time", "length" ...; of money: the currency; of a number: the noun counted, or ""
    text: str
    start: int
    end: int

    def same_as(self, other: Value) -> bool:
        """Whether both mean the same; a bare number equals the number in a quantity, a date may leave its year open."""
        if self.kind == "date" and other.kind == "date":
            return _dates_agree(self.key, other.key)
        if self.kind == other.kind and self.kind not in ("number", "quantity"):
            return self.key == other.key and self.dimension == other.dimension
        if self.kind == other.kind == "quantity":
            return self.dimension == other.dimension and _close(self.key, other.key)
        if {self.kind, other.kind} == {"number", "date"}:  # "in 1998" and "the 1998 show"
            date, number = (self, other) if self.kind == "date" else (other, self)
            return date.key == f"{number.key}-00-00"
        if {self.kind, other.kind} <= _AMOUNTS:
            return "number" in (self.kind, other.kind) and self.number == other.number
        return False

    @property
    def number(self) -> float | None:
        """The number as written, before any unit is applied; None for a value without one."""
        match = re.search(r"\d[\d,]*(?:\.\d+)?", self.text)
        if match:
            return float(match.group().replace(",", "")) * _scale(self.text[match.end() :])
        return _spelled(self.text)

    def rivals(self, other: Value) -> bool:
        """Whether both could fill the same slot of a sentence: same kind, and same dimension where both have one."""
        if self.kind == other.kind:
            return (
                self.kind != "number" or not (self.dimension and other.dimension) or self.dimension == other.dimension
            )
        return {self.kind, other.kind} == {"number", "quantity"} and "" in (self.dimension, other.dimension)


_AMOUNTS = {"quantity", "number", "money", "percent"}
_MONTH = rf"(?P<month>{'|'.join(sorted((m.title() for m in MONTHS), key=len, reverse=True))})\.?"
_ONES = "|".join(list(SMALL_NUMBERS)[1:10])
_UP_TO_19 = "|".join(sorted(SMALL_NUMBERS, key=len, reverse=True))
_SPELLED = rf"(?:(?:{'|'.join(TENS)})(?:[- ](?:{_ONES}))?|{_UP_TO_19})"
_AMOUNT = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_SCALE = r"(?:\s?(?:hundred|thousand|million|billion|bn|dozen)\b|(?<=\d)[kK]\b)"
_NUMBER = rf"(?<![\w.,/-])(?:(?:{_AMOUNT}){_SCALE}?|{_SPELLED}{_SCALE}?)(?![\d]|[.,]\d)"
_WORD_UNIT = "|".join(re.escape(u) for u in sorted(UNITS, key=len, reverse=True))

_PATTERNS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    # a word without "@" matches too, or it would be tried again from each of its letters; `_read_mail` drops it
    ("mail", re.compile(r"[\w.+-]+(?P<host>@[\w-]+(?:\.[\w-]+)+)?")),
    ("date", re.compile(r"(?<!\d)(?P<year>\d{4})-(?P<mon>\d{2})-(?P<day>\d{2})(?!\d)")),
    ("date", re.compile(r"(?<!\d)(?P<day>\d{1,2})[./](?P<mon>\d{1,2})[./](?P<year>\d{4})(?!\d)")),
    ("date", re.compile(rf"\b(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH}(?:,?\s+(?P<year>\d{{4}}))?\b")),
    ("date", re.compile(rf"\b{_MONTH}\s+(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?:,?\s+(?P<year>\d{{4}}))?\b(?!\s*[:%€])")),
    ("date", re.compile(rf"\b{_MONTH}\s+(?P<year>\d{{4}})\b")),
    # a month needs its capital, and alone it is never "May": the verb opens sentences
    (
        "date",
        re.compile(r"\b(?P<month>January|February|March|April|June|July|August|September|October|November|December)\b"),
    ),
    (
        "date",
        re.compile(
            r"(?i:\b(?:in|since|from|until|till|by|before|after|of|year)\s+)(?P<year>1[5-9]\d\d|20\d\d)\b(?![.,]?\d)"
        ),
    ),
    ("time", re.compile(r"\b(?P<hour>\d{1,2})(?:[:.](?P<minute>\d{2}))?\s?(?P<half>[ap])\.?m\b\.?", re.I)),
    ("time", re.compile(r"(?<![\d:.])(?P<hour>[01]?\d|2[0-4]):(?P<minute>[0-5]\d)(?!\d|:)")),
    ("time", re.compile(r"\b(?P<word>noon|midday|midnight)\b", re.I)),
    ("phone", re.compile(r"(?<![\w.])(?:\+\d|\(?0\d|\(\d|\d{3}[ -]\d)[\d ()/-]{5,}\d(?![\w])")),
    ("money", re.compile(rf"(?P<unit>[€$£]|\b(?:EUR|USD|GBP)\b)\s?(?P<amount>(?:{_AMOUNT}){_SCALE}?)(?!\d)", re.I)),
    (
        "money",
        re.compile(rf"(?P<amount>{_NUMBER})\s?(?P<unit>€|£|\$|\b(?:EUR|USD|GBP|euros?|dollars?|pounds?)\b)", re.I),
    ),
    ("percent", re.compile(rf"(?P<amount>{_NUMBER})\s?(?:%|per ?cent\b|percent\b)", re.I)),
    ("weekday", re.compile(rf"\b(?P<word>{'|'.join(WEEKDAYS)})s?\b", re.I)),
    (
        "quantity",
        re.compile(
            rf"(?P<amount>{_NUMBER})(?:\s|-)?(?:(?:working|business|calendar|consecutive|full|whole|more|extra|square|cubic)"
            rf"[ -])?(?P<unit>{_WORD_UNIT})(?![\w/])",
            re.I,
        ),
    ),
    ("number", re.compile(_NUMBER, re.I)),
)
_CITATION = re.compile(r"\[\d+\]")
_COUNTED = re.compile(r"\s([a-z]{3,})")
_FOLLOWS = re.compile(r"\s?(?:[%€$£]|-?\w+)?")
_NAME = re.compile(r"\b[A-Z][\w’'&-]*(?:\s+(?:[A-Z][\w’'&-]*|\d+[A-Za-z]?\b(?![.,]\d)))*")
# words that open a sentence or a phrase with a capital and belong to no name
_NO_NAMES = STOP_WORDS | frozenset(
    "within after before until about around over under up only at least most between every each pay allow add book "
    "bring take takes costs cost all these those he she his her".split()
)


def find_values(text: str) -> list[Value]:
    """The values in `text` by position, never overlapping; citation markers and model numbers of names are left out."""
    return list(_values(text))


@lru_cache(maxsize=4096)  # a sentence of the documents is compared with every claim about it
def _values(text: str) -> tuple[Value, ...]:
    taken = bytearray(len(text))  # 1 where a character belongs to something already
    for match in (*_CITATION.finditer(text), *(n for n in _NAME.finditer(text) if _is_model_number(text, n))):
        _take(taken, *match.span())
    found: list[Value] = []
    for kind, pattern in _PATTERNS:
        for match in pattern.finditer(text):
            if taken.find(1, *match.span()) >= 0:
                continue
            value = _READERS[kind](kind, match)
            if value is not None:
                found.append(value)
                _take(taken, *match.span())
    found.sort(key=lambda v: v.start)
    return tuple(_with_range_unit(text, v, n) for v, n in zip_longest(found, found[1:]))


def _take(taken: bytearray, start: int, end: int) -> None:
    taken[start:end] = b"\1" * (end - start)


def find_names(text: str) -> list[str]:
    """Capitalised runs with the model numbers that follow ("Heron 2S", "Port Ellery"), in order, each once.

    A lone capitalised word at the start of a sentence is grammar rather than a name, and is left out.
    """
    names: dict[str, None] = {}
    for match in _NAME.finditer(_CITATION.sub(lambda m: " " * len(m.group()), text)):
        tokens = match.group().split()
        kept = list(dropwhile(_opens_no_name, tokens))
        opens = len(kept) == len(tokens) and _opens_sentence(text, match.start())
        tokens = kept
        if tokens and tokens[-1].isdigit() and not _is_model_number(text, match):
            tokens = tokens[:-1]
        if not tokens or (opens and len(tokens) == 1) or tokens[0].lower() in (*MONTHS, *WEEKDAYS, "i"):
            continue
        names[" ".join(tokens).rstrip("'’")] = None
    return list(names)


def _opens_no_name(word: str) -> bool:
    return word.lower() in _NO_NAMES or _spelled(word) is not None or word.isdigit()


def _opens_sentence(text: str, at: int) -> bool:
    """Whether nothing or the end of a sentence or cell stands before `at`."""
    while at and text[at - 1].isspace():
        at -= 1
    return not at or text[at - 1] in '.!?:;|>"“'


def missing_values(claim: Iterable[Value], evidence: Sequence[Value]) -> list[Value]:
    """The claim's values that no value of the evidence equals."""
    return [value for value in claim if not any(value.same_as(other) for other in evidence)]


def _is_model_number(text: str, match: re.Match[str]) -> bool:
    """Whether a capitalised run ends in a number that belongs to the name: "Coot 750", but not "Within 14 days"."""
    *before, last = match.group().split()
    if not last[0].isdigit() or not before:
        return False
    first = before[-1]
    follows = _FOLLOWS.match(text, match.end())
    unit = follows.group().strip(" -").lower() if follows else ""
    plain = first.lower() in _NO_NAMES or first.lower() in MONTHS or first.lower() in CURRENCIES
    return (
        not plain
        and unit not in UNITS
        and unit not in CURRENCIES
        and unit not in ("%", "percent", "working", "business")
    )


def _with_range_unit(text: str, value: Value, other: Value | None) -> Value:
    """Gives the first number of "3 to 5 days" the unit of the second."""
    if value.kind != "number" or other is None or other.kind not in ("quantity", "money", "percent"):
        return value
    between = text[value.end : other.start]
    if not re.fullmatch(r"\s?(?:-|–|—|to|and|or)\s?", between) or value.number is None:
        return value
    factor = float(other.key) / other.number if other.number else 1.0
    key = _key(value.number * factor)
    return Value(other.kind, key, other.dimension, value.text, value.start, value.end)


def _read_date(kind: Kind, match: re.Match[str]) -> Value | None:
    groups = match.groupdict()
    month = MONTHS[groups["month"].lower()] if groups.get("month") else int(groups.get("mon") or 0)
    year, day = int(groups.get("year") or 0), int(groups.get("day") or 0)
    if month > 12 or day > 31:
        return None
    return Value(kind, f"{year:04d}-{month:02d}-{day:02d}", "", match.group(), *match.span())


def _read_time(kind: Kind, match: re.Match[str]) -> Value | None:
    groups = match.groupdict()
    if groups.get("word"):
        minutes = 0 if groups["word"].lower() == "midnight" else 720
    else:
        hour = int(groups["hour"])
        if groups.get("half"):
            if not 1 <= hour <= 12:
                return None
            hour = hour % 12 + (12 if groups["half"].lower() == "p" else 0)
        minutes = hour % 24 * 60 + int(groups.get("minute") or 0)
    return Value(kind, str(minutes), "", match.group(), *match.span())


def _read_word(kind: Kind, match: re.Match[str]) -> Value:
    return Value(kind, match.group().lower().rstrip("s"), "", match.group(), *match.span())


def _read_mail(kind: Kind, match: re.Match[str]) -> Value | None:
    if not match["host"]:
        return None
    return Value(kind, match.group().lower().rstrip("."), "", match.group(), *match.span())


def _read_phone(kind: Kind, match: re.Match[str]) -> Value | None:
    digits = re.sub(r"\D", "", match.group())
    return Value(kind, digits, "", match.group(), *match.span()) if 7 <= len(digits) <= 15 else None


def _read_amount(kind: Kind, match: re.Match[str]) -> Value | None:
    amount = _amount(match.groupdict().get("amount") or match.group())
    if amount is None:
        return None
    if kind == "money":
        return Value(kind, _key(amount), CURRENCIES[match["unit"].lower()], match.group(), *match.span())
    if kind == "quantity":
        dimension, factor = UNITS[match["unit"].lower()]
        return Value(kind, _key(amount * factor), dimension, match.group(), *match.span())
    if kind == "percent":
        return Value(kind, _key(amount), "", match.group(), *match.span())
    if match.group().lower() in ("one", "zero"):
        return None  # a pronoun more often than a number ("the one that")
    counted = _COUNTED.match(match.string, match.end())
    noun = counted.group(1) if counted and counted.group(1) not in STOP_WORDS else ""
    return Value(kind, _key(amount), noun.rstrip("s"), match.group(), *match.span())


_READERS: dict[Kind, Callable[[Kind, re.Match[str]], Value | None]] = {
    "date": _read_date,
    "time": _read_time,
    "weekday": _read_word,
    "mail": _read_mail,
    "phone": _read_phone,
    "money": _read_amount,
    "percent": _read_amount,
    "quantity": _read_amount,
    "number": _read_amount,
}


def _amount(text: str) -> float | None:
    match = re.match(_AMOUNT, text)
    if match:
        return float(match.group().replace(",", "")) * _scale(text[match.end() :])
    return _spelled(text)


def _scale(rest: str) -> float:
    word = re.match(r"\s?([a-zA-Z]+)\b", rest)
    return SCALES.get(word.group(1).lower(), 1.0) if word else 1.0


def _spelled(text: str) -> float | None:
    total: float | None = None
    for word in re.split(r"[\s-]+", text.strip().lower()):
        if word in SMALL_NUMBERS or word in TENS:
            total = (total or 0) + (SMALL_NUMBERS.get(word) if word in SMALL_NUMBERS else TENS[word])  # type: ignore[operator]
        elif word in SCALES and word not in ("k", "bn") and total is not None:
            total *= SCALES[word]
        else:
            break
    return float(total) if total is not None else None


def _key(amount: float) -> str:
    return (
        f"{amount:.6g}"
        if abs(amount) < 1e6 and amount != int(amount)
        else str(int(amount) if amount == int(amount) else amount)
    )


def _close(a: str, b: str) -> bool:
    return abs(float(a) - float(b)) <= 1e-6 * max(1.0, abs(float(a)))


def _dates_agree(a: str, b: str) -> bool:
    pairs = list(zip(a.split("-"), b.split("-"), strict=True))
    known = [(x, y) for x, y in pairs if int(x) and int(y)]
    return bool(known) and all(x == y for x, y in known)

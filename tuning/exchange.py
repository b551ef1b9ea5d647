"""Other values of the same kind: "3 days" -> "7 days", "€49.90" -> "€31.20", "7:40 to 11:20" -> "9:05 to 12:45".

Units and formats stay, dates stay valid and on their weekday, and all values of one kind and unit in a row move
together, so that they keep their order. A kind that cannot be moved that way is left as it is.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Sequence
from datetime import date, timedelta

from groundtone.units import MONTHS, SMALL_NUMBERS, TENS, WEEKDAYS
from tuning.facts import Fact
from tuning.made_up import reshaped

__all__ = ["Slot", "exchanges", "slot"]

Slot = tuple[str, str, str, str]
Texts = dict[Slot, str]

_TRIES = 60
_DIGITS = re.compile(r"\d[\d,]*(?:\.\d+)?")
_CLOCK = re.compile(r"(\d{1,2})(?:([:.])(\d{2}))?(\s?)([ap]\.?m\b\.?)?", re.IGNORECASE)
_MOST = {
    "sec": 59,
    "second": 59,
    "min": 59,
    "minute": 59,
    "hr": 23,
    "hour": 23,
    "month": 11,
}  # "5 hours and 10 minutes" stays a way to say it
_MONTH_NAMES = [next(name.title() for name, n in MONTHS.items() if n == month) for month in range(1, 13)]
_WORDS = {n: word for word, n in (SMALL_NUMBERS | TENS).items()}
_YEAR = 2025  # dates without a year are moved in this one


def slot(fact: Fact) -> Slot:
    """What makes two facts change alike: kind, unit, value and spelling."""
    return fact.kind, fact.value.dimension if fact.value else "", fact.key, fact.text


def exchanges(facts: Sequence[Fact], shared: Sequence[Fact], *, rng: random.Random) -> Texts:
    """New texts for the facts of one row, by their slot; only of those kinds and units of which one is in `shared`."""
    groups: dict[tuple[str, str], list[Fact]] = {}
    for fact in facts:
        groups.setdefault(_group(fact, facts), []).append(fact)
    wanted = {_group(fact, facts) for fact in shared}
    found: Texts = {}
    for name in sorted(wanted & groups.keys()):
        found |= _MOVES.get(name[0], _move_signs)(groups[name], facts, rng)
    return found


def _group(fact: Fact, facts: Sequence[Fact]) -> tuple[str, str]:
    """Kind and unit; a bare number that repeats an amount with a unit ("14" of "14 days") moves with that."""
    if fact.value is None or fact.kind not in ("quantity", "money", "percent", "number"):
        return fact.kind, ""
    if fact.kind != "number":
        return fact.kind, fact.value.dimension
    twin = next((f.value for f in facts if f.value and f.kind != "number" and fact.value.same_as(f.value)), None)
    return (twin.kind, twin.dimension) if twin else ("number", "")


def _move_amounts(group: Sequence[Fact], facts: Sequence[Fact], rng: random.Random) -> Texts:
    """All amounts times one factor, rounded to the step of their spelling and kept apart."""
    for _ in range(_TRIES):
        factor = math.exp(rng.uniform(math.log(0.5), math.log(2.2)))
        if (moved := _scaled(group, factor)) is not None:
            return moved
    return {}


def _scaled(group: Sequence[Fact], factor: float) -> Texts | None:
    """The new texts, or None where this factor breaks a spelling, a limit or the order, or changes nothing."""
    by_key: dict[float, list[tuple[Fact, float, float]]] = {}  # base value -> (fact, written number, unit)
    bare = {f.value.number: float(f.key) for f in group if f.value and f.kind != "number"}
    for fact in group:
        written = fact.value.number if fact.value else None
        if not written or _spelling(fact.text) is None:
            return None
        base = bare.get(written, float(fact.key)) if fact.kind == "number" else float(fact.key)
        digits = _DIGITS.search(fact.text)
        number = float(digits.group().replace(",", "")) if digits else written
        by_key.setdefault(base, []).append((fact, number, base / number))
    found: Texts = {}
    before = -math.inf
    for base in sorted(by_key):
        forms = by_key[base]
        if any(number == 1 for _, number, _ in forms):  # "1 day": the noun would need its plural
            new = base
        else:
            _, number, unit = max(forms, key=lambda form: form[2])
            step = 10.0 ** -_decimals(next(f.text for f, n, u in forms if u == unit)) * unit
            new = max(round(base * factor / step), 2) * step
            if math.isclose(new, base) or abs(new - before) < step / 2:
                return None
        if new <= before:
            return None
        before = new
        for fact, number, unit in forms:
            text = _rewritten(fact.text, number, new / unit)
            if text is None:
                return None
            found[slot(fact)] = text
    return found


def _rewritten(text: str, old: float, new: float) -> str | None:
    """The amount's text with another number in the same spelling; None where it cannot be said so."""
    decimals = _decimals(text)
    if not math.isclose(round(new, decimals), new, abs_tol=1e-9 * max(1.0, new)):
        return None
    unit = re.search(r"(second|sec|minute|min|hour|hr|month)s?\b", text, re.IGNORECASE)
    most = _MOST[unit[1].lower()] if unit else 0
    if (most and old <= most < new) or (("%" in text or "cent" in text.lower()) and old <= 100 < new):
        return None
    digits = _DIGITS.search(text)
    if digits:
        grouped = "," in digits.group() or new >= 10_000
        fresh = f"{new:,.{decimals}f}" if grouped else f"{new:.{decimals}f}"
        return text[: digits.start()] + fresh + text[digits.end() :]
    spelled = _spelling(text)
    words = _in_words(round(new))
    if spelled is None or not words:
        return None
    return (words.capitalize() if text[0].isupper() else words) + text[len(spelled) :]


def _decimals(text: str) -> int:
    digits = _DIGITS.search(text)
    return len(digits.group().partition(".")[2]) if digits else 0


def _spelling(text: str) -> str | None:
    """The number at the text's beginning if it is in words below a hundred, "" for digits, None for any other."""
    if _DIGITS.search(text):
        return ""
    taken = ""
    for match in re.finditer(r"([A-Za-z]+)([\s-]?)", text):
        if match[1].lower() not in SMALL_NUMBERS and match[1].lower() not in TENS:
            break
        taken = text[: match.end(1)]
    following = re.match(r"\s?([a-z]+)", text[len(taken) :], re.IGNORECASE)
    scaled = following is not None and following[1].lower() in ("hundred", "thousand", "million", "billion", "dozen")
    return None if scaled or not taken else taken


def _in_words(number: int) -> str:
    if number in _WORDS:
        return _WORDS[number]
    tens, ones = number - number % 10, number % 10
    return f"{_WORDS[tens]}-{_WORDS[ones]}" if tens in _WORDS and ones in _WORDS else ""


def _move_times(group: Sequence[Fact], facts: Sequence[Fact], rng: random.Random) -> Texts:
    """All times of day by one stretch, within the day; "noon" and "midnight" stay, and then all do."""
    clocks = [(fact, _CLOCK.fullmatch(fact.text)) for fact in group]
    if any(match is None for _, match in clocks):
        return {}
    step = 60 if any(match and match[3] is None for _, match in clocks) else 5
    minutes = [int(fact.key) for fact in group]
    shifts = [s for s in range(-180, 181, step) if s and min(minutes) + s >= 0 and max(minutes) + s < 1440]
    if not shifts:
        return {}
    shift = rng.choice(shifts)
    return {slot(fact): _clock(match, int(fact.key) + shift) for fact, match in clocks if match}


def _clock(match: re.Match[str], minutes: int) -> str:
    hour, minute = divmod(minutes, 60)
    half = ""
    if match[5]:
        letter = "p" if hour >= 12 else "a"
        half = match[4] + (letter.upper() if match[5][0].isupper() else letter) + match[5][1:]
        hour = hour % 12 or 12
    shown = f"{hour:02d}" if match[1].startswith("0") else str(hour)
    return f"{shown}{match[2]}{minute:02d}{half}" if match[3] else f"{shown}{half}"


def _move_weekdays(group: Sequence[Fact], facts: Sequence[Fact], rng: random.Random) -> Texts:
    """All weekdays by the same number of days; none where a date stands beside them, which may name its weekday."""
    if any(fact.kind == "date" for fact in facts):
        return {}
    shift = rng.randrange(1, 7)
    found: Texts = {}
    for fact in group:
        new = WEEKDAYS[(WEEKDAYS.index(fact.key) + shift) % 7]
        shown = new.title() if fact.text[0].isupper() else new
        found[slot(fact)] = shown + ("s" if fact.text.lower() == f"{fact.key}s" else "")
    return found


def _move_dates(group: Sequence[Fact], facts: Sequence[Fact], rng: random.Random) -> Texts:
    """All dates by the same number of whole weeks, so that they keep their weekdays, or of years where only years are
    named; their order stays."""
    parts = [tuple(int(part) for part in fact.key.split("-")) for fact in group]
    years_only = [not month for _, month, _ in parts]
    if any(years_only):
        years = rng.choice([-6, -5, -4, -3, -2, 2, 3, 4]) if all(years_only) else 0
        dated = zip(group, parts, strict=True)
        return {slot(f): re.sub(r"\d{4}", str(part[0] + years), f.text) for f, part in dated} if years else {}
    try:
        days = [date(year or _YEAR, month, day or 15) for year, month, day in parts]
    except ValueError:  # 29 February of no year, or a date that never was
        return {}
    for _ in range(_TRIES):
        shift = timedelta(weeks=rng.choice([w for w in range(-40, 41) if abs(w) > 5]))
        moved = [day + shift for day in days]
        wrapped = any(not year and new.year != _YEAR for (year, _, _), new in zip(parts, moved, strict=True))
        leap = any((new.month, new.day) == (2, 29) for new in moved)
        if not wrapped and not leap:
            return {slot(fact): _date_text(fact.text, new) for fact, new in zip(group, moved, strict=True)}
    return {}


def _date_text(text: str, new: date) -> str:
    """The date in the spelling of `text`."""
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        return new.isoformat()
    numeric = re.fullmatch(r"(\d{1,2})([./])(\d{1,2})([./])(\d{4})", text)
    if numeric:
        padded = numeric[1].startswith("0") or numeric[3].startswith("0")
        shown = [f"{n:02d}" if padded else str(n) for n in (new.day, new.month)]
        return f"{shown[0]}{numeric[2]}{shown[1]}{numeric[4]}{new.year}"
    text = re.sub(r"\d{4}", str(new.year), text)
    text = re.sub(r"\b\d{1,2}(st|nd|rd|th)?\b", lambda m: f"{new.day}{_ordinal(new.day) if m[1] else ''}", text)
    return re.sub(r"[A-Za-z]+", lambda m: _month(m.group(), new.month), text)


def _month(word: str, month: int) -> str:
    if word.lower() not in MONTHS:
        return word
    name = _MONTH_NAMES[month - 1]
    return name if len(word) > 4 or word.lower() in ("june", "july", "may") else name[:3]


def _ordinal(day: int) -> str:
    return "th" if 10 < day < 20 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")


def _move_signs(group: Sequence[Fact], facts: Sequence[Fact], rng: random.Random) -> Texts:
    """Other signs of the same shape for codes, phone numbers and addresses; those that mean the same stay the same."""
    used = {fact.text.lower() for fact in group}
    by_key: dict[str, str] = {}
    found: Texts = {}
    for fact in group:
        if fact.key not in by_key:
            by_key[fact.key] = _another(fact, rng, used)
        elif fact.kind == "phone":  # the same number in another spelling
            return {}
        found[slot(fact)] = by_key[fact.key]
    return found


def _another(fact: Fact, rng: random.Random, used: set[str]) -> str:
    if fact.kind == "phone":
        return reshaped(fact.text, rng=rng, used=used, keep=4 if fact.text.startswith("+") else 3)
    if fact.kind == "mail":
        return f"{_word(rng, used)}@{fact.text.rpartition('@')[2]}"
    if fact.kind == "url":
        head, slash, _ = fact.text.rstrip("/").rpartition("/")
        inside = slash and not head.endswith(("/", ":"))
        return f"{head}/{_word(rng, used)}" if inside else f"{fact.text.rstrip('/')}/{_word(rng, used)}"
    return reshaped(fact.text, rng=rng, used=used)


def _word(rng: random.Random, used: set[str]) -> str:
    """A word that can be said and means nothing."""
    while True:
        word = "".join(rng.choice("bdfklmnprstv") + rng.choice("aeiou") for _ in range(3))
        if word not in used:
            used.add(word)
            return word


_Move = Callable[[Sequence[Fact], Sequence[Fact], random.Random], Texts]
_MOVES: dict[str, _Move] = {
    **dict.fromkeys(("quantity", "money", "percent", "number"), _move_amounts),
    "time": _move_times,
    "weekday": _move_weekdays,
    "date": _move_dates,
}

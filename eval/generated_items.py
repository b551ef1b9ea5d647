"""General items made by committed generators: as many as a small margin takes, the same ones for the same seed.

Names and values are invented anew for every item, so that only reading, copying or reckoning is right. Items are spread
evenly over suites and, inside each, over strata (sizes of numbers, lengths of lists, kinds of instruction, attributes).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from groundtone.text import normalise
from groundtone.types import short_hash

__all__ = ["MAKERS", "item_hash", "make_items", "prompt_hashes"]

Row = dict[str, Any]
TRIES = 200  # draws for one item before a stratum is called exhausted

ONSETS = "b br c d dr f fl g gr h j k l m n p pl r s st t tr v w z".split()
VOWELS = "a e i o u ea oo".split()
CODAS = "b ck d l m n nd r rk s t".split()
WORDS = (
    "anchor apple autumn basket beach bell branch bread bridge bucket butter candle carpet castle chair cherry "
    "circle cloud copper corner cotton desert doctor dragon drum eagle engine feather fence field finger forest "
    "fountain garden ginger glove grape hammer harbour honey island jacket jewel kettle kitchen ladder lamp "
    "lantern lemon letter library market meadow mirror mountain needle ocean onion orange paper parrot pebble "
    "pencil pepper picture pillow planet pocket potato rabbit ribbon river rocket saddle sailor shadow silver "
    "spoon spring square station storm sugar summer table thunder timber tomato tower tunnel umbrella valley "
    "velvet village wagon walnut water whistle willow window"
).split()


@dataclass(frozen=True, slots=True)
class _Frame:
    """One attribute of invented things: how it is stated, asked for, and what its values look like."""

    statement: str
    question: str
    value: Callable[[random.Random], str]


FRAMES = (
    _Frame(
        "The {e} ferry leaves at {v}.",
        "When does the {e} ferry leave?",
        lambda r: f"{r.randint(5, 22)}:{r.randint(10, 59)}",
    ),
    _Frame(
        "A ticket for the {e} museum costs €{v}.",
        "What does a ticket for the {e} museum cost?",
        lambda r: str(r.randint(11, 98)),
    ),
    _Frame("The {e} tower is {v} metres high.", "How high is the {e} tower?", lambda r: str(r.randint(21, 480))),
    _Frame(
        "The {e} bakery was founded in {v}.", "When was the {e} bakery founded?", lambda r: str(r.randint(1702, 1998))
    ),
    _Frame(
        "The {e} orchard grows {v} trees.",
        "How many trees does the {e} orchard grow?",
        lambda r: str(r.randint(120, 990)),
    ),
    _Frame("The {e} school is led by {v}.", "Who leads the {e} school?", lambda r: f"{_name(r)} {_name(r)}"),
    _Frame(
        "The {e} parcel weighs {v} kilograms.", "How much does the {e} parcel weigh?", lambda r: str(r.randint(12, 95))
    ),
    _Frame(
        "The code of the {e} locker is {v}.",
        "What is the code of the {e} locker?",
        lambda r: f"{r.randint(100, 999)}-{r.randint(10, 99)}",
    ),
)


def make_items(items: int, *, seed: int = 0, avoid: Iterable[str] = (), suites: Sequence[str] = ()) -> list[Row]:
    """Rows in the form of a general file, at least `items` in all, evenly over the suites (default: every one).

    `avoid` are hashes of prompts (`prompt_hashes`) that no item may have: those of the training rows. Raises ValueError
    for an unknown suite, and where a stratum has no further items.
    """
    wanted = list(suites or MAKERS)
    if unknown := sorted(set(wanted) - set(MAKERS)):
        raise ValueError(f"no generator for {unknown[0]!r}; there are {', '.join(MAKERS)}")
    each = -(-items // len(wanted))
    taken, rows = set(avoid), []
    for suite in wanted:
        rng = random.Random(f"{seed}:{suite}")
        strata, make = MAKERS[suite]
        for number in range(each):
            row = _fresh(make, rng, strata[number % len(strata)], taken, suite)
            rows.append({"id": f"{suite}-s{seed}-{number + 1:04d}", "suite": suite} | row)
    return rows


def _fresh(make: Callable[..., Row], rng: random.Random, stratum: Any, taken: set[str], suite: str) -> Row:
    for _ in range(TRIES):
        row: Row = {"history": [], "context": []} | make(rng, stratum)
        marks = {item_hash(row["prompt"], row["context"]), *prompt_hashes([row["prompt"]])}
        if not marks & taken:
            taken.add(item_hash(row["prompt"], row["context"]))
            return {key: row[key] for key in ("prompt", "history", "context", "check")}
    raise ValueError(f"suite {suite!r}, stratum {stratum!r}: no further item in {TRIES} draws; ask for fewer items")


def item_hash(prompt: str, context: Sequence[str] = ()) -> str:
    """What an item is known by, whatever its case and spacing."""
    return short_hash("item", normalise(prompt), *map(normalise, context))


def prompt_hashes(prompts: Iterable[str]) -> set[str]:
    """Hashes of prompts alone, to hold items against training rows, whose passages differ."""
    return {short_hash("prompt", normalise(prompt)) for prompt in prompts}


def _name(rng: random.Random) -> str:
    return "".join(rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS) for _ in range(2)).capitalize()


def _value(answer: str, rivals: Sequence[str] = ()) -> Row:
    return {"type": "value", "values": [[answer]], "rivals": list(rivals)}


def _arithmetic(rng: random.Random, stratum: tuple[str, int]) -> Row:
    operation, high = stratum
    a, b = rng.randint(2, high), rng.randint(2, high)
    if operation == "-":
        a, b = max(a, b) + 1, min(a, b)
    result = {"+": a + b, "-": a - b, "x": a * b}[operation]
    if result in (a, b):
        return _arithmetic(rng, stratum)  # who repeats the question would be right
    words = {"+": "plus", "-": "minus", "x": "times"}[operation]
    asked = rng.choice(("What is {a} {w} {b}?", "How much is {a} {w} {b}?", "Work out {a} {w} {b}."))
    return {"prompt": asked.format(a=a, b=b, w=words), "check": _value(str(result))}


def _sequence(words: Sequence[str]) -> Row:
    """These words in this order and nothing else, whatever stands between them."""
    return _regex("(?i:" + r"\W+".join(map(re.escape, words)) + ")")


def _regex(core: str) -> Row:
    return {"type": "regex", "pattern": rf"^\W*{core}\W*$"}


def _copying(rng: random.Random, length: int) -> Row:
    words = rng.sample(WORDS, length)
    asked = rng.choice(("Repeat this list: {}", "Copy these words: {}", "Write these words again: {}"))
    return {"prompt": asked.format(", ".join(words)), "check": _sequence(words)}


def _instruction(rng: random.Random, kind: str) -> Row:
    words = rng.sample(WORDS, rng.randint(3, 5))
    w, other = words[:2]
    listed = ", ".join(words)
    made: dict[str, tuple[str, Row]] = {
        "capitals": (f"Write the words {w} {other} in capital letters.", _regex(rf"{w.upper()}\W+{other.upper()}")),
        "first": (f"Say the first word of: {' '.join(words)}", _sequence(words[:1])),
        "last": (f"Say the last word of: {' '.join(words)}", _sequence(words[-1:])),
        "dash": (f"Write {w} and {other} with a dash between them.", _regex(rf"(?i:{w}\s?[-–]\s?{other})")),
        "twice": (f"Write the words {w} {other} twice.", _sequence([w, other, w, other])),
        "reverse": (f"List these words in reverse order: {listed}", _sequence(words[::-1])),
    }
    asked, check = made[kind]
    return {"prompt": asked, "check": check}


def _things(rng: random.Random, frame: _Frame, count: int) -> tuple[list[str], list[str]]:
    """Entities and values that differ from each other and are no part of one another."""
    names: list[str] = []
    values: list[str] = []
    while len(names) < count:
        name, value = _name(rng), frame.value(rng)
        if not any(name in n or n in name for n in names) and not any(value in v or v in value for v in values):
            names.append(name)
            values.append(value)
    return names, values


def _grounded(rng: random.Random, frame: _Frame, *, passages: int) -> tuple[str, list[str], int, list[str]]:
    """A question, passages about as many entities, the place of the right one, and all values in that order."""
    names, values = _things(rng, frame, passages)
    right = rng.randrange(passages)
    context = [frame.statement.format(e=e, v=v) for e, v in zip(names, values, strict=True)]
    return frame.question.format(e=names[right]), context, right, values


def _use(rng: random.Random, frame: _Frame) -> Row:
    asked, context, _, values = _grounded(rng, frame, passages=1)
    other = rng.choice([f for f in FRAMES if f is not frame])
    aside = other.statement.format(e=_name(rng), v=other.value(rng))
    order = [context[0], aside] if rng.random() < 0.5 else [aside, context[0]]
    return {"prompt": asked, "context": order, "check": _value(values[0])}


def _distractor(rng: random.Random, frame: _Frame) -> Row:
    asked, context, right, values = _grounded(rng, frame, passages=4)
    rivals = [v for n, v in enumerate(values) if n != right]
    return {"prompt": asked, "context": context, "check": _value(values[right], rivals)}


def _admit(rng: random.Random, frame: _Frame) -> Row:
    asked, context, right, _ = _grounded(rng, frame, passages=3)
    return {"prompt": asked, "context": [c for n, c in enumerate(context) if n != right], "check": {"type": "refuse"}}


def _cite(rng: random.Random, frame: _Frame) -> Row:
    asked, context, right, _ = _grounded(rng, frame, passages=3)
    return {
        "prompt": f"{asked} Cite the passage.",
        "context": context,
        "check": {"type": "cite", "numbers": [right + 1]},
    }


MAKERS: dict[str, tuple[Sequence[Any], Callable[..., Row]]] = {
    "arithmetic": ((("+", 20), ("+", 99), ("-", 20), ("-", 99), ("x", 12), ("+", 999)), _arithmetic),
    "copying": ((2, 3, 4, 5), _copying),
    "instructions": (("capitals", "first", "last", "dash", "twice", "reverse"), _instruction),
    "grounded_use": (FRAMES, _use),
    "grounded_distractor": (FRAMES, _distractor),
    "grounded_admit": (FRAMES, _admit),
    "grounded_cite": (FRAMES, _cite),
}

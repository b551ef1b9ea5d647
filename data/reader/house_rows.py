"""Questions over pages of invented companies: look-alike names, many values of one kind, rows of tables.

A page holds sentences about a few things; the question asks for one value of one thing. Where it has no answer, the
page lacks just that sentence, row or column.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

from data.reader.items import Item
from data.starter import frames
from data.starter.generate import FILLERS, LEADS, TAILS, capital, look_alike, make_frame, phrase

TABLES = 0.25  # share of the pages that are tables
ODD = 0.2  # share of the sentences that may have an attribute of any name, with a value of any kind
MISSING = 0.4  # share of the questions that their page does not answer


@dataclass(frozen=True, slots=True)
class _Said:
    """A sentence about an entity; `at` is where its value begins."""

    text: str
    value: str
    at: int
    entity: str
    frame: frames.Frame


def house_rows(count: int, *, seed: int) -> Iterator[Item]:
    """`count` questions, each with a page of its own."""
    rng = random.Random(seed)
    for _ in range(count):
        yield _of_table(rng) if rng.random() < TABLES else _of_prose(rng)


def _of_prose(rng: random.Random) -> Item:
    things = _look_alikes(rng, rng.choice(("item", "topic", "place", "team", "any")), rng.randint(1, 3))
    said = [s for thing, kind in things for s in _page_of(rng, thing, kind, rng.randint(2, 5))]
    asked = rng.choice(said)
    answered = rng.random() >= MISSING
    shown = said if answered else _without(said, asked)
    order = shown if rng.random() < 0.6 else rng.sample(shown, len(shown))
    parts = [s.text for s in order]
    for _ in range(rng.randint(0, 2)):
        parts.insert(rng.randint(0, len(parts)), rng.choice(FILLERS).format(m=rng.choice(frames.MONTHS)))
    text = rng.choice((" ", " ", "\n- ", "\n\n")).join(parts)
    question = phrase(rng, rng.choice(asked.frame.questions).format(e=asked.entity))
    heading = _heading(rng, things[0][0])
    if not answered:
        return Item(question, text, -1, "", "houses/prose", heading, "missing")
    start = text.index(asked.text) + asked.at
    return Item(question, text, start, asked.value, "houses/prose", heading)


def _look_alikes(rng: random.Random, kind: str, count: int) -> list[tuple[str, str]]:
    """Different names of one kind, the later ones often like the first but for a number or a word."""
    names = [rng.choice(frames.KINDS[kind])(rng)]
    while len(names) < count:
        other = look_alike(rng, names[0], kind)
        if other not in names:
            names.append(other)
    return [(name, kind) for name in names]


def _page_of(rng: random.Random, entity: str, kind: str, most: int) -> list[_Said]:
    """Up to `most` sentences about different attributes of an entity."""
    chosen: dict[str, frames.Frame] = {}
    while len(chosen) < most:
        frame = make_frame(rng) if rng.random() < ODD else rng.choice(frames.FRAMES)
        if kind == "any" or frame.kind in (kind, "any"):
            chosen.setdefault(frame.label, frame)
    return [_say(rng, frame, entity) for frame in chosen.values()]


def _say(rng: random.Random, frame: frames.Frame, entity: str) -> _Said:
    value = frame.value(rng)
    before, _, after = rng.choice(frame.statements).replace("{e}", entity).partition("{v}")
    roll = rng.random()
    if roll < 0.12 and before:
        opening = before if before.startswith(entity[:1].upper()) else before[:1].lower() + before[1:]
        before = rng.choice(LEADS).format(m=rng.choice(frames.MONTHS)) + opening
    tail = rng.choice(TAILS) if 0.12 <= roll < 0.24 else ""
    value = value if before else capital(value)
    before = capital(before)
    return _Said(f"{before}{value}{after}{tail}.", value, len(before), entity, frame)


def _without(said: list[_Said], asked: _Said) -> list[_Said]:
    """The page without what was asked, and without anything else that says it; never empty."""
    left = [s for s in said if s is not asked and not (s.entity == asked.entity and s.frame.label == asked.frame.label)]
    return left or [_Said(f"Nothing more is known of {asked.entity}.", "", 0, asked.entity, asked.frame)]


def _of_table(rng: random.Random) -> Item:
    """A question for one cell: the row by its name, the column by its attribute."""
    kind = rng.choice(("item", "topic", "place"))
    fitting = [f for f in frames.FRAMES if f.kind in (kind, "any")]
    columns = rng.sample(fitting, rng.randint(2, 4))
    names = [name for name, _ in _look_alikes(rng, kind, rng.randint(2, 6))]
    first = rng.choice({"item": ("Model", "Item"), "topic": ("Service", "Topic"), "place": ("Site", "Place")}[kind])
    at_row, at_column = rng.randrange(len(names)), rng.randrange(len(columns))
    answered = rng.random() >= MISSING
    asked = columns[at_column]
    if not answered and rng.random() < 0.5:
        others = [f for f in fitting if f.label not in {c.label for c in columns}]
        asked = rng.choice(others) if others else asked
        answered = not others
    hidden = None if answered or asked is not columns[at_column] else at_row
    text, start, value = "", -1, ""
    for number, name in enumerate(names):
        cells = [frame.value(rng) for frame in columns]
        if number == hidden:
            continue
        line = f"| {capital(re.sub('^the ', '', name))} |"
        for column, cell in enumerate(cells):
            if answered and (number, column) == (at_row, at_column):
                start, value = len(text) + len(line) + 1, cell
            line += f" {cell} |"
        text += line + "\n"
    heads = " | ".join([first, *(capital(frame.label) for frame in columns)])
    question = phrase(rng, rng.choice(asked.questions).format(e=names[at_row]))
    title = f"{_heading(rng, rng.choice(names))} > {heads}"
    kind_of = "answer" if start >= 0 else "missing"
    return Item(question, text.rstrip("\n"), start, value, "houses/table", title, kind_of)


def _heading(rng: random.Random, entity: str) -> str:
    title = capital(entity if rng.random() < 0.6 else rng.choice(frames.KINDS["any"])(rng))
    return title if rng.random() < 0.3 else f"{title} > {capital(rng.choice(frames.ACTIVITIES))}"

"""Preferences and thumbs: read, checked before they teach, and turned into the very tokens that serving shows.

A preference is two replies to one prompt, a thumb is one reply and whether people liked it. Nothing is truncated, and
a row that cannot teach is refused, or left out and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from groundtone.errors import DataError
from groundtone.text import normalise
from groundtone.types import Preference, VoicePair, short_hash
from tuning.pairs import GUESS, read_preferences
from tuning.plan import Plan
from tuning.recipe import Recipe
from tuning.rows import Row, fit
from tuning.shapes import Columns, to_pair
from tuning.shapes import plan as plan_of
from tuning.tables import Problem, read_records, refuse_rows

__all__ = [
    "ChoiceRow",
    "Choices",
    "Render",
    "Sides",
    "Thumb",
    "ThumbRow",
    "Thumbs",
    "both_sides",
    "choices_of",
    "read_thumbs",
    "refuse_grouping",
    "reply_ids",
    "reply_pair",
    "thumb_rows",
    "thumbs_of",
]

Render = Callable[[Sequence[VoicePair]], Sequence[Row]]  # pairs to tokens, one row each, in order

_LABELS = ("label", "thumb", "thumbs", "liked", "vote", "good")
_GOOD = frozenset(("true", "1", "yes", "up", "good", "👍"))
_BAD = frozenset(("false", "0", "no", "down", "bad", "👎"))
_SHOWN = 10  # rows that an error spells out


@dataclass(frozen=True, slots=True)
class Thumb:
    """One reply and whether it was wanted."""

    pair: VoicePair
    good: bool


@dataclass(frozen=True, slots=True)
class ChoiceRow:
    """One preference in tokens; both rows begin with the same prompt."""

    chosen: Row
    rejected: Row

    @property
    def prompt_ids(self) -> list[int]:
        """The tokens that both replies follow."""
        return list(self.chosen.ids[: self.chosen.prompt_tokens])


@dataclass(frozen=True, slots=True)
class ThumbRow:
    """One thumb in tokens."""

    row: Row
    good: bool


@dataclass(frozen=True, slots=True)
class Choices:
    """What can be trained on, and the numbers (from 0, in the data as given) of what was left out."""

    rows: tuple[ChoiceRow, ...]
    dropped: tuple[int, ...]

    @property
    def chosen(self) -> tuple[Row, ...]:
        """The preferred replies."""
        return tuple(row.chosen for row in self.rows)

    @property
    def rejected(self) -> tuple[Row, ...]:
        """The other replies."""
        return tuple(row.rejected for row in self.rows)

    @property
    def numbers(self) -> dict[tuple[int, ...], int]:
        """The number of the row that a sequence of tokens belongs to."""
        return {row.ids: row.index for row in (*self.chosen, *self.rejected)}


@dataclass(frozen=True, slots=True)
class Thumbs:
    """Like `Choices`."""

    rows: tuple[ThumbRow, ...]
    dropped: tuple[int, ...]

    @property
    def by_label(self) -> tuple[list[Row], list[Row]]:
        """The wanted replies and the others."""
        return [t.row for t in self.rows if t.good], [t.row for t in self.rows if not t.good]

    @property
    def numbers(self) -> dict[tuple[int, ...], int]:
        """The number of the row that a sequence of tokens belongs to."""
        return {thumb.row.ids: thumb.row.index for thumb in self.rows}


C = TypeVar("C", Choices, Thumbs)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sides(Generic[C]):
    """What is trained on, and what is held out; None where nothing is."""

    found: C
    held: C | None


def both_sides(
    read: Callable[..., C],
    render: Render,
    rows: Sequence[T],
    heldout: Sequence[T],
    *,
    plan: Plan,
    context_tokens: int | None,
    drop_unsound: bool,
) -> Sides[C]:
    """Both sides by `choices_of` or `thumb_rows`, within the plan's limit; held-out rows over it are dropped."""
    limit = plan.limit(context_tokens)
    found = read(render, rows, limit=limit, drop_long=plan.drops_long, drop_unsound=drop_unsound)
    held = read(render, heldout, limit=limit, drop_long=True, drop_unsound=True) if heldout else None
    return Sides(found, held)


def refuse_grouping(recipe: Recipe, method: str) -> None:
    """DataError for `tuning.length_grouped`: rows of two replies, and prompts without one, have no one length."""
    if recipe.length_grouped:
        raise DataError(f"tuning.length_grouped groups rows of one reply; method {method} has none: leave it out")


def reply_ids(row: Row) -> list[int]:
    """The tokens of a row's reply, stop token included."""
    return list(row.ids[row.prompt_tokens :])


def reply_pair(preference: Preference, reply: str) -> VoicePair:
    """The preference's prompt with one of its replies; rows of one prompt have one source, to be split together."""
    source = short_hash("prompt", normalise(preference.prompt))
    return VoicePair(preference.prompt, reply, source, preference.context, history=preference.history)


def thumbs_of(preferences: Sequence[Preference]) -> tuple[Thumb, ...]:
    """Every preference as a thumb up and a thumb down, in order."""
    return tuple(
        Thumb(reply_pair(preference, reply), good)
        for preference in preferences
        for reply, good in ((preference.chosen, True), (preference.rejected, False))
    )


def read_thumbs(source: str | Path, *, columns: Columns = GUESS, label: str | None = None) -> tuple[Thumb, ...]:
    """The rows of a table with a prompt, a reply and a label: true or false, 1 or 0, up or down.

    Columns are guessed like those of pairs; a table of preferences gives two thumbs a row. Raises DataError naming the
    place of every problem (the first twenty).
    """
    records = list(read_records(source))
    names = Counter(str(name) for record in records if not isinstance(record, Problem) for name in record.values)
    how = plan_of(names, given=columns, where=Path(str(source)).name)
    if how.kind == "preferences":
        return thumbs_of(read_preferences(source, columns=columns))
    column = label or next((name for name in _LABELS if name in names), None)
    if column is None or column not in names:
        wanted = f"no column {column!r}" if column else f"none of the columns {', '.join(_LABELS)}"
        raise DataError(f"{source}: has {wanted} for whether a reply was wanted; the columns are {', '.join(names)}")
    thumbs, problems = list[Thumb](), list[str]()
    for record in records:
        if isinstance(record, Problem):
            problems.append(f"{record.where}: {record.what}")
            continue
        pair, good = to_pair(record.values, how), _good(record.values.get(column))
        if isinstance(pair, list):
            problems += [f"{record.where}: {problem}" for problem in pair]
        elif good is None:
            problems.append(f"{record.where}: {column} is {record.values.get(column)!r}, neither true nor false")
        else:
            thumbs.append(Thumb(pair, good))
    refuse_rows(problems)
    return tuple(thumbs)


def _good(value: Any) -> bool | None:
    word = str(value).strip().lower()
    return True if word in _GOOD else False if word in _BAD else None


def choices_of(
    render: Render, preferences: Sequence[Preference], *, limit: int | None, drop_long: bool, drop_unsound: bool
) -> Choices:
    """Preferences in tokens. Raises DataError for unsound rows and rows over `limit` tokens unless they are dropped.

    Unsound: a reply that is empty, both replies the same, or a preference that another row turns round.
    """
    kept, unsound = _sound(_preference_problems(preferences), len(preferences), drop=drop_unsound)
    chosen, rejected = (
        _numbered(render([reply_pair(preferences[n], reply(preferences[n])) for n in kept]), kept)
        for reply in (lambda p: p.chosen, lambda p: p.rejected)
    )
    both = list(zip(chosen, rejected, strict=True))
    fitted = fit([max(pair, key=lambda row: len(row.ids)) for pair in both], limit=limit, drop=drop_long)
    fits = {row.index for row in fitted.rows}
    rows = tuple(ChoiceRow(one, other) for one, other in both if one.index in fits)
    return Choices(rows, (*unsound, *(index for index, _ in fitted.dropped)))


def thumb_rows(
    render: Render, thumbs: Sequence[Thumb], *, limit: int | None, drop_long: bool, drop_unsound: bool
) -> Thumbs:
    """Thumbs in tokens, like `choices_of`. Unsound: an empty reply, or one reply with both labels."""
    kept, unsound = _sound(_thumb_problems(thumbs), len(thumbs), drop=drop_unsound)
    rows = _numbered(render([thumbs[n].pair for n in kept]), kept)
    fitted = fit(rows, limit=limit, drop=drop_long)
    return Thumbs(
        tuple(ThumbRow(row, thumbs[row.index].good) for row in fitted.rows),
        (*unsound, *(index for index, _ in fitted.dropped)),
    )


def _numbered(rows: Sequence[Row], numbers: Sequence[int]) -> list[Row]:
    return [replace(row, index=number) for row, number in zip(rows, numbers, strict=True)]


def _folded(text: str) -> str:
    """White space apart the same text; case and punctuation may be what a preference is about."""
    return " ".join(text.split())


def _asked(row: Preference | VoicePair) -> tuple[str, ...]:
    """What a reply answers: rows that share it are compared."""
    turns = (f"{turn.role}: {_folded(turn.text)}" for turn in row.history)
    return (_folded(row.prompt), *row.context, "\x1f", *turns, "\x1f")


def _preference_problems(preferences: Sequence[Preference]) -> dict[int, str]:
    """What is wrong with a preference, by its number."""
    problems: dict[int, str] = {}
    seen: dict[tuple[str, ...], list[int]] = {}
    for number, row in enumerate(preferences):
        texts = (_folded(row.chosen), _folded(row.rejected))
        if not row.prompt.strip() or not row.chosen.strip() or not row.rejected.strip():
            problems[number] = "has an empty prompt or reply"
        elif texts[0] == texts[1]:
            problems[number] = "prefers a reply to itself"
        seen.setdefault((*_asked(row), *texts), []).append(number)
    for key, numbers in seen.items():
        turned = seen.get((*key[:-2], key[-1], key[-2]))
        if turned and key[-1] != key[-2]:
            problems |= dict.fromkeys(numbers, f"says the opposite of row {turned[0]}")
    return problems


def _thumb_problems(thumbs: Sequence[Thumb]) -> dict[int, str]:
    problems: dict[int, str] = {}
    seen: dict[tuple[str, ...], dict[bool, list[int]]] = {}
    for number, thumb in enumerate(thumbs):
        if not thumb.pair.prompt.strip() or not thumb.pair.reply.strip():
            problems[number] = "has an empty prompt or reply"
        key = (*_asked(thumb.pair), _folded(thumb.pair.reply))
        seen.setdefault(key, {}).setdefault(thumb.good, []).append(number)
    for labels in seen.values():
        if len(labels) == 2:
            for good, numbers in labels.items():
                problems |= dict.fromkeys(numbers, f"says the opposite of row {labels[not good][0]}")
    return problems


def _sound(problems: Mapping[int, str], rows: int, *, drop: bool) -> tuple[list[int], list[int]]:
    """The numbers of the rows that can teach, and of those left out; DataError where they may not be left out."""
    if not rows:
        raise DataError("there are no rows to train on: check tuning.data")
    if problems and not drop:
        named = "; ".join(f"row {number} {what}" for number, what in sorted(problems.items())[:_SHOWN])
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise DataError(
            f"{len(problems)} of {rows} rows cannot teach a preference ({named}{more}): mend them, or set "
            "tuning.data_checks to report to leave them out"
        )
    kept = [number for number in range(rows) if number not in problems]
    if not kept:
        raise DataError(f"none of {rows} rows can teach a preference: row 0 {problems[0]}")
    return kept, sorted(problems)

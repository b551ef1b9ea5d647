"""The reader's benchmark: two readers compared item by item, and SQuAD's F1."""

from __future__ import annotations

import pytest

from benchmarks.reader import Measured, auroc_difference, auroc_interval, token_f1
from data.reader.rows import Item
from groundtone.models.reader import Reading


def near_misses(answered: list[float], none: list[float]) -> Measured:
    """Two questions per paragraph, one answered, with these scores."""

    def pairs(scores: list[float], start: int) -> tuple[tuple[Item, Reading], ...]:
        return tuple(
            (Item("Where?", f"paragraph {at}", start, "", "squad2_open/x"), Reading(0, 0, "", score))
            for at, score in enumerate(scores)
        )

    return Measured({}, {}, pairs(answered, 0), pairs(none, -1), 0.0, 0)


def test_a_reader_differs_from_itself_by_nothing() -> None:
    found = near_misses([3.0, 1.0, 2.0], [0.0, 1.5, 2.5])
    same = auroc_difference(found, found)
    assert (same.mean, same.low, same.high, same.n) == (0.0, 0.0, 0.0, 6)


def test_the_difference_is_that_of_the_two_areas() -> None:
    one, other = near_misses([3.0, 1.0, 2.0], [0.0, 1.5, 1.0]), near_misses([0.0, 2.0, 1.0], [1.0, 1.5, 3.0])
    areas = [auroc_interval(found.answered, found.none).mean for found in (one, other)]
    assert areas[0] is not None
    assert areas[1] is not None
    difference = auroc_difference(one, other)
    assert difference.mean == pytest.approx(areas[0] - areas[1])
    assert difference.low is not None
    assert difference.high is not None
    assert difference.low <= areas[0] - areas[1] <= difference.high


def test_articles_and_punctuation_do_not_count() -> None:
    assert token_f1("The Parliament.", ("parliament", "something else")) == 1.0
    assert token_f1("a different thing", ("parliament",)) == 0.0

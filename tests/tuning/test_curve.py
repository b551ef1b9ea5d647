"""The learning curve's arithmetic: which rows a part holds, and how many rows, or held-out rows, it asks for."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundtone.types import VoicePair
from tuning.curve import Curve, learning_curve


def pairs(n: int, *, of: int = 1) -> list[VoicePair]:
    return [VoicePair(f"p{i}", "r", f"s{i // of}") for i in range(n)]


def curve(losses: dict[int, float], *, noise: float = 0.0, heldout: int = 40) -> Curve:
    """Losses by number of rows, higher for some held-out rows than others, with noise that changes between parts."""

    def train(part: Sequence[VoicePair]) -> list[float]:
        odd = [noise * (((i * 7 + len(part)) % 5) - 2) for i in range(heldout)]
        return [losses[len(part)] * (0.8 + 0.1 * (i % 5)) + odd[i] for i in range(heldout)]

    return learning_curve(pairs(max(losses)), train=train, shares=[n / max(losses) for n in losses])


@settings(deadline=None, max_examples=40)
@given(rows=st.integers(8, 60), of=st.integers(1, 9), seed=st.integers(0, 5))
def test_parts_are_nested_and_split_at_most_one_source(rows: int, of: int, seed: int) -> None:
    seen: list[set[VoicePair]] = []

    def train(part: Sequence[VoicePair]) -> list[float]:
        seen.append(set(part))
        return [1.0, 2.0]

    everything = pairs(rows, of=of)
    learning_curve(everything, train=train, shares=(0.3, 0.6, 1.0), seed=seed)
    assert seen[0] <= seen[1] <= seen[2] == set(everything)
    for part in seen:
        touched = {pair.source for pair in part}
        whole = {source for source in touched if {p for p in everything if p.source == source} <= part}
        assert len(touched - whole) <= 1


def test_gains_that_shrink_say_from_where_on_rows_bring_little() -> None:
    made = curve({16: 2.0, 32: 1.5, 64: 1.25})
    assert (made.verdict, made.expected) == ("more rows would help", pytest.approx(0.125))
    assert made.enough_rows is not None
    assert made.enough_rows >= 128, "twice the rows still bring ten per cent"
    assert f"{made.enough_rows} rows" in made.lines()[-1]
    steady = curve({16: 3.0, 32: 2.0, 64: 1.0})
    assert (steady.verdict, steady.enough_rows) == ("more rows would help", None), (
        "gains that do not shrink have no end"
    )


def test_a_gain_inside_its_noise_asks_for_held_out_rows() -> None:
    made = curve({16: 1.0, 32: 0.999}, noise=0.1)
    assert made.verdict == "cannot tell"
    assert made.heldout_needed is not None
    assert made.heldout_needed > 40
    assert "held-out rows would tell" in made.advice


def test_rows_that_bring_nothing_ask_for_nothing() -> None:
    made = curve({16: 1.0, 32: 0.999, 64: 0.9985})
    assert (made.verdict, made.enough_rows, made.heldout_needed) == ("more rows would hardly help", None, None)
    assert made.advice == ""


def test_held_out_rows_of_one_source_count_as_one_witness() -> None:
    def train(part: Sequence[VoicePair]) -> list[float]:
        return [1.0 / len(part) + (i // 10) * 0.1 for i in range(40)]

    apart = learning_curve(pairs(16), train=train)
    together = learning_curve(pairs(16), train=train, clusters=[str(i // 10) for i in range(40)])
    spread = [c.points[0].loss for c in (apart, together)]
    widths = [(s.high or 0.0) - (s.low or 0.0) for s in spread]
    assert widths[1] > widths[0]

"""Choosing a strength from made-up curves: the smallest that speaks as well as the best and fits the margins."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from eval.estimates import as_json
from eval.gate import TUNING_GIVEN_RAG
from groundtone.errors import IntegrityError
from groundtone.joins.strength_curve import CURVE, Point, StrengthCurve, budget, choose, read_curve, write_curve
from groundtone.stats import mean_interval
from groundtone.types import Estimate

N = 60
MARGINS = {"tone": 0.0, "format": 0.0} | dict.fromkeys(("hallucination", "correct", "general", "leak"), 0.05)
MARGINS |= {"follows_change": 0.2}
STEPS = (0.0, 0.25, 0.5, 0.75, 1.0)


def column(share: float | None) -> tuple[float | None, ...]:
    """`share` of the prompts at 1, the others at 0; None where nothing was measured."""
    return tuple(None if share is None else float(i < round(share * N)) for i in range(N))


def around(mean: float, half: float = 0.02) -> Estimate:
    return Estimate(mean, mean - half, mean + half, 100)


def point(
    strength: float,
    voice: float | None,
    *,
    tone: float | None = -1.0,
    general: Estimate | None = None,
    verdict: str = "retained",
    correct: Estimate | None = None,
    measured: bool = True,
) -> Point:
    """A strength with this share of prompts in format (and in tone, where no other share is given)."""
    voices = {"tone": column(voice if tone == -1.0 else tone), "format": column(voice)}
    rows = [
        {"name": TUNING_GIVEN_RAG, "metric": name, "estimate": as_json(value)}
        for name, value in (("hallucination", around(0.0)), ("correct", correct or around(0.0)))
    ]
    row = {"suite": "all suites", "verdict": verdict, "difference": as_json(general or around(0.0)), "needs": 40}
    evidence = {"differences": rows, "forgetting": [row]} if measured else {"differences": [], "forgetting": []}
    return Point(strength, {name: mean_interval(values) for name, values in voices.items()}, voices, evidence)


def curve(points: Sequence[Point]) -> StrengthCurve:
    return StrengthCurve("tune-a", "now", "i", tuple(f"h{i}" for i in range(N)), tuple(points), resamples=400)


def test_the_smallest_strength_within_noise_of_the_best_is_taken() -> None:
    made = curve([point(s, v) for s, v in zip(STEPS, (0.0, 0.3, 0.95, 0.98, 1.0), strict=True)])
    choice = choose(made, MARGINS)
    assert (choice.strength, choice.settled) == (0.5, True)
    assert "within noise of the best, 1" in choice.reason
    assert "n=60" in choice.reason


def test_a_curve_that_rises_all_the_way_keeps_the_full_strength() -> None:
    choice = choose(curve([point(s, s) for s in STEPS]), MARGINS)
    assert choice.strength == 1.0
    assert "every weaker one is worse" in choice.reason


def test_ties_go_to_the_smallest_strength_even_beyond_one() -> None:
    points = [point(0.0, 0.0), *(point(s, 1.0) for s in (0.25, 0.5, 1.0, 1.5))]
    assert choose(curve(points), MARGINS).strength == 0.25


def test_tone_counts_as_much_as_format() -> None:
    points = [point(0.0, 0.0), point(0.5, 1.0, tone=0.2), point(1.0, 1.0, tone=0.9)]
    assert choose(curve(points), MARGINS).strength == 1.0


def test_a_strength_that_forgets_or_loses_facts_does_not_fit() -> None:
    lost = around(-0.2)
    forgets = point(1.0, 1.0, general=lost, verdict="forgotten")
    wrong = point(0.75, 0.9, correct=lost)
    points = [point(0.0, 0.0), point(0.25, 0.4), point(0.5, 0.7), wrong, forgets]
    assert choose(curve(points), MARGINS).strength == 0.5
    assert [budget(p, MARGINS)[0] for p in points] == ["inside", "inside", "inside", "outside", "outside"]


def test_none_fits_says_why_for_each_strength() -> None:
    points = [point(0.0, 0.0)] + [point(s, 1.0, general=around(-0.3), verdict="forgotten") for s in (0.5, 1.0)]
    choice = choose(curve(points), MARGINS)
    assert choice.strength is None
    assert choice.reason.startswith("none fits: 0.5: general skills not down")
    assert "; 1: general" in choice.reason


def test_a_voice_that_cannot_be_told_from_the_base_is_not_chosen() -> None:
    choice = choose(curve([point(s, 0.5) for s in STEPS]), MARGINS)
    assert choice.strength is None
    assert "cannot be told from the base's" in choice.reason


def test_too_few_items_leave_the_choice_open_unless_the_estimate_itself_is_beyond_the_margin() -> None:
    unsure = point(0.5, 1.0, general=around(-0.02, 0.2), verdict="inconclusive")
    beyond = point(0.5, 1.0, general=around(-0.15, 0.2), verdict="inconclusive")
    choice = choose(curve([point(0.0, 0.0), unsure]), MARGINS)
    assert (choice.strength, choice.settled) == (0.5, False)
    assert "40 more items" in choice.reason
    assert choose(curve([point(0.0, 0.0), beyond]), MARGINS).strength is None


def test_missing_numbers_are_named_and_never_count_as_good() -> None:
    nothing = choose(curve([point(s, None) for s in STEPS]), MARGINS)
    assert nothing.strength is None
    assert "neither tone nor format was measured" in nothing.reason
    unmeasured = choose(curve([point(0.0, 0.0), point(0.5, 1.0, measured=False)]), MARGINS)
    assert (unmeasured.strength, unmeasured.settled) == (0.5, False)
    assert "was not measured" in unmeasured.reason
    holes = choose(curve([point(0.0, 0.0), point(0.5, None), point(1.0, 1.0)]), MARGINS)
    assert holes.strength == 1.0
    only_format = choose(curve([point(0.0, 0.0, tone=None), point(0.5, 1.0, tone=None)]), MARGINS)
    assert only_format.strength == 0.5


def test_the_base_alone_is_no_choice() -> None:
    choice = choose(curve([point(0.0, 0.4)]), MARGINS)
    assert choice.strength is None
    assert "no strength above 0" in choice.reason


def test_a_curve_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    made = curve([point(0.0, 0.0), point(0.5, None), point(1.0, 1.0)])
    choice = choose(made, MARGINS)
    path = write_curve(tmp_path, made, choice, MARGINS)
    assert read_curve(tmp_path) == (made, choice)
    rows = json.loads(path.read_text())["points"]
    assert [row["budget"] for row in rows] == ["inside", "inside", "inside"]
    path.write_text('{"schema": 9}')
    with pytest.raises(IntegrityError, match=CURVE):
        read_curve(tmp_path)

"""What a sceptic asks of the figures: do intervals cover, does nothing differ from itself, how many items it takes."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from eval.forgetting import compare
from groundtone.stats import interaction, items_needed, mean_interval, paired_difference
from groundtone.types import Estimate, EvalRecord, Question, Score

RUNS = 200
NOMINAL = (0.90, 0.995)  # of 200 runs at 95 %: within three standard errors below


def covered(made: Callable[[random.Random], Estimate], truth: float) -> float:
    """The share of simulated samples whose interval holds the truth."""
    generator = random.Random(7)
    held = 0
    for _ in range(RUNS):
        found = made(generator)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= truth <= found.high
    return held / RUNS


def documents(generator: random.Random, *, count: int, each: int, rate: tuple[float, float]) -> list[float]:
    """The rates of items of `count` documents, whose items share one drawn from a beta distribution."""
    return [p for p in (generator.betavariate(*rate) for _ in range(count)) for _ in range(each)]


KEYS = [str(i // 5) for i in range(100)]


def test_the_mean_of_clustered_items_is_covered() -> None:
    def made(generator: random.Random) -> Estimate:
        rates = documents(generator, count=20, each=5, rate=(4, 2))
        return mean_interval([float(generator.random() < p) for p in rates], clusters=KEYS, resamples=400)

    assert NOMINAL[0] <= covered(made, 4 / 6) <= NOMINAL[1]


def test_a_paired_difference_is_covered() -> None:
    def made(generator: random.Random) -> Estimate:
        rates = documents(generator, count=20, each=5, rate=(4, 4))
        base = [float(generator.random() < p) for p in rates]
        mended, broken = 0.4, 0.2  # shares of the wrong and of the right ones
        tuned = [1 - v if generator.random() < (broken if v else mended) else v for v in base]
        return paired_difference(tuned, base, clusters=KEYS, resamples=400)

    assert NOMINAL[0] <= covered(made, 0.4 * 0.5 - 0.2 * 0.5) <= NOMINAL[1]


def test_the_interaction_is_covered() -> None:
    def made(generator: random.Random) -> Estimate:
        arms = [[float(generator.random() < p) for _ in range(100)] for p in (0.8, 0.6, 0.5, 0.4)]
        return interaction(*arms, resamples=400)

    assert NOMINAL[0] <= covered(made, (0.8 - 0.6) - (0.5 - 0.4)) <= NOMINAL[1]


def test_ignoring_clusters_would_claim_too_much() -> None:
    def made(generator: random.Random) -> Estimate:
        rates = documents(generator, count=20, each=5, rate=(0.4, 0.2))  # documents are nearly all right or all wrong
        return mean_interval([float(generator.random() < p) for p in rates], resamples=400)

    assert covered(made, 4 / 6) < NOMINAL[0]


def test_the_same_system_twice_gives_no_false_alarm_beyond_its_rate() -> None:
    generator = random.Random(11)
    alarms = 0
    for _ in range(RUNS):
        rates = documents(generator, count=20, each=5, rate=(4, 2))
        one, other = ([float(generator.random() < p) for p in rates] for _ in range(2))
        found = paired_difference(one, other, clusters=KEYS, resamples=400)
        assert found.low is not None
        assert found.high is not None
        alarms += not found.low <= 0 <= found.high
    assert alarms / RUNS <= 0.08  # 5 %, and what 200 runs leave to chance (two standard errors)


def test_forgetting_is_not_alarmed_by_a_sampled_base_against_itself() -> None:
    generator = random.Random(3)
    forgotten = 0
    for _ in range(RUNS):
        rates = [generator.betavariate(6, 2) for _ in range(60)]
        arms = [
            [_record(arm, i, float(generator.random() < p)) for i, p in enumerate(rates)] for arm in ("base", "tuned")
        ]
        forgotten += compare(*arms, {"general": 0.05}, resamples=200)[0]["verdict"] == "forgotten"
    assert forgotten / RUNS <= 0.05


def _record(arm: str, number: int, score: float) -> EvalRecord:
    return EvalRecord(f"g{number}", arm, Question(f"g{number}", "?", kind="general"), None, {"suite": Score(score)})


@pytest.mark.parametrize("n", [1, 7, 200])
def test_a_no_op_adapter_is_exactly_nothing(n: int) -> None:
    base = [float(random.Random(n).random() < 0.7) for _ in range(n)]
    assert paired_difference(base, list(base), resamples=200).mean == 0.0
    rows = compare(
        [_record("base", i, v) for i, v in enumerate(base)],
        [_record("tuned", i, v) for i, v in enumerate(base)],
        {"general": 0.05},
        resamples=200,
    )
    assert {(row["difference"]["mean"], row["fixed"], row["broken"]) for row in rows} == {(0.0, 0, 0)}


def test_a_damaged_adapter_is_flagged_nearly_always() -> None:
    generator = random.Random(5)
    caught = 0
    for _ in range(50):
        base = [float(generator.random() < 0.9) for _ in range(100)]
        damaged = [v * float(generator.random() < 0.7) for v in base]
        arms = [[_record(arm, i, v) for i, v in enumerate(values)] for arm, values in (("base", base), ("t", damaged))]
        caught += compare(*arms, {"general": 0.05}, resamples=200)[0]["verdict"] == "forgotten"
    assert caught >= 48


@pytest.mark.parametrize(("margin", "items"), [(0.05, 312), (0.03, 870), (0.02, 1960)])
def test_the_power_table_is_the_published_one(margin: float, items: int) -> None:
    assert items_needed(margin, 0.1) == items


def test_the_items_that_the_table_asks_for_do_find_the_difference() -> None:
    """Four in five, by simulation: a tenth of the answers flips, five points net."""
    generator = random.Random(2)
    found = 0
    for _ in range(RUNS):
        flips = [generator.choices((1.0, -1.0, 0.0), weights=(0.075, 0.025, 0.9))[0] for _ in range(312)]
        a, b = [max(0.0, f) for f in flips], [max(0.0, -f) for f in flips]
        estimate = paired_difference(a, b, resamples=400)
        found += estimate.low is not None and estimate.low > 0
    assert 0.72 <= found / RUNS <= 0.88

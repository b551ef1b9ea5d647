"""Where few clusters are off a bound: intervals still cover, and seeing one is never surer than seeing none."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binom

from groundtone.stats import mean_interval, paired_difference
from groundtone.types import Estimate

Floats = NDArray[np.float64]
LEAST = 0.93  # of a nominal 95 %, at every rate
RUNS = 600
SIMULATED = LEAST - 2.5 * math.sqrt(LEAST * (1 - LEAST) / RUNS)  # what so many runs leave to chance
MIXED = [*range(1, 9)]  # items of a document
UNEQUAL = [1, 1, 1, 1, 8, 8]


def keys(sizes: Sequence[int]) -> list[str]:
    return [f"{document:03d}" for document, size in enumerate(sizes) for _ in range(size)]


def off(clusters: int, shares: Sequence[float], each: int = 4) -> list[float]:
    """Values of which the first clusters hold these shares of ones, and the others none."""
    ones = [round(share * each) for share in shares] + [0] * (clusters - len(shares))
    return [float(item < one) for one in ones for item in range(each)]


@pytest.mark.parametrize("clusters", [10, 20, 38, 80, 150])
def test_every_low_and_high_rate_is_covered_where_each_cluster_is_all_or_nothing(clusters: int) -> None:
    """Exactly: the chance of each count of clusters, over the counts whose interval holds the rate."""
    found = [mean_interval([1.0] * count + [0.0] * (clusters - count)) for count in range(clusters + 1)]
    rates = np.linspace(0.002, 0.1, 50)
    for truths in (rates, 1 - rates):
        chance = binom.pmf(np.arange(clusters + 1)[:, None], clusters, truths)
        held = np.array([[_holds(estimate, truth) for truth in truths] for estimate in found])
        assert (chance * held).sum(axis=0).min() >= LEAST


@pytest.mark.parametrize(
    ("documents", "sizes", "rate", "correlation"),
    [
        (10, MIXED, 0.1, 0.8),
        (20, MIXED, 0.05, 0.5),
        (40, MIXED, 0.005, 0.2),
        (40, [4], 0.05, 0.8),
        (60, UNEQUAL, 0.02, 0.8),
        (80, UNEQUAL, 0.95, 0.5),
        (150, [2], 0.99, 0.0),
        (150, MIXED, 0.01, 0.8),
    ],
)
def test_clustered_rates_near_a_bound_are_covered(
    documents: int, sizes: list[int], rate: float, correlation: float
) -> None:
    held = (sizes * documents)[:documents]

    def made(rng: np.random.Generator) -> Estimate:
        rates = np.repeat(_rates(rng, rate, correlation, documents), held)
        return mean_interval((rng.random(len(rates)) < rates).astype(float).tolist(), clusters=keys(held))

    assert _covered(made, rate) >= SIMULATED


@pytest.mark.parametrize(("documents", "rate", "correlation"), [(20, 0.01, 0.2), (40, 0.05, 0.5), (80, 0.98, 0.2)])
def test_graded_values_near_a_bound_are_covered(documents: int, rate: float, correlation: float) -> None:
    held = (MIXED * documents)[:documents]

    def made(rng: np.random.Generator) -> Estimate:
        rates = np.repeat(_rates(rng, rate, correlation, documents), held).clip(1e-9, 1 - 1e-9)
        return mean_interval(rng.beta(8 * rates, 8 * (1 - rates)).tolist(), clusters=keys(held))

    assert _covered(made, rate) >= SIMULATED


@pytest.mark.parametrize(("gained", "lost"), [(0.005, 0.02), (0.01, 0.05), (0.005, 0.1)])
def test_a_loss_of_few_documents_is_covered(gained: float, lost: float) -> None:
    held = (UNEQUAL * 10)[:40]

    def made(rng: np.random.Generator) -> Estimate:
        up, down = (np.repeat(_rates(rng, rate, 0.8, 40), held) for rate in (gained, lost))
        base = (rng.random(len(up)) < 0.5).astype(float)
        tuned = np.where(rng.random(len(up)) < np.where(base == 1, down, up), 1 - base, base)
        return paired_difference(tuned.tolist(), base.tolist(), clusters=keys(held))

    assert _covered(made, 0.5 * gained - 0.5 * lost) >= SIMULATED


@given(st.integers(5, 150), st.lists(st.sampled_from([0.25, 0.5, 1.0]), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_seeing_few_is_never_surer_than_seeing_none(clusters: int, shares: list[float]) -> None:
    some, none = off(clusters, shares), off(clusters, [])
    grouped = keys([4] * clusters)
    odd, clean = (mean_interval(values, clusters=grouped, resamples=200) for values in (some, none))
    right = mean_interval([1 - v for v in some], clusters=grouped, resamples=200)
    assert odd.high is not None
    assert clean.high is not None
    assert right.low is not None
    assert odd.high > clean.high
    assert right.low == pytest.approx(1 - odd.high, abs=1e-9)
    lost, same = (paired_difference(none, values, clusters=grouped, resamples=200) for values in (some, none))
    assert lost.low is not None
    assert same.low is not None
    assert lost.low < same.low


def test_one_odd_claim_of_many_documents_is_as_open_as_none() -> None:
    grouped = keys([4] * 26 + [3] * 15)
    values = [0.0] * len(grouped)
    clean = mean_interval(values, clusters=grouped)
    values[0] = 1.0
    odd = mean_interval(values, clusters=grouped)
    assert (odd.n, clean.n) == (149, 149)
    assert clean.high == pytest.approx(0.086, abs=0.001)
    assert odd.high == pytest.approx(0.092, abs=0.001)


def test_what_is_next_to_nothing_is_nothing() -> None:
    traces = mean_interval([0.0] * 20 + [1e-320, 1e-160])
    clean = mean_interval([0.0] * 22)
    assert traces.high == pytest.approx(clean.high)


def test_where_many_clusters_are_off_a_little_nothing_is_widened() -> None:
    """A tone of nine tenths in every document hides no document without any."""
    values = [0.9 + 0.02 * ((i * 7) % 5 - 2) for i in range(160)]
    found = mean_interval(values, clusters=keys([4] * 40))
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.low < 0.02


def _holds(estimate: Estimate, truth: float) -> bool:
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.low <= truth <= estimate.high


def _rates(rng: np.random.Generator, rate: float, correlation: float, documents: int) -> Floats:
    """Rates of documents from a beta distribution, under which two items of one are so correlated."""
    if not correlation:
        return np.full(documents, rate)
    spread = (1 - correlation) / correlation
    return rng.beta(rate * spread, (1 - rate) * spread, documents)


def _covered(made: Callable[[np.random.Generator], Estimate], truth: float) -> float:
    rng = np.random.default_rng(5)
    found = [made(rng) for _ in range(RUNS)]
    return sum(e.low is not None and _holds(e, truth) for e in found) / RUNS

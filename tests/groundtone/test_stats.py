import random
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as reference

from groundtone.stats import (
    auroc,
    holm,
    interaction,
    items_needed,
    items_without_flip,
    mcnemar_mid_p,
    mean_interval,
    paired_difference,
    wilson_interval,
)
from groundtone.stats_intervals import t_quantile

SHARES = st.lists(st.one_of(st.none(), st.sampled_from([0.0, 0.25, 0.5, 1.0])), min_size=1, max_size=40)


@given(st.integers(0, 60), st.integers(0, 60))
@settings(max_examples=60)
def test_mid_p_equals_the_binomial_reference(fixed, broken):
    n, k = fixed + broken, min(fixed, broken)
    expected = 1.0 if n == 0 else 2 * reference.binom.cdf(k, n, 0.5) - reference.binom.pmf(k, n, 0.5)
    assert mcnemar_mid_p(fixed, broken) == pytest.approx(min(1.0, expected), abs=1e-9)


def test_mid_p_stays_exact_where_floats_would_underflow():
    assert 0 <= mcnemar_mid_p(0, 2000) < 1e-300
    assert mcnemar_mid_p(3000, 3000) == 1.0


@given(st.integers(0, 50), st.integers(1, 50))
@settings(max_examples=40)
def test_wilson_equals_the_reference(successes, n):
    successes = min(successes, n)
    expected = reference.binomtest(successes, n).proportion_ci(method="wilson")
    estimate = wilson_interval(successes, n)
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize("n", [1, 5, 20, 120])
def test_without_spread_the_interval_is_clopper_and_pearsons(n):
    exact = reference.binomtest(0, n).proportion_ci(method="exact")
    none, all_ = mean_interval([0.0] * n), mean_interval([1.0] * n)
    assert (none.mean, none.low, none.high) == pytest.approx((0.0, 0.0, exact.high))
    assert (all_.mean, all_.low, all_.high) == pytest.approx((1.0, 1 - exact.high, 1.0))


def test_a_thousand_items_of_one_document_are_one_cluster():
    one = mean_interval([1.0] * 1000, clusters=["doc"] * 1000)
    many = mean_interval([1.0] * 1000)
    assert one.low is not None
    assert many.low is not None
    assert one.low < 0.05
    assert many.low > 0.99
    assert mean_interval([0.0, 1.0], clusters=["doc", "doc"]).low is None


@given(SHARES)
@settings(max_examples=40, deadline=None)
def test_identical_samples_differ_by_exactly_nothing(values):
    estimate = paired_difference(values, list(values), resamples=200)
    present = [v for v in values if v is not None]
    assert estimate.n == len(present)
    assert estimate.missing == len(values) - len(present)
    if present:
        assert estimate.mean == 0.0
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.low < 0 < estimate.high
    else:
        assert estimate.mean is None


@given(SHARES, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_the_order_of_items_changes_nothing(values, randomness: random.Random):
    keys = [f"d{i % 5}" for i in range(len(values))]
    order = list(range(len(values)))
    randomness.shuffle(order)
    straight = mean_interval(values, clusters=keys, resamples=200)
    assert straight == mean_interval([values[i] for i in order], clusters=[keys[i] for i in order], resamples=200)


@given(SHARES)
@settings(max_examples=40, deadline=None)
def test_an_interval_holds_its_mean_and_stays_inside_the_bounds(values):
    estimate = mean_interval(values, resamples=200)
    if estimate.mean is None:
        assert estimate.n == 0
    elif estimate.low is not None and estimate.high is not None:
        assert 0 <= estimate.low <= estimate.mean <= estimate.high <= 1
        assert estimate.high > estimate.low


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    generator = random.Random(1)
    hits = 0
    for _ in range(200):
        clusters = [generator.betavariate(3, 2) for _ in range(12)]
        values = [float(generator.random() < p) for p in clusters for _ in range(6)]
        estimate = mean_interval(values, clusters=[str(i // 6) for i in range(72)], resamples=400)
        assert estimate.low is not None
        assert estimate.high is not None
        hits += estimate.low <= 0.6 <= estimate.high
    assert 0.89 <= hits / 200 <= 0.995


def test_interaction_is_the_difference_of_the_differences():
    a1, b1, a0, b0 = [1.0, 1.0, 0.0, None], [0.0, 1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 1.0], [1.0, 1.0, 0.0, 0.0]
    estimate = interaction(a1, b1, a0, b0, resamples=200)
    assert estimate.mean == pytest.approx(((1 - 0 - 1 + 1) + (1 - 1 - 0 + 1) + 0) / 3)
    assert (estimate.n, estimate.missing) == (3, 1)


def test_values_outside_their_bounds_and_unpaired_samples_are_refused():
    with pytest.raises(ValueError, match="bounds=None"):
        mean_interval([0.2, 12.0])
    with pytest.raises(ValueError, match="lengths"):
        paired_difference([1.0], [1.0, 0.0])
    with pytest.raises(ValueError, match="infinite"):
        mean_interval([float("inf")], bounds=None)
    assert mean_interval([12.0, 13.0, 14.0], bounds=None).mean == 13.0


def test_holm_keeps_order_leaves_none_out_and_never_lowers_a_p_value():
    p = [0.01, None, 0.04, 0.03]
    adjusted = holm(p)
    assert adjusted[1] is None
    assert adjusted == [pytest.approx(0.03), None, pytest.approx(0.06), pytest.approx(0.06)]


def test_items_needed_are_the_published_figures():
    assert [items_needed(margin, 0.1) for margin in (0.05, 0.03, 0.02)] == [312, 870, 1960]
    n = items_without_flip(0.05)
    left_open = [1 - Fraction(25, 1000) ** Fraction(1, m) for m in (n, n - 1)]
    assert left_open[0] < 0.05 <= left_open[1]


@pytest.mark.parametrize("freedom", [1, 2, 3, 5, 10, 30, 200])
def test_student_quantile_is_within_a_percent(freedom):
    assert t_quantile(freedom) == pytest.approx(float(reference.t.ppf(0.975, freedom)), rel=0.01)


def test_auroc_counts_pairs_and_its_interval_covers() -> None:
    assert auroc([3.0, 4.0], [1.0, 2.0]).mean == 1.0
    assert auroc([1.0], [1.0]).mean == 0.5
    assert auroc([2.0, 1.0], [1.0, 3.0]).mean == pytest.approx((1 + 0.5) / 4)
    assert auroc([], [1.0]).mean is None
    rng = random.Random(3)
    covered = 0
    for seed in range(60):
        positive = [rng.gauss(1.0, 1) for _ in range(60)]
        negative = [rng.gauss(0.0, 1) for _ in range(60)]
        found = auroc(positive, negative, resamples=200, seed=seed)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.7602 <= found.high  # Phi(1 / sqrt 2)
    assert covered >= 51


def test_auroc_is_less_sure_where_items_come_in_clusters() -> None:
    rng = random.Random(5)
    shift = [rng.gauss(0, 2) for _ in range(12)]
    positive = [shift[i % 12] + 1 for i in range(120)]
    negative = [shift[(i + 5) % 12] for i in range(120)]
    keys = [str(i % 12) for i in range(120)]
    alone, together = auroc(positive, negative), auroc(positive, negative, clusters=(keys, keys))
    assert together.high - together.low > alone.high - alone.low


@pytest.mark.parametrize("sources", [5, 7, 12])
def test_auroc_over_few_clusters_covers(sources: int) -> None:
    rng = random.Random(9)
    keys = [str(i % sources) for i in range(6 * sources)]
    covered = 0
    for seed in range(120):
        positive, negative = ([rng.gauss(mean, 1) for _ in keys] for mean in (2.0, 0.0))
        found = auroc(positive, negative, clusters=(keys, keys), resamples=200, seed=seed)
        covered += found.low <= 0.9214 <= found.high  # Phi(2 / sqrt 2)
    assert covered / 120 >= 0.93 - 2 * 0.023


def test_an_area_with_few_wrong_ranks_is_no_surer_than_one_without() -> None:
    keys = [str(i // 4) for i in range(28)]
    negative = [float(i % 5) for i in range(28)]
    sure = auroc([9.0] * 28, negative, clusters=(keys, keys))
    odd = auroc([3.5] + [9.0] * 27, negative, clusters=(keys, keys))
    assert 0.98 < odd.mean < sure.mean == 1.0
    assert odd.low < sure.low < 0.7

"""Intervals and paired tests. A value of None is "not applicable": it is counted in `missing` and never averaged.

Every estimate is independent of the order of the items and repeats bit for bit under the same seed. Intervals are 95 %
percentile bootstrap intervals over whole clusters (items of one document hang together), widened for few clusters. A
sample without any spread gets no zero-width interval, and one in which few clusters differ none that is narrower: see
`mean_interval`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING

from groundtone.stats_intervals import CONFIDENCE, FEW, bootstrap, by_cluster, expanded_tail, open_share, reach, wilson
from groundtone.types import Estimate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "CONFIDENCE",
    "UNIT",
    "auroc",
    "holm",
    "interaction",
    "items_needed",
    "items_without_flip",
    "mcnemar_mid_p",
    "mean_interval",
    "paired_difference",
    "wilson_interval",
]

Values = Sequence[float | None]
Bounds = tuple[float, float] | None

UNIT: Bounds = (0.0, 1.0)


def mean_interval(
    values: Values,
    *,
    clusters: Sequence[str] | None = None,
    bounds: Bounds = UNIT,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """The mean of the values that are there, with a bootstrap interval over clusters (None: every item its own).

    `bounds` are the limits of one value, None for a measure without limits (tokens, seconds). Where all values are
    equal a bootstrap would claim certainty; instead, with u = 1 - 0.025^(1/clusters) the highest share of differing
    clusters that such a sample leaves open (Clopper and Pearson, doi:10.1093/biomet/26.4.404; near the rule of three),
    the mean may lie anywhere from (1-u) v + u low to (1-u) v + u high. Where few clusters are off a bound, the interval
    is widened to what so few leave open (`stats_intervals.reach`). Without bounds, or with a single cluster and spread
    inside it, low and high are None. Raises ValueError for a value outside the bounds or lengths that differ.
    """
    return _estimate(values, clusters, bounds, bounds, resamples, seed)


def paired_difference(
    a: Values,
    b: Values,
    *,
    clusters: Sequence[str] | None = None,
    bounds: Bounds = UNIT,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Mean of a - b over the items where both are there. Identical samples: exactly 0, interval around it.

    Where few clusters or none changed one way, that way stays as open as if nothing had changed at all.
    """
    return _combine([(1, a), (-1, b)], clusters, bounds, resamples, seed)


def interaction(
    a1: Values,
    b1: Values,
    a0: Values,
    b0: Values,
    *,
    clusters: Sequence[str] | None = None,
    bounds: Bounds = UNIT,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Mean of (a1 - b1) - (a0 - b0) over the items where all four are there: whether one change alters the other."""
    return _combine([(1, a1), (-1, b1), (-1, a0), (1, b0)], clusters, bounds, resamples, seed)


def auroc(
    positive: Sequence[float],
    negative: Sequence[float],
    *,
    clusters: tuple[Sequence[str], Sequence[str]] | None = None,
    resamples: int = 500,
    seed: int = 0,
) -> Estimate:
    """How often a positive scores above a negative, ties half; the interval resamples items, or their clusters.

    `clusters` holds one key per positive and one per negative; a key may occur on both sides. n counts all items.
    """
    import numpy as np

    if not positive or not negative:
        return Estimate(None, None, None, 0)
    own = [f"+{i}" for i in range(len(positive))], [f"-{i}" for i in range(len(negative))]
    keys: tuple[Sequence[str], Sequence[str]] = clusters or own
    scores = np.array([*positive, *negative], dtype=float)
    truth = np.array([True] * len(positive) + [False] * len(negative))
    _, group = np.unique([*keys[0], *keys[1]], return_inverse=True)
    rng = np.random.default_rng(seed)
    areas = []
    for _ in range(resamples):
        drawn = np.bincount(rng.integers(0, group.max() + 1, group.max() + 1), minlength=group.max() + 1)
        weight = drawn[group]
        if weight[truth].sum() and weight[~truth].sum():
            areas.append(_area(scores, truth, weight.astype(float)))
    area = _area(scores, truth, np.ones(len(scores)))
    few = min(len(set(keys[0])), len(set(keys[1])))
    tail = expanded_tail(few) if few > 1 else 0.5
    low, high = (float(q) for q in np.quantile(areas, [tail, 1 - tail]))
    if low == high:  # nothing varied: a bootstrap would claim certainty
        sure = wilson_interval(round(area * few), few)
        low, high = sure.low or 0.0, sure.high or 0.0
    else:
        low, high = _as_open(low, high, scores, truth, keys)
    return Estimate(area, min(area, low), max(area, high), len(scores))


def _as_open(
    low: float, high: float, scores: NDArray[np.float64], truth: NDArray[np.bool_], keys: tuple[Sequence[str], ...]
) -> tuple[float, float]:
    """The limits of an area, widened where but FEW clusters are ranked wrong (or right): see `stats_intervals.reach`.

    An area is the mean, over either side, of the share of the other side that each score keeps its place to.
    """
    import numpy as np

    for side, sign, of in ((truth, 1, keys[0]), (~truth, -1, keys[1])):
        other, own = np.sort(sign * scores[~side]), sign * scores[side]
        beaten = (np.searchsorted(other, own, "left") + np.searchsorted(other, own, "right")) / (2 * len(other))
        sums, sizes = by_cluster(beaten.tolist(), list(of))
        if (sums < sizes).sum() <= FEW:
            low = min(low, -reach(-sums, sizes, -1.0, 0.0))
        if (sums > 0).sum() <= FEW:
            high = max(high, reach(sums, sizes, 0.0, 1.0))
    return low, high


def _area(scores: NDArray[np.float64], truth: NDArray[np.bool_], weight: NDArray[np.float64]) -> float:
    """The weighted Mann-Whitney statistic, 0 to 1."""
    import numpy as np

    values, at = np.unique(scores, return_inverse=True)
    up = np.bincount(at, weights=weight * truth, minlength=len(values))
    down = np.bincount(at, weights=weight * ~truth, minlength=len(values))
    below = np.cumsum(down) - down
    return float((up * (below + down / 2)).sum() / (up.sum() * down.sum()))


def wilson_interval(successes: int, n: int) -> Estimate:
    """A proportion with Wilson's 95 % score interval (doi:10.1080/01621459.1927.10502953), for independent items."""
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n}: give a count between 0 and n")
    if n == 0:
        return Estimate(None, None, None, 0)
    p = successes / n
    low, high = wilson(p, n)
    return Estimate(p, max(0.0, min(p, low)), min(1.0, max(p, high)), n)


def mcnemar_mid_p(fixed: int, broken: int) -> float:
    """Two-sided exact McNemar test with mid-p (Fagerland et al., doi:10.1186/1471-2288-13-91); 1.0 without any flip.

    `fixed` items went from wrong to right, `broken` from right to wrong. Integer arithmetic: exact for thousands.
    """
    n, k = fixed + broken, min(fixed, broken)
    if n == 0:
        return 1.0
    term, tail = 1, 1  # n over i, and its sum up to i
    for i in range(k):
        term = term * (n - i) // (i + 1)
        tail += term
    return min(1.0, (2 * tail - term) / 2**n)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjusted p-values (jstor.org/stable/4615733), in the given order; None is not counted."""
    known = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, i) in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - rank) * p))
        adjusted[i] = highest
    return adjusted


def items_needed(margin: float, flip_rate: float, *, power: float = 0.8) -> int:
    """Paired items needed to see a difference of `margin` when a share `flip_rate` of the answers flips.

    Connor (1987), jstor.org/stable/2531961, two-sided 5 %. A difference cannot exceed the flip rate, so a rate below
    the margin counts as the margin. Five points at a tenth flipping: 312.
    """
    if not 0 < margin <= 1:
        raise ValueError(f"margin {margin}: give a difference between 0 and 1")
    flip_rate = max(flip_rate, margin)
    z_alpha, z_power = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2), NormalDist().inv_cdf(power)
    spread = z_alpha * math.sqrt(flip_rate) + z_power * math.sqrt(flip_rate - margin * margin)
    return math.ceil((spread / margin) ** 2)


def items_without_flip(margin: float) -> int:
    """Paired items that, all unchanged, rule out a difference of `margin`: 1 - 0.025^(1/n). Five points: 72."""
    if not 0 < margin < 1:
        raise ValueError(f"margin {margin}: give a difference between 0 and 1")
    return math.ceil(math.log((1 - CONFIDENCE) / 2) / math.log1p(-margin))


def _combine(
    terms: Sequence[tuple[int, Values]], clusters: Sequence[str] | None, bounds: Bounds, resamples: int, seed: int
) -> Estimate:
    lengths = {len(values) for _, values in terms}
    if len(lengths) != 1:
        raise ValueError(f"paired samples of lengths {sorted(lengths)}: give the same items in the same order")
    combined: list[float | None] = []
    for row in zip(*(values for _, values in terms), strict=True):
        known = [sign * value for (sign, _), value in zip(terms, row, strict=True) if value is not None]
        combined.append(math.fsum(known) if len(known) == len(terms) else None)
    limits: Bounds = None
    if bounds is not None:
        for _, values in terms:
            _check_bounds([v for v in values if v is not None], bounds)
        most = (bounds[1] - bounds[0]) * len(terms) / 2
        limits = (-most, most)
    return _estimate(combined, clusters, limits, None if limits is None else (0.0, 0.0), resamples, seed)


def _estimate(
    values: Values, clusters: Sequence[str] | None, bounds: Bounds, still: Bounds, resamples: int, seed: int
) -> Estimate:
    """`mean_interval`, where a cluster above still[0] or below still[1] is one that a sample may hold too few of."""
    kept, keys = _present(values, clusters)
    missing = len(values) - len(kept)
    if not kept:
        return Estimate(None, None, None, 0, missing)
    _check_bounds(kept, bounds)
    mean = math.fsum(kept) / len(kept)
    count = len(set(keys)) if clusters is not None else len(kept)
    if min(kept) == max(kept):
        return _constant(kept[0], len(kept), missing, count, bounds)
    if count < 2:
        return Estimate(mean, None, None, len(kept), missing)
    sums, sizes = by_cluster(kept, keys if clusters is not None else None)
    low, high = bootstrap(sums, sizes, resamples, seed)
    if bounds is not None and still is not None:
        low = min(low, -reach(-sums, sizes, -still[1], -bounds[0]))
        high = max(high, reach(sums, sizes, still[0], bounds[1]))
    return Estimate(mean, min(low, mean), max(high, mean), len(kept), missing)


def _present(values: Values, clusters: Sequence[str] | None) -> tuple[list[float], list[str]]:
    if clusters is not None and len(clusters) != len(values):
        raise ValueError(f"{len(values)} values but {len(clusters)} cluster keys: give one key per value")
    keys = clusters if clusters is not None else [""] * len(values)
    pairs = sorted((key, float(value)) for value, key in zip(values, keys, strict=True) if value is not None)
    return [value for _, value in pairs], [key for key, _ in pairs]


def _check_bounds(values: Sequence[float], bounds: Bounds) -> None:
    if any(not math.isfinite(v) for v in values):
        raise ValueError("a value is infinite or not a number: give None for what does not apply")
    if bounds is None or not values:
        return
    slack = 1e-9
    if min(values) < bounds[0] - slack or max(values) > bounds[1] + slack:
        worst = min(values) if min(values) < bounds[0] - slack else max(values)
        raise ValueError(f"value {worst} outside {bounds}: pass bounds=None for a measure without limits")


def _constant(value: float, n: int, missing: int, clusters: int, bounds: Bounds) -> Estimate:
    if bounds is None:
        return Estimate(value, None, None, n, missing)
    share = open_share(clusters)
    low, high = ((1 - share) * value + share * limit for limit in bounds)
    return Estimate(value, low, high, n, missing)

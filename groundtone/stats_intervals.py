"""Limits of 95 % intervals: the bootstrap over clusters, and what few clusters leave open that it cannot draw."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "CONFIDENCE",
    "FEW",
    "bootstrap",
    "by_cluster",
    "expanded_tail",
    "open_share",
    "reach",
    "t_quantile",
    "wilson",
]

CONFIDENCE = 0.95
FEW = 4  # clusters off a bound that do not yet show how far off a cluster can be


def wilson(p: float, n: float) -> tuple[float, float]:
    """Wilson's score limits (doi:10.1080/01621459.1927.10502953) of a share p of n; n need not be whole."""
    z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return centre - half, centre + half


def open_share(clusters: float) -> float:
    """The highest share of clusters that may be otherwise though none of those seen is."""
    return 1 - ((1 - CONFIDENCE) / 2) ** (1 / clusters)


def reach(sums: NDArray[np.float64], sizes: NDArray[np.float64], still: float, bound: float) -> float:
    """How high the mean may be where few clusters lie above `still`: resampling cannot draw what so few may hide.

    The higher of two readings. As a proportion, which is skewed: d of n clusters lie above, each by a severity r, and
    may be as many as Wilson's limit says; d, n and r are effective numbers, in which clusters count by their size. And
    as if none had been seen: the share that n clusters may hide (`open_share`) may lie at the bound. From FEW clusters
    on the second fades, for they show how far up a cluster goes. Simulation says that both are needed
    (tests/invariants/test_few_clusters.py).
    """
    above = (sums / sizes - still) / (bound - still)
    weights = sizes / sizes.sum()
    mean = float(weights @ above)
    above = above.clip(0.0, 1.0)
    part = float(weights @ above)
    if part < 1e-12:  # none, or rounding
        return still + (mean + open_share(len(sums)) * (1 - mean)) * (bound - still)
    n = 1 / float(weights @ weights)
    severity = max(part, float(weights**2 @ above**2) / float(weights**2 @ above))
    as_proportion = mean - part + severity * wilson(part / severity, n)[1]
    shown = min(part / severity * n, int((above > 0).sum())) - FEW
    hidden = open_share(len(sums)) * (open_share(shown) if shown > 0 else 1.0)
    return still + min(1.0, max(as_proportion, mean + hidden * (1 - mean))) * (bound - still)


def by_cluster(values: list[float], keys: list[str] | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum and number of the values of each cluster, in the order of the keys; None: every value its own."""
    import numpy as np

    if keys is None:
        return np.asarray(values, dtype=np.float64), np.ones(len(values))
    codes = np.unique(np.asarray(keys), return_inverse=True)[1]
    sums = np.bincount(codes, weights=np.asarray(values)).astype(np.float64)
    return sums, np.bincount(codes).astype(np.float64)


def bootstrap(sums: NDArray[np.float64], sizes: NDArray[np.float64], resamples: int, seed: int) -> tuple[float, float]:
    """Percentile limits of the mean over resampled clusters (ratio of sums, so that clusters weigh by their size)."""
    import numpy as np

    draws = _draws(len(sums), resamples, seed)
    means = np.sort((draws @ sums) / (draws @ sizes))
    tail = expanded_tail(len(sums))
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def expanded_tail(clusters: int) -> float:
    """The share of resamples beyond either limit, pushed outwards so that few clusters (2 or more) keep their coverage.

    Hesterberg's expanded percentile interval, arXiv:1411.5279 section 5.3.
    """
    return NormalDist().cdf(-math.sqrt(clusters / (clusters - 1)) * t_quantile(clusters - 1))


@lru_cache(maxsize=16)
def _draws(clusters: int, resamples: int, seed: int) -> NDArray[np.float64]:
    """How often each cluster is drawn in each resample: (resamples, clusters). Shared by all estimates of one size."""
    import numpy as np

    even = np.full(clusters, 1 / clusters)
    return np.random.default_rng(seed).multinomial(clusters, even, size=resamples).astype(np.float64)


def t_quantile(freedom: int) -> float:
    """The 97.5 % quantile of Student's t: Abramowitz and Stegun 26.7.5, within 1 % from 3 degrees of freedom on."""
    z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
    if freedom < 3:
        return (12.706, 4.303)[freedom - 1]
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3

"""Early warnings: how far a tuned model has moved from its base, in bits per byte of held-out text and in KL.

They move at 30 to 200 items, where accuracy needs hundreds; but a model may drift and lose nothing: they never judge.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from eval.estimates import as_json
from groundtone.stats import mean_interval, paired_difference

__all__ = ["LABEL", "bits_row", "kl_row"]

LABEL = "early warning"


def bits_row(
    name: str, base: Mapping[str, float], tuned: Mapping[str, float], *, resamples: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """Bits per byte by text under both: means, the paired difference, and whether it warns (its interval lies above 0).

    Higher is worse. Texts that only one side has are not counted.
    """
    known = sorted(set(base) & set(tuned))
    how: dict[str, Any] = {"bounds": None, "resamples": resamples, "seed": seed}
    before, after = [base[item] for item in known], [tuned[item] for item in known]
    difference = paired_difference(after, before, **how)
    return {
        "measure": f"bits per byte: {name}",
        "label": LABEL,
        "base": as_json(mean_interval(before, **how)),
        "tuned": as_json(mean_interval(after, **how)),
        "difference": as_json(difference),
        "warns": difference.mean is not None and (difference.mean if difference.low is None else difference.low) > 0,
    }


def kl_row(values: Mapping[str, float], *, floor: float = 0.0, resamples: int = 2000, seed: int = 0) -> dict[str, Any]:
    """KL(base || tuned) in nats per token by prompt: the mean, and whether all of its interval lies above `floor`.

    `floor` is what the base against itself gives in other batches; it is 0 but for rounding.
    """
    if any(value < 0 or not math.isfinite(value) for value in values.values()):
        raise ValueError("a divergence is negative or infinite: give nats per token")
    estimate = mean_interval([values[item] for item in sorted(values)], bounds=None, resamples=resamples, seed=seed)
    low = estimate.mean if estimate.low is None else estimate.low
    return {
        "measure": "KL to the base, nats per token",
        "label": LABEL,
        "base": None,
        "tuned": as_json(estimate),
        "difference": as_json(estimate),
        "warns": low is not None and low > floor,
    }

"""The style profile: what each arm's replies look like, feature by feature, beside the band of the house's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from eval.estimates import as_json
from eval.metrics.tone import ToneBands, inside, style_features
from eval.paired import cluster_of
from groundtone.stats import mean_interval
from groundtone.types import EvalRecord, Question

__all__ = ["profile"]


def profile(
    arms: Mapping[str, Sequence[EvalRecord]],
    bands: ToneBands,
    *,
    cluster: Callable[[Question], str] = cluster_of,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Plain JSON data: per feature its band and, per arm, the mean over replies and the share of them in the band.

    Intervals are over clusters (documents). Failed items and empty replies are missing; n counts the others. A band
    holds nine tenths of the house's own replies, so that a perfect match is .90 and not 1.
    """
    rows: list[dict[str, Any]] = [
        {"feature": name, "low": low, "high": high, "arms": {}} for name, (low, high) in bands.bands.items()
    ]
    for arm, records in arms.items():
        counted = [_features(record) for record in records]
        clusters = [cluster(record.question) for record in records]
        for row in rows:
            values = [None if features is None else features[row["feature"]] for features in counted]
            held = [None if v is None else float(inside(v, (row["low"], row["high"]))) for v in values]
            draw: dict[str, Any] = {"clusters": clusters, "resamples": resamples, "seed": seed}
            row["arms"][arm] = {
                "mean": as_json(mean_interval(values, bounds=None, **draw)),
                "inside": as_json(mean_interval(held, **draw)),
            }
    return {"replies": bands.n, "features": rows}


def _features(record: EvalRecord) -> dict[str, float] | None:
    if record.error or record.answer is None or not record.answer.text.strip():
        return None
    return style_features(record.answer.text)

"""Asked again: how far an arm's figures move when nothing but chance changes. It stands beside the items' interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from eval.estimates import as_json
from eval.metrics import METRICS
from eval.paired import Arm, Draw, value
from groundtone.types import EvalRecord

__all__ = ["spread"]


def spread(first: Arm, again: Sequence[Arm], *, draw: Draw) -> dict[str, Any]:
    """The spread of one arm over its repeats, as plain JSON data; `first` is the one that is scored.

    `means` are those of each repeat, `deviation` their standard deviation (None for a metric without values).
    `changed` is the share of items that got another text at least once; an item that failed in any repeat is missing.
    """
    every = [first, *again]
    metrics = {}
    for metric in METRICS:
        means = [_mean(arm, metric) for arm in every]
        known = [mean for mean in means if mean is not None]
        if metric != "latency_s" and len(known) == len(every):
            metrics[metric] = {"means": known, "deviation": stdev(known) if len(known) > 1 else None}
    texts = {item: _texts(item, every) for item in first}
    return {
        "repeats": len(every),
        "metrics": metrics,
        "changed": as_json(
            draw.mean(
                first.values(),
                lambda record: None if None in texts[record.item_id] else float(len(set(texts[record.item_id])) > 1),
            )
        ),
        "errors": [sum(bool(record.error) for record in arm.values()) for arm in every],
    }


def _mean(arm: Arm, metric: str) -> float | None:
    known = [v for v in (value(record, metric) for record in arm.values()) if v is not None]
    return round(fmean(known), 12) if known else None


def _texts(item: str, arms: Sequence[Mapping[str, EvalRecord]]) -> list[str | None]:
    records = [arm.get(item) for arm in arms]
    return [r.answer.text if r is not None and r.answer is not None and not r.error else None for r in records]

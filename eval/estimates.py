"""Estimates to and from plain data, and as people read them: "0.82 [0.74, 0.89] n=120"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from groundtone.types import Estimate

__all__ = ["as_json", "from_json", "in_words", "short"]


def as_json(estimate: Estimate) -> dict[str, Any]:
    """{"mean", "low", "high", "n", "missing"}, None where there is none."""
    return asdict(estimate)


def from_json(data: Mapping[str, Any] | None) -> Estimate | None:
    """The estimate of plain data; None for None. Unknown fields of later versions are ignored."""
    if data is None:
        return None
    return Estimate(data["mean"], data["low"], data["high"], data["n"], data.get("missing", 0))


def in_words(estimate: Estimate | None, *, signed: bool = False) -> str:
    """Mean, interval and n; "could not be measured" where there is no value."""
    if estimate is None or estimate.mean is None:
        return "could not be measured"
    interval = "" if estimate.low is None or estimate.high is None else _interval(estimate, signed)
    return f"{_number(estimate.mean, estimate.mean, signed)}{interval} n={estimate.n}"


def short(estimate: Estimate | None) -> str:
    """The same without n, for narrow tables; "-" where there is no value."""
    if estimate is None or estimate.mean is None:
        return "-"
    interval = "" if estimate.low is None or estimate.high is None else _interval(estimate, False)
    return f"{_number(estimate.mean, estimate.mean, False)}{interval}"


def _interval(estimate: Estimate, signed: bool) -> str:
    assert estimate.mean is not None
    assert estimate.low is not None
    assert estimate.high is not None
    low, high = (_number(limit, estimate.mean, signed) for limit in (estimate.low, estimate.high))
    return f" [{low}, {high}]"


def _number(value: float, scale: float, signed: bool) -> str:
    """Two decimals for shares, one from 10 on: `scale` decides, so that a mean and its limits look alike."""
    value = value if abs(value) >= 0.005 or abs(scale) >= 10 else 0.0  # no "-0.00"
    sign = "+" if signed and value >= 0 else ""
    return f"{sign}{value:.1f}" if abs(scale) >= 10 else f"{sign}{value:.2f}"

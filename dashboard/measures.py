"""What the metrics are called, which way is better, and how figures are written. No Streamlit, no pandas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from groundtone.types import Estimate

ARM_NAMES: Mapping[str, str] = {
    "tuned/rag": "Tuned · with documents",
    "base/rag": "Base · with documents",
    "tuned/closed": "Tuned · closed book",
    "base/closed": "Base · closed book",
    "prompted/rag": "Base told the style",
    "extractive/rag": "Quoting, no model",
}


_MORE_ARMS: Mapping[str, str] = {  # outside the 2x2: measured, and reviewed only where somebody asks for them
    "tuned/heldout": "Tuned · held-out prompts",
    "base/heldout": "Base · held-out prompts",
    "prompted/heldout": "Base told the style · held-out prompts",
    "tuned/heldout-closed": "Tuned · held-out, closed book",
    "base/heldout-closed": "Base · held-out, closed book",
    "tuned/robust": "Tuned · odd contexts",
    "base/robust": "Base · odd contexts",
    "tuned/leak": "Tuned · leak test",
    "base/leak": "Base · leak test",
}


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric for people: `better` is the direction that is good."""

    key: str
    label: str
    better: Literal["lower", "higher"]
    meaning: str


METRICS: Mapping[str, Metric] = {
    metric.key: metric
    for metric in (
        Metric("hallucination", "Hallucination", "lower", "share of claims that the documents do not carry"),
        Metric("correct", "Correct", "higher", "answers that state the right value"),
        Metric("refused_right", "Rightly refused", "higher", "unanswerable questions that were declined"),
        Metric("tone", "Tone", "higher", "how much it sounds like the house voice"),
        Metric("format", "Format", "higher", "replies that keep the house format"),
    )
}


def arm_name(arm: str) -> str:
    """An arm for people; an unknown one keeps its name."""
    return ARM_NAMES.get(arm) or _MORE_ARMS.get(arm, arm)


def percent(value: float | None) -> str:
    """A share as a percentage: whole above ten, one decimal below; "–" for none."""
    if value is None:
        return "–"
    share = 100 * value
    return f"{share:.0f} %" if abs(share) >= 9.95 or share == 0 else f"{share:.1f} %"


def points(value: float) -> str:
    """A signed difference of shares in percentage points, with a true minus sign."""
    text = f"{100 * value:+.0f}" if abs(100 * value) >= 9.95 else f"{100 * value:+.1f}"
    return text.replace("-", "−") if float(text) else "±0"


def interval(value: Estimate) -> str:
    """The 95 % interval in per cent; "no interval" where the estimate carries none."""
    if value.low is None or value.high is None:
        return "no interval"
    return f"{100 * max(value.low, 0):.0f} – {100 * min(value.high, 1):.0f} %"


def change_word(metric: Metric, difference: Estimate) -> Literal["better", "worse", "no clear change"]:
    """Whether a paired difference is clearly better or worse: its interval must leave zero out."""
    if difference.mean is None or difference.low is None or difference.high is None:
        return "no clear change"
    if difference.low <= 0 <= difference.high:
        return "no clear change"
    return "better" if (difference.mean < 0) == (metric.better == "lower") else "worse"

"""Two answerers side by side on the same questions: what the first gives up, and what it saves.

Quality is decided as in the gate, by the margins that were set beforehand; tokens, seconds and cost are paired
differences; memory is what the weights take. What cannot be known says why, and is never 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from eval.config import Price
from eval.estimates import as_json
from eval.gate import not_worse
from eval.metrics import LOWER_IS_BETTER
from eval.paired import Arm, Draw, Measure, bounds_of, of_metric
from groundtone.stats import Bounds
from groundtone.types import EvalRecord

__all__ = ["COST", "QUALITY", "Weights", "pairs_of", "side_by_side"]

QUALITY = ("correct", "hallucination", "refused_right", "citation_precision", "tone", "format", "follows_change")
SPENT = ("prompt_tokens", "reply_tokens", "latency_s")
COST = "cost_per_1000"  # answers, in the configured currency
Weights = Mapping[str, int]  # bytes of an arm's weights, where they are on this machine


def pairs_of(arms: Sequence[str], rivals: Sequence[str], against: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Which arms to put side by side: those that are named, else ours against every rival or the prompted base.

    A pair with an arm that was not asked is left out.
    """
    ours = next((arm for arm in ("tuned/rag", "base/rag", "extractive/rag") if arm in arms), None)
    others = list(rivals) or (["prompted/rag"] if ours == "tuned/rag" else [])
    wanted = list(against) or [(ours, other) for other in others if ours is not None]
    return [(a, b) for a, b in wanted if a in arms and b in arms and a != b]


def side_by_side(
    arms: Mapping[str, Arm],
    pair: tuple[str, str],
    *,
    margins: Mapping[str, float],
    prices: Mapping[str, Price],
    currency: str,
    weights: Weights,
    draw: Draw,
) -> dict[str, Any]:
    """One table as plain JSON data: a row per measure with both arms, the paired difference a - b, and a reason.

    `verdict` says whether the first does what the second does: "as good", "worse", or "cannot tell".
    """
    a, b = pair
    rows = [_row(arms, pair, name, of_metric(name), draw, bounds=bounds_of(name)) for name in (*QUALITY, *SPENT)]
    costs = {arm: _cost_of(prices[arm]) if arm in prices else None for arm in pair}
    why = "; ".join(f"eval.prices names no price for {arm}" for arm in pair if arm not in prices)
    priced = _row(arms, pair, COST, _by_arm(costs), draw, bounds=None)
    rows.append(priced | {"unit": f"{currency} per 1000 answers", "why": why})
    checks = [
        not_worse(name, draw.difference(arms[a], arms[b], of_metric(name)), margins[name], flip=name in LOWER_IS_BETTER,
                  pair=f"{a} against {b}")
        for name in QUALITY
        if name in margins and margins[name] > 0
    ]  # fmt: skip
    seen = [check for check in checks if check.why != "it was not measured"]
    return {
        "a": a,
        "b": b,
        "rows": rows,
        "checks": [asdict(check) for check in seen],
        "verdict": _verdict([check.verdict for check in seen]),
        "weights_bytes": {arm: weights.get(arm) for arm in pair},
        "weights_why": "; ".join(f"{arm} runs elsewhere or has no weights" for arm in pair if arm not in weights),
    }


def _verdict(checks: Sequence[str]) -> str:
    if "fail" in checks:
        return "worse"
    return "as good" if checks and set(checks) == {"pass"} else "cannot tell"


def _row(
    arms: Mapping[str, Arm], pair: tuple[str, str], name: str, measure: Measure, draw: Draw, *, bounds: Bounds
) -> dict[str, Any]:
    a, b = pair
    return {
        "measure": name,
        "a": as_json(draw.mean(arms[a].values(), measure, bounds=bounds)),
        "b": as_json(draw.mean(arms[b].values(), measure, bounds=bounds)),
        "difference": as_json(draw.difference(arms[a], arms[b], measure, bounds=bounds)),
        "unit": "",
        "why": "",
    }


def _cost_of(price: Price) -> Measure:
    """What 1000 answers like this one cost; None where its tokens were not counted."""

    def measure(record: EvalRecord) -> float | None:
        tokens = record.answer.tokens if record.answer is not None and not record.error else {}
        if "prompt" not in tokens or "reply" not in tokens:
            return None
        return (tokens["prompt"] * price.input + tokens["reply"] * price.output) / 1000

    return measure


def _by_arm(measures: Mapping[str, Measure | None]) -> Measure:
    """Each record by its own arm's measure: two arms have two prices."""

    def measure(record: EvalRecord) -> float | None:
        own = measures.get(record.arm)
        return own(record) if own is not None else None

    return measure

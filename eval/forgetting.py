"""What the tuning cost: the same general items under base and tuned, suite by suite, as non-inferiority.

The margin is set before measuring. "retained" means that a loss of the margin is ruled out, not that none was seen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eval.estimates import as_json
from eval.safety import SUITES as SAFETY
from groundtone.stats import holm, items_without_flip, mcnemar_mid_p, mean_interval, paired_difference
from groundtone.types import Estimate, EvalRecord, short_hash

__all__ = ["ALL_SUITES", "NO_SKILL", "cluster_of", "compare", "items_to_settle"]

ALL_SUITES = "all suites"
NO_SKILL = "no skill to lose"
ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class _Suite:
    """One suite's items: scores of base and tuned side by side, and what each item hangs together with."""

    name: str
    base: tuple[float | None, ...]
    tuned: tuple[float | None, ...]
    clusters: tuple[str, ...]

    @property
    def flips(self) -> tuple[int, int]:
        """Items fixed (worse to better) and broken, among those scored in both arms."""
        both = [(b, t) for b, t in zip(self.base, self.tuned, strict=True) if b is not None and t is not None]
        return sum(t > b for b, t in both), sum(t < b for b, t in both)

    @property
    def binary(self) -> bool:
        """Whether every score is 0 or 1, so that McNemar's test applies."""
        return all(v in (0.0, 1.0, None) for v in (*self.base, *self.tuned))


def compare(
    base_records: Sequence[EvalRecord],
    tuned_records: Sequence[EvalRecord],
    margins: Mapping[str, float],
    *,
    chance: Mapping[str, float] | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """One row per suite, and one over all suites with a skill to lose (`ALL_SUITES`, last), safety apart.

    Intervals resample items, and those over the same passages together: they are no independent evidence.
    `margins` holds "general" or a suite's own name; `chance` is what guessing gets right. The verdicts:
    no skill to lose (the base's interval includes chance), retained (the interval of tuned - base lies above -margin),
    forgotten (it lies below 0, and for binary scores the Holm-adjusted mid-p McNemar test agrees), inconclusive, with
    `needs`, the further items that would settle it if the rates stay.
    """
    chance = chance or {}
    suites = _suites(base_records, tuned_records)
    p_values = holm([mcnemar_mid_p(*suite.flips) if suite.binary else None for suite in suites])
    rows = []
    skilled = []
    for suite, p in zip(suites, p_values, strict=True):
        row = _row(suite, p, _margin(margins, suite.name), chance.get(suite.name, 0.0), resamples, seed)
        rows.append(row)
        if row["verdict"] != NO_SKILL and suite.name not in SAFETY:
            skilled.append(suite)
    if skilled:
        pooled = _Suite(
            ALL_SUITES,
            tuple(v for s in skilled for v in s.base),
            tuple(v for s in skilled for v in s.tuned),
            tuple(c for s in skilled for c in s.clusters),
        )
        p = mcnemar_mid_p(*pooled.flips) if pooled.binary else None
        rows.append(_row(pooled, p, _margin(margins, ALL_SUITES), -math.inf, resamples, seed))
    return rows


def items_to_settle(estimate: Estimate, margin: float) -> int | None:
    """Further items until an interval around the same mean excludes the margin or zero; None without an interval.

    The width of an interval falls with the root of n, so n grows with the square of width over distance. In tens,
    rounded up: a forecast is no more exact.
    """
    if estimate.mean is None or estimate.low is None or estimate.high is None:
        return None
    to_retain, to_blame = estimate.mean + margin, -estimate.mean
    if to_retain >= to_blame:
        ratio = (estimate.mean - estimate.low) / to_retain
    else:
        ratio = (estimate.high - estimate.mean) / to_blame
    return max(10, 10 * math.ceil((estimate.n * ratio**2 - estimate.n) / 10))


def _suites(base: Sequence[EvalRecord], tuned: Sequence[EvalRecord]) -> list[_Suite]:
    """Items of both arms by suite. A record with an error has no scores: its suite comes from the other arm."""
    by_id = {record.item_id: record for record in tuned}
    pairs: dict[str, list[tuple[float | None, float | None, str]]] = {}
    for record in base:
        other = by_id.get(record.item_id)
        if other is None:
            continue
        names = {n for r in (record, other) for n, score in r.scores.items() if score.value is not None}
        for name in names:
            pairs.setdefault(name, []).append((_value(record, name), _value(other, name), cluster_of(record, other)))
    return [_Suite(name, *zip(*pairs[name], strict=True)) for name in sorted(pairs)]


def cluster_of(*records: EvalRecord) -> str:
    """What the item hangs together with: the set of passages that it shows, or nothing but itself."""
    shown = next((record.answer.hits for record in records if record.answer is not None and record.answer.hits), ())
    return short_hash(*sorted({hit.passage.text for hit in shown})) if shown else f"item:{records[0].item_id}"


def _value(record: EvalRecord, name: str) -> float | None:
    return record.scores[name].value if name in record.scores else None


def _margin(margins: Mapping[str, float], suite: str) -> float:
    if suite not in margins and "general" not in margins:
        raise ValueError(f"no margin for {suite!r} among {sorted(margins)}: set 'general' before measuring")
    return margins.get(suite, margins.get("general", 0.0))


def _row(suite: _Suite, p: float | None, margin: float, chance: float, resamples: int, seed: int) -> dict[str, Any]:
    how: dict[str, Any] = {"clusters": suite.clusters, "resamples": resamples, "seed": seed}
    base = mean_interval(suite.base, **how)
    difference = paired_difference(suite.tuned, suite.base, **how)
    fixed, broken = suite.flips
    verdict = _verdict(base, difference, p, margin, chance)
    needs = None
    if verdict == "inconclusive":
        needs = items_to_settle(difference, margin)
        if needs is not None and not fixed + broken:
            needs = min(needs, max(1, items_without_flip(margin) - difference.n))
    return {
        "suite": suite.name,
        "base": as_json(base),
        "tuned": as_json(mean_interval(suite.tuned, **how)),
        "difference": as_json(difference),
        "p": p,
        "fixed": fixed,
        "broken": broken,
        "margin": margin,
        "verdict": verdict,
        "needs": needs,
    }


def _verdict(base: Estimate, difference: Estimate, p: float | None, margin: float, chance: float) -> str:
    if base.low is not None and base.low <= chance:
        return NO_SKILL
    if difference.low is None or difference.high is None:
        return "inconclusive"
    if difference.low > -margin:
        return "retained"
    if difference.high < 0 and (p is None or p < ALPHA):
        return "forgotten"
    return "inconclusive"

"""Several adapters in sequence: every suite at every stage (the heat map), backward transfer and forgetting.

Backward transfer (BWT, arXiv:1706.08840) is the mean over suites of the last score less the score when the suite was
learned. The base's own skills count as learned at stage 0; a suite of an adapter's own counts from its stage. With a
single adapter there is nothing to transfer back from, only a difference from the base.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eval.estimates import as_json
from eval.forgetting import cluster_of
from eval.safety import SUITES as SAFETY
from groundtone.stats import CONFIDENCE, mean_interval, paired_difference
from groundtone.types import Estimate, EvalRecord

__all__ = ["Stage", "measure_chain"]

ONE_ADAPTER = "one adapter: its difference from the base is no backward transfer; that takes two in sequence"
NO_SUITES = "no suite that the base, or an adapter before the last, has a skill in"


@dataclass(frozen=True, slots=True)
class Stage:
    """What a model answered: the base first, then with each adapter in the order of their training."""

    name: str
    records: Sequence[EvalRecord]


@dataclass(frozen=True, slots=True)
class _Column:
    """One suite: a score per stage and item."""

    name: str
    learned: int
    scores: tuple[tuple[float | None, ...], ...]  # stages x items
    clusters: tuple[str, ...]

    def lost(self, now: int, then: int) -> list[float | None]:
        return [
            None if a is None or b is None else a - b for a, b in zip(self.scores[now], self.scores[then], strict=True)
        ]


def measure_chain(
    stages: Sequence[Stage],
    *,
    learned: Mapping[str, int] | None = None,
    chance: Mapping[str, float] | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """The heat map as plain data, and over all suites with a skill to lose the BWT and the forgetting.

    `learned` maps a suite to the stage that taught it (default 0, the base). Forgetting is the best score before the
    last stage less the last (arXiv:1801.10112); unlike BWT, a gain elsewhere cannot hide it. Raises ValueError for less
    than two stages, and for a suite learned at a stage that is none.
    """
    if len(stages) < 2:
        raise ValueError(f"{len(stages)} stages: give the base and at least one adapter")
    columns = _columns(stages, learned or {})
    last = len(stages) - 1
    how: dict[str, Any] = {"resamples": resamples, "seed": seed}
    matrix = {c.name: [as_json(mean_interval(row, clusters=c.clusters, **how)) for row in c.scores] for c in columns}
    counted = [
        c
        for c in columns
        if c.name not in SAFETY
        and c.learned < last
        and (low := matrix[c.name][c.learned]["low"]) is not None
        and low > (chance or {}).get(c.name, 0.0)
    ]
    why = ONE_ADAPTER if last == 1 else "" if counted else NO_SUITES
    bwt = None if why else _macro(counted, lambda c: c.learned, last, **how)
    forgotten = None if why else _negative(_macro(counted, lambda c: _best(c, last), last, **how))
    return {
        "stages": [stage.name for stage in stages],
        "suites": [{"suite": c.name, "learned": c.learned, "counted": c in counted} for c in columns],
        "matrix": matrix,
        "differences": {
            c.name: [
                as_json(paired_difference(c.scores[t], c.scores[0], clusters=c.clusters, **how))
                for t in range(1, len(stages))
            ]
            for c in columns
        },
        "bwt": as_json(bwt) if bwt else None,
        "forgetting": as_json(forgotten) if forgotten else None,
        "why": why,
    }


def _columns(stages: Sequence[Stage], learned: Mapping[str, int]) -> list[_Column]:
    by_id = [{record.item_id: record for record in stage.records} for stage in stages]
    everywhere = [item for item in by_id[0] if all(item in other for other in by_id[1:])]
    members: dict[str, list[str]] = {}
    for item in everywhere:
        records = [found[item] for found in by_id]
        for suite in {name for r in records for name, score in r.scores.items() if score.value is not None}:
            members.setdefault(suite, []).append(item)
    for suite, stage in learned.items():
        if suite not in members or not 0 <= stage < len(stages):
            raise ValueError(
                f"{suite!r} learned at stage {stage}: suites are {sorted(members)}, stages 0 to {len(stages) - 1}"
            )
    return [
        _Column(
            suite,
            learned.get(suite, 0),
            tuple(tuple(_value(found[item], suite) for item in items) for found in by_id),
            tuple(cluster_of(*(found[item] for found in by_id)) for item in items),
        )
        for suite, items in sorted(members.items())
    ]


def _value(record: EvalRecord, suite: str) -> float | None:
    return record.scores[suite].value if suite in record.scores else None


def _best(column: _Column, last: int) -> int:
    """The stage before the last with the highest mean, the earliest of equals."""
    means = []
    for stage in column.scores[column.learned : last]:
        known = [v for v in stage if v is not None]
        means.append(math.fsum(known) / len(known) if known else -math.inf)
    return column.learned + means.index(max(means))


def _macro(
    columns: Sequence[_Column], then: Callable[[_Column], int], now: int, *, resamples: int, seed: int
) -> Estimate:
    """The mean over suites of mean(now - then), with a bootstrap of clusters inside each suite.

    Where no item changed, the limits are the means of the suites' own, so that certainty is not claimed.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    parts, draws, count, missing = [], [], 0, 0
    for column in columns:
        estimate = paired_difference(
            column.scores[now], column.scores[then(column)], clusters=column.clusters, resamples=resamples, seed=seed
        )
        if estimate.mean is None:
            continue
        parts.append(estimate)
        count, missing = count + estimate.n, missing + estimate.missing
        kept = [(c, v) for c, v in zip(column.clusters, column.lost(now, then(column)), strict=True) if v is not None]
        codes = np.unique([c for c, _ in kept], return_inverse=True)[1]
        sums, sizes = np.bincount(codes, weights=[v for _, v in kept]), np.bincount(codes).astype(float)
        drawn = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=resamples)
        draws.append((drawn @ sums) / (drawn @ sizes))
    if not parts:
        return Estimate(None, None, None, 0, missing)
    mean = math.fsum(part.mean for part in parts if part.mean is not None) / len(parts)
    if all(np.ptp(drawn) == 0 for drawn in draws):
        lows, highs = [p.low for p in parts if p.low is not None], [p.high for p in parts if p.high is not None]
        return Estimate(mean, math.fsum(lows) / len(parts), math.fsum(highs) / len(parts), count, missing)
    low, high = np.quantile(np.mean(draws, axis=0), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(mean, min(float(low), mean), max(float(high), mean), count, missing)


def _negative(estimate: Estimate) -> Estimate:
    """Forgetting counts what was lost: the difference with its sign turned."""
    if estimate.mean is None or estimate.low is None or estimate.high is None:
        return estimate
    return Estimate(0.0 - estimate.mean, 0.0 - estimate.high, 0.0 - estimate.low, estimate.n, estimate.missing)

"""How far people agree with one another and with the detector, beyond chance, with bootstrap intervals over claims.

Cohen's kappa compares two raters, Krippendorff's alpha any number of them, each of whom may have left claims out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import combinations
from typing import Any

from eval.estimates import as_json
from groundtone.feedback import JudgedClaim, cohens_kappa
from groundtone.stats import CONFIDENCE
from groundtone.types import Estimate

__all__ = ["DETECTOR", "agreement_of", "krippendorffs_alpha", "ratings_of"]

DETECTOR = "detector"  # the rater that is none of the people
Ratings = Mapping[str, Hashable]  # rater -> label; whoever left the unit out is not in it
MIN_UNITS = 2  # from which on a bootstrap has anything to draw


def krippendorffs_alpha(units: Sequence[Ratings]) -> float | None:
    """Krippendorff's alpha for nominal labels and any missing ratings: 1 - D_observed / D_expected.

    Klaus Krippendorff, Computing Krippendorff's Alpha-Reliability, 2011 (repository.upenn.edu/asc_papers/43), by the
    coincidence matrix: every pair of ratings of a unit by m raters counts 1 / (m - 1). Units with one rating pair with
    nothing and are left out. None without a pair, and where only one label was ever used.
    """
    coincident: Counter[Hashable] = Counter()  # ratings of each label that are paired with anything
    agreeing = 0.0
    for unit in units:
        labels = Counter(unit.values())
        m = labels.total()
        if m < 2:
            continue
        coincident.update(labels)
        agreeing += sum(count * (count - 1) for count in labels.values()) / (m - 1)
    n = coincident.total()
    if n < 2 or len(coincident) < 2:
        return None
    observed = (n - agreeing) / n
    expected = 1 - sum(count * (count - 1) for count in coincident.values()) / (n * (n - 1))
    return 1 - observed / expected


def ratings_of(judged: Sequence[JudgedClaim]) -> dict[str, dict[str, bool]]:
    """Claim key -> rater -> whether the passages shown support the claim; the detector is rated as DETECTOR.

    "true elsewhere" is not supported by what was shown. "unsure", and a detector that left a claim unchecked, rate
    nothing. A claim's verdict by the detector is the one that its latest reviewer saw.
    """
    found: dict[str, dict[str, bool]] = {}
    for one in judged:
        unit = found.setdefault(one.verdict.claim_key, {})
        if one.verdict.value != "unsure":
            unit[one.verdict.person] = one.verdict.value == "supported"
        if one.about.get("detector") in ("supported", "contradicted", "unsupported"):
            unit[DETECTOR] = one.about["detector"] == "supported"
    return found


def agreement_of(judged: Sequence[JudgedClaim], *, resamples: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Plain JSON data: alpha among people, kappa of each two people, of each with the detector, and of all together.

    `detector` holds kappa of the detector with the majority of people (a tie rates nothing) and with each person. Every
    estimate counts in n the claims that both rated, and resamples answers' questions, for claims of one answer hang
    together.
    """
    ratings = ratings_of(judged)
    clusters = {one.verdict.claim_key: str(one.about.get("item") or one.verdict.claim_key) for one in judged}
    keys = sorted(ratings)
    people = sorted({rater for unit in ratings.values() for rater in unit} - {DETECTOR})
    groups = [clusters[key] for key in keys]

    def kappa(first: str, second: str) -> dict[str, Any]:
        kept = [
            ((unit[first], unit[second]), group)
            for unit, group in zip(units, groups, strict=True)
            if first in unit and second in unit
        ]
        return as_json(_interval([pair for pair, _ in kept], [g for _, g in kept], cohens_kappa, resamples, seed))

    units: list[dict[str, bool]] = [dict(ratings[key]) for key in keys]
    among = [{rater: label for rater, label in unit.items() if rater != DETECTOR} for unit in units]
    rated = [(unit, group) for unit, group in zip(among, groups, strict=True) if len(unit) > 1]
    alpha = _interval([u for u, _ in rated], [g for _, g in rated], krippendorffs_alpha, resamples, seed)
    found = {
        "claims": sum(bool(unit) for unit in among),
        "people": people,
        "alpha": as_json(alpha),
        "pairs": [{"a": a, "b": b, "kappa": kappa(a, b)} for a, b in combinations(people, 2)],
    }
    for unit, votes in zip(units, among, strict=True):
        count = Counter(votes.values())
        if count[True] != count[False]:
            unit[_MAJORITY] = count[True] > count[False]
    each = {person: kappa(DETECTOR, person) for person in people}
    return found | {"detector": {"majority": kappa(DETECTOR, _MAJORITY), "each": each}}


_MAJORITY = "\x00majority"  # no person has such a name


def _interval(
    rows: Sequence[Any],
    groups: Sequence[str],
    measure: Callable[[Sequence[Any]], float | None],
    resamples: int,
    seed: int,
) -> Estimate:
    """A measure with its percentile interval over groups; resamples in which it is undefined are left out."""
    import numpy as np

    value = measure(rows)
    if value is None:
        return Estimate(None, None, None, 0, len(rows))
    members: dict[str, list[Any]] = {}
    for row, group in zip(rows, groups, strict=True):
        members.setdefault(group, []).append(row)
    named = [members[name] for name in sorted(members)]
    if len(named) < MIN_UNITS:
        return Estimate(value, None, None, len(rows))
    rng = np.random.default_rng(seed)
    drawn = [
        measure([row for g in rng.integers(0, len(named), len(named)) for row in named[g]]) for _ in range(resamples)
    ]
    kept = [d for d in drawn if d is not None]
    if not kept or min(kept) == max(kept):  # nothing varied: a bootstrap would claim certainty
        return Estimate(value, None, None, len(rows))
    low, high = np.quantile(kept, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(value, min(float(low), value), max(float(high), value), len(rows))

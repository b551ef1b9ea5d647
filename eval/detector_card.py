"""The detector card: how far the detector can be trusted here, measured on the team's own verdicts.

It stands beside every hallucination rate. Below `min_verdicts` on an arm's claims no headline rate is shown, with the
reason, and the detector's own rate is labelled provisional; from then on the rate is corrected by the verdicts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eval.calibration import calibrate, cross_validated, expected_calibration_error
from eval.estimates import as_json
from groundtone.feedback import JudgedClaim, cohens_kappa
from groundtone.stats import CONFIDENCE, auroc, mean_interval, wilson_interval
from groundtone.stats_intervals import FEW
from groundtone.types import Claim, Estimate, EvalRecord

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["JudgedRisk", "corrected_rate", "detector_card", "judged_claims"]

NOTE = (
    "Verdicts are taken as a random sample of the claims: claims picked for review because they looked risky bias it."
)


@dataclass(frozen=True, slots=True)
class JudgedRisk:
    """A claim that people judged: the detector's risk, whether it flagged it, and whether people found it not carried.

    `cluster` is what hangs together in resampling: the answer's question.
    """

    arm: str
    cluster: str
    risk: float
    flagged: bool
    wrong: bool


def risk_of(claim: Claim) -> float:
    """The claim's risk; records of earlier versions hold only its support."""
    if "risk" in claim.scores:
        return claim.scores["risk"]
    return 1 - claim.scores.get("support", 0.0 if claim.verdict != "supported" else 1.0)


def judged_claims(records: Sequence[EvalRecord], judged: Sequence[JudgedClaim]) -> list[JudgedRisk]:
    """The claims of the records that people judged and the detector checked, each once.

    Several people decide by majority; a tie, and "unsure", say nothing. "true elsewhere" is not carried: the passages
    shown do not hold it.
    """
    votes: dict[str, Counter[bool]] = {}
    for one in judged:
        if one.verdict.value != "unsure":
            votes.setdefault(one.verdict.claim_key, Counter())[one.verdict.value != "supported"] += 1
    found = []
    for record in records:
        for claim in record.answer.claims if record.answer is not None else ():
            count = votes.get(claim.key(record.answer.id)) if record.answer is not None else None
            if claim.verdict != "unchecked" and count and count[True] != count[False]:
                flagged = claim.verdict != "supported"
                found.append(
                    JudgedRisk(record.arm, record.item_id, risk_of(claim), flagged, count[True] > count[False])
                )
    return found


def detector_card(
    records: Sequence[EvalRecord],
    judged: Sequence[JudgedClaim],
    *,
    detector: str,
    min_verdicts: int = 50,
    resamples: int = 500,
    seed: int = 0,
) -> dict[str, Any]:
    """The card as plain JSON data: figures with intervals clustered by question, calibration, and the rate per arm."""
    claims = judged_claims(records, judged)
    shares = {
        "prevalence": [(c.cluster, c.wrong) for c in claims],
        "precision": [(c.cluster, c.wrong) for c in claims if c.flagged],
        "recall": [(c.cluster, c.flagged) for c in claims if c.wrong],
    }
    figures = {
        "always_positive_f1": lambda c: _f1(len(c), sum(x.wrong for x in c), sum(x.wrong for x in c)),
        "f1": lambda c: _f1(sum(x.flagged for x in c), sum(x.wrong for x in c), sum(x.wrong and x.flagged for x in c)),
        "kappa": lambda c: cohens_kappa((x.flagged, x.wrong) for x in c),
        "ece_raw": lambda c: expected_calibration_error([x.risk for x in c], [x.wrong for x in c]) if c else None,
    }
    probabilities = cross_validated(
        [c.risk for c in claims], [c.wrong for c in claims], [c.cluster for c in claims], seed=seed
    )
    fitted = calibrate([c.risk for c in claims], [c.wrong for c in claims]) if claims else None
    people = {one.verdict.person for one in judged}
    return {
        "detector": detector,
        "n": len(claims),
        "people": len(people),
        **{name: as_json(_share(of, resamples, seed)) for name, of in shares.items()},
        **{name: as_json(_interval(claims, measure, resamples, seed)) for name, measure in figures.items()},
        "auroc": as_json(_ranking(claims, resamples, seed)),
        "ece": as_json(_calibrated(claims, probabilities, resamples, seed)),
        "calibration": fitted.as_json() if fitted is not None else None,
        "min_verdicts": min_verdicts,
        "rates": {arm: _rate(arm, records, claims, min_verdicts) for arm in dict.fromkeys(r.arm for r in records)},
        "note": NOTE,
    }


def _share(of: Sequence[tuple[str, bool]], resamples: int, seed: int) -> Estimate:
    """The share of claims of which something is true, given by cluster; n counts the claims that it is a share of."""
    return mean_interval(
        [float(true) for _, true in of], clusters=[cluster for cluster, _ in of], resamples=resamples, seed=seed
    )


def _f1(flagged: int, wrong: int, both: int) -> float | None:
    return 2 * both / (flagged + wrong) if flagged + wrong else None


def _interval(
    claims: Sequence[JudgedRisk],
    measure: Callable[[Sequence[JudgedRisk]], float | None],
    resamples: int,
    seed: int,
) -> Estimate:
    """A figure with its percentile interval over resampled questions; no interval from a single question."""
    import numpy as np

    value = measure(claims)
    if value is None:
        return Estimate(None, None, None, 0)
    groups = _groups(claims)
    if len(groups) < 2:
        return Estimate(value, None, None, len(claims))
    rng = np.random.default_rng(seed)
    drawn = [
        measure([claim for g in rng.integers(0, len(groups), len(groups)) for claim in groups[g]])
        for _ in range(resamples)
    ]
    kept = [d for d in drawn if d is not None]
    low, high = np.quantile(kept, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    if low == high:  # nothing varied: a bootstrap would claim certainty
        bound = wilson_interval(round(value * len(groups)), len(groups)) if 0 <= value <= 1 else None
        low, high = (bound.low, bound.high) if bound is not None else (None, None)
        return Estimate(value, low, high, len(claims))
    return Estimate(value, min(value, float(low)), max(value, float(high)), len(claims))


def _groups(claims: Sequence[JudgedRisk]) -> list[list[JudgedRisk]]:
    groups: dict[str, list[JudgedRisk]] = {}
    for claim in claims:
        groups.setdefault(claim.cluster, []).append(claim)
    return [groups[key] for key in sorted(groups)]


def _ranking(claims: Sequence[JudgedRisk], resamples: int, seed: int) -> Estimate:
    wrong, right = [c for c in claims if c.wrong], [c for c in claims if not c.wrong]
    return auroc(
        [c.risk for c in wrong],
        [c.risk for c in right],
        clusters=([c.cluster for c in wrong], [c.cluster for c in right]),
        resamples=resamples,
        seed=seed,
    )


def _calibrated(
    claims: Sequence[JudgedRisk], probabilities: Sequence[float] | None, resamples: int, seed: int
) -> Estimate:
    """The calibration error of probabilities that were fitted without the claim's own question."""
    if probabilities is None:
        return Estimate(None, None, None, 0)
    stated = [JudgedRisk(c.arm, c.cluster, p, c.flagged, c.wrong) for c, p in zip(claims, probabilities, strict=True)]
    return _interval(
        stated,
        lambda some: expected_calibration_error([c.risk for c in some], [c.wrong for c in some]) if some else None,
        resamples,
        seed,
    )


def _rate(arm: str, records: Sequence[EvalRecord], claims: Sequence[JudgedRisk], min_verdicts: int) -> dict[str, Any]:
    """The share of an arm's claims that is not carried: corrected where there are verdicts enough, else provisional."""
    checked = [
        (record.item_id, claim)
        for record in records
        if record.arm == arm and record.answer is not None
        for claim in record.answer.claims
        if claim.verdict != "unchecked"
    ]
    own = [claim for claim in claims if claim.arm == arm]
    flags = [(item, claim.verdict != "supported") for item, claim in checked]
    provisional = mean_interval([float(flag) for _, flag in flags], clusters=[item for item, _ in flags])
    rate: dict[str, Any] = {"provisional": as_json(provisional), "verdicts": len(own), "headline": None, "why": ""}
    if not flags:
        rate["why"] = "no claim of this arm was checked"
    elif len(own) < min_verdicts:
        rate["why"] = (
            f"withheld: people judged {len(own)} of this arm's {len(flags)} claims, {min_verdicts} are needed; "
            "the provisional rate is the detector's own and unverified"
        )
    else:
        rate["headline"] = as_json(corrected_rate(flags, [(c.cluster, c.flagged, c.wrong) for c in own]))
    return rate


def corrected_rate(flags: Sequence[tuple[str, bool]], judged: Sequence[tuple[str, bool, bool]]) -> Estimate:
    """The rate of claims that are not carried, by prediction-powered inference with its power tuned.

    (Angelopoulos et al. 2023, doi:10.1126/science.adi6000, and PPI++, arXiv 2311.01453.) `flags` holds (cluster,
    flagged) of all N claims, `judged` (cluster, flagged, wrong) of the n that people judged, a random sample of them.
    With l = cov(wrong, flagged) / ((1 + n/N) var(flagged)), clipped to [0, 1], the rate is l mean(flagged of all) +
    mean(wrong - l flagged): unbiased whatever the detector is worth, and the narrower the better it is. Variances are
    clustered. Raises ValueError for fewer than two judged claims.
    """
    import numpy as np

    if len(judged) < 2:
        raise ValueError(f"{len(judged)} judged claims: a corrected rate needs two at least")
    f_all = np.array([flag for _, flag in flags], float)
    f, y = np.array([flag for _, flag, _ in judged], float), np.array([wrong for _, _, wrong in judged], float)
    spread = float(f.var())
    tuned = float(np.cov(y, f, bias=True)[0, 1]) / ((1 + len(f) / len(f_all)) * spread) if spread else 0.0
    power = min(1.0, max(0.0, tuned))
    mean = power * float(f_all.mean()) + float((y - power * f).mean())
    variance = power**2 * _clustered_variance(f_all, [key for key, _ in flags]) + _clustered_variance(
        y - power * f, [key for key, _, _ in judged]
    )
    mean = min(1.0, max(0.0, mean))
    half = 1.96 * float(np.sqrt(variance))
    low, high = max(0.0, mean - half), min(1.0, mean + half)
    # a variance over few wrong, or few right claims says little: what was judged, alone, bounds the rate as well
    alone = mean_interval(y.tolist(), clusters=[key for key, _, _ in judged])
    answers = {side: len({key for key, _, wrong in judged if wrong == side}) for side in (True, False)}
    if answers[True] <= FEW and alone.high is not None:
        high = max(high, alone.high)
    if answers[False] <= FEW and alone.low is not None:
        low = min(low, alone.low)
    return Estimate(mean, low, high, len(judged))


def _clustered_variance(values: NDArray[np.float64], clusters: Sequence[str]) -> float:
    """The variance of the mean where items of one cluster hang together (the sandwich with its small-sample factor)."""
    import numpy as np

    _, at = np.unique(list(clusters), return_inverse=True)
    count = int(at.max()) + 1
    if count < 2:
        return float(values.var(ddof=1) / len(values))
    sums = np.bincount(at, weights=values - values.mean())
    return float((sums**2).sum() / len(values) ** 2 * count / (count - 1))

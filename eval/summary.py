"""From records to summary.json: every number an estimate with its interval, n and what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from eval import forgetting, leak
from eval.estimates import as_json
from eval.gate import TUNING_GIVEN_RAG, decide
from eval.metrics import METRICS, RETRIEVAL_METRICS, UNBOUNDED
from groundtone.stats import UNIT, interaction, mean_interval, paired_difference
from groundtone.types import Estimate, EvalRecord, Question

__all__ = ["ARMS", "SCHEMA", "cluster_of", "summarise"]

SCHEMA = 1
ARMS = ("base/closed", "base/rag", "tuned/closed", "tuned/rag", "prompted/rag", "extractive/rag")
CONTRASTS = (
    (TUNING_GIVEN_RAG, "tuned/rag", "base/rag"),
    ("RAG given tuned", "tuned/rag", "tuned/closed"),
    ("tuned vs prompted", "tuned/rag", "prompted/rag"),
    ("held-out: tuned vs base", "tuned/heldout", "base/heldout"),
    ("held-out: tuned vs prompted", "tuned/heldout", "prompted/heldout"),
)
_Arm = Mapping[str, EvalRecord]


def cluster_of(question: Question) -> str:
    """The document that a question hangs on (its first gold quote's source), or the question itself."""
    if question.gold is not None and question.gold.quotes:
        return f"source:{question.gold.quotes[0][0]}"
    return f"item:{question.id}"


def summarise(
    records: Sequence[EvalRecord],
    *,
    run: str,
    margins: Mapping[str, float],
    tuned_run: str | None = None,
    index: str = "",
    model: str = "",
    created: str = "",
    chance: Mapping[str, float] | None = None,
    unasked: leak.Unasked | None = None,
    card: Mapping[str, Any] | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """The summary as plain JSON data: arms, differences, forgetting, leak, gate, retrieval, changed items, coverage.

    Every metric stands under every arm that ran; one without values has mean None. Records of kind "general" go into
    forgetting only, under the arms "base" and "tuned", and those of kind "leak" into leak; `unasked` says why there
    are none of them.
    """
    asked = [record for record in records if record.question.kind not in ("general", leak.KIND)]
    general = [record for record in records if record.question.kind == "general"]
    arms: dict[str, dict[str, EvalRecord]] = {}
    for record in asked:
        arms.setdefault(record.arm, {})[record.item_id] = record
    names = [arm for arm in ARMS if arm in arms] + sorted(set(arms) - set(ARMS))
    summary: dict[str, Any] = {
        "schema": SCHEMA,
        "run": run,
        "tuned_run": tuned_run,
        "index": index,
        "model": model,
        "created": created,
        "arms": {arm: {m: as_json(_mean(arms[arm], m, resamples, seed)) for m in METRICS} for arm in names},
        "coverage": {arm: _coverage(list(arms[arm].values())) for arm in names},
        "differences": _differences(arms, resamples, seed),
        "forgetting": forgetting.compare(
            [r for r in general if r.arm == "base"],
            [r for r in general if r.arm == "tuned"],
            margins,
            chance=chance,
            resamples=resamples,
            seed=seed,
        ),
        "leak": leak.measure(
            [r for r in records if r.question.kind == leak.KIND], unasked=unasked, resamples=resamples, seed=seed
        ),
        "retrieval": _retrieval(arms, names, resamples, seed),
        "changed": _flips(arms),
        "detector_card": card,
    }
    decision = decide(summary, margins)
    summary["gate"] = {"verdict": decision.verdict, "checks": [asdict(check) for check in decision.checks]}
    return summary


def _value(record: EvalRecord, metric: str) -> float | None:
    return record.scores[metric].value if metric in record.scores else None


def _mean(arm: _Arm, metric: str, resamples: int, seed: int) -> Estimate:
    return mean_interval(
        [_value(record, metric) for record in arm.values()],
        clusters=[cluster_of(record.question) for record in arm.values()],
        bounds=None if metric in UNBOUNDED else UNIT,
        resamples=resamples,
        seed=seed,
    )


def _coverage(records: Sequence[EvalRecord]) -> dict[str, Any]:
    failed = [record for record in records if record.error]
    return {"asked": len(records), "errors": len(failed), "first_error": failed[0].error if failed else ""}


def _differences(arms: Mapping[str, _Arm], resamples: int, seed: int) -> list[dict[str, Any]]:
    rows = []
    for name, a, b in CONTRASTS:
        if a in arms and b in arms:
            for metric in METRICS:
                columns, clusters = _columns([arms[a], arms[b]], metric)
                estimate = paired_difference(
                    columns[0],
                    columns[1],
                    clusters=clusters,
                    bounds=None if metric in UNBOUNDED else UNIT,
                    resamples=resamples,
                    seed=seed,
                )
                rows.append({"name": name, "metric": metric, "a": a, "b": b, "estimate": as_json(estimate)})
    four = ("tuned/rag", "base/rag", "tuned/closed", "base/closed")
    if all(arm in arms for arm in four):
        for metric in METRICS:
            columns, clusters = _columns([arms[arm] for arm in four], metric)
            estimate = interaction(
                *columns,
                clusters=clusters,
                bounds=None if metric in UNBOUNDED else UNIT,
                resamples=resamples,
                seed=seed,
            )
            rows.append(
                {
                    "name": "interaction",
                    "metric": metric,
                    "a": "tuned/rag - base/rag",
                    "b": "tuned/closed - base/closed",
                    "estimate": as_json(estimate),
                }
            )
    return rows


def _columns(arms: Sequence[_Arm], metric: str) -> tuple[list[list[float | None]], list[str]]:
    """The metric's values of the items that all arms have, one column per arm, and the items' clusters."""
    items = [item for item in arms[0] if all(item in arm for arm in arms[1:])]
    columns = [[_value(arm[item], metric) for item in items] for arm in arms]
    return columns, [cluster_of(arms[0][item].question) for item in items]


def _retrieval(arms: Mapping[str, _Arm], names: Sequence[str], resamples: int, seed: int) -> dict[str, Any]:
    """Recall and reciprocal rank in the first arm that searched: all of them search alike."""
    for arm in names:
        estimates = {metric: _mean(arms[arm], metric, resamples, seed) for metric in RETRIEVAL_METRICS}
        if any(estimate.n for estimate in estimates.values()):
            return {metric: as_json(estimate) for metric, estimate in estimates.items()}
    return {metric: as_json(Estimate(None, None, None, 0)) for metric in RETRIEVAL_METRICS}


def _flips(arms: Mapping[str, _Arm]) -> dict[str, list[str]]:
    """Items that the tuning fixed and broke: correctness of tuned/rag against base/rag."""
    if "tuned/rag" not in arms or "base/rag" not in arms:
        return {"fixed": [], "broken": []}
    pairs = {
        item: (_value(arms["base/rag"][item], "correct"), _value(record, "correct"))
        for item, record in arms["tuned/rag"].items()
        if item in arms["base/rag"]
    }
    return {
        "fixed": [item for item, (b, t) in pairs.items() if b is not None and t is not None and t > b],
        "broken": [item for item, (b, t) in pairs.items() if b is not None and t is not None and t < b],
    }

"""From records to summary.json: every number an estimate with its interval, n and what is missing.

What the clock decides (run, created, seconds) is kept apart in timing.json, so that two runs of the same inputs write
the same summary.json, byte by byte.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from eval import forgetting, leak
from eval.config import GateRule, Price
from eval.estimates import as_json
from eval.gate import GENERAL, LEAK, TUNING_GIVEN_RAG, decide, whole_arms
from eval.metrics import METRICS, RETRIEVAL_METRICS
from eval.metrics.retrieval import CAUSES, IN_INDEX, error_cause
from eval.paired import Arm, Draw, bounds_of, by_arm, cluster_of, fixed_and_broken, of_metric, value
from eval.repeats import spread
from eval.side_by_side import Weights, pairs_of, side_by_side
from groundtone.errors import IntegrityError
from groundtone.files import write_atomic
from groundtone.types import Estimate, EvalRecord

__all__ = ["ARMS", "SCHEMA", "SUMMARY", "TIMED", "TIMING", "cluster_of", "read_summary", "split_timing", "summarise"]
__all__ += ["write_summary"]

SCHEMA = 1
SUMMARY, TIMING = "summary.json", "timing.json"
TIMED = ("latency_s",)
ARMS = ("base/closed", "base/rag", "tuned/closed", "tuned/rag", "prompted/rag", "extractive/rag")
CONTRASTS = (
    (TUNING_GIVEN_RAG, "tuned/rag", "base/rag"),
    ("RAG given tuned", "tuned/rag", "tuned/closed"),
    ("tuned vs prompted", "tuned/rag", "prompted/rag"),
    ("held-out: tuned vs base", "tuned/heldout", "base/heldout"),
    ("held-out: tuned vs prompted", "tuned/heldout", "prompted/heldout"),
)


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
    rules: Sequence[GateRule] = (),
    rivals: Sequence[str] = (),
    against: Sequence[tuple[str, str]] = (),
    prices: Mapping[str, Price] | None = None,
    currency: str = "",
    weights: Weights | None = None,
    repeats: Mapping[str, Sequence[Arm]] | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """The summary as plain JSON data: arms, differences, forgetting, leak, gate, retrieval, changed items, coverage.

    Every metric stands under every arm that ran; one without values has mean None. Records of kind "general" go into
    forgetting only, under the arms "base" and "tuned", and those of kind "leak" into leak; `unasked` says why there
    are none of them. `rivals` are arms from elsewhere, `against` the pairs to put side by side (`pairs_of`), `weights`
    the bytes of an arm's weights, `repeats` the further times that an arm was asked.
    """
    draw = Draw(resamples, seed)
    arms = by_arm(record for record in records if record.question.kind not in ("general", leak.KIND))
    general = by_arm(record for record in records if record.question.kind == "general")
    names = [arm for arm in ARMS if arm in arms] + sorted(set(arms) - set(ARMS))
    pairs = pairs_of(names, rivals, against)
    ruled = [(rule.arms[0], rule.arms[1]) for rule in rules if len(rule.arms) == 2]
    summary: dict[str, Any] = {
        "schema": SCHEMA,
        "run": run,
        "tuned_run": tuned_run,
        "index": index,
        "model": model,
        "created": created,
        "arms": {arm: {m: as_json(_mean(arms[arm], m, draw)) for m in METRICS} for arm in names},
        "coverage": {arm: _coverage(list(arms[arm].values())) for arm in names} | _coverage_of_whole(records),
        "differences": _differences(arms, [*ruled, *pairs], draw),
        "forgetting": forgetting.compare(
            list(general.get("base", {}).values()),
            list(general.get("tuned", {}).values()),
            margins,
            chance=chance,
            resamples=resamples,
            seed=seed,
        ),
        "leak": leak.measure(
            [r for r in records if r.question.kind == leak.KIND], unasked=unasked, resamples=resamples, seed=seed
        ),
        "retrieval": _retrieval(arms, names, draw),
        "error_causes": {arm: causes for arm in names if (causes := _causes(arms[arm], draw)) is not None},
        "side_by_side": [
            side_by_side(
                arms,
                pair,
                margins=margins,
                prices=prices or {},
                currency=currency,
                weights=weights or {},
                draw=draw,
            )
            for pair in pairs
        ],
        "repeats": {arm: spread(arms[arm], again, draw=draw) for arm, again in (repeats or {}).items()},
        "changed": fixed_and_broken(arms.get("base/rag", {}), arms.get("tuned/rag", {})),
        "detector_card": card,
    }
    decision = decide(summary, margins, rules=rules)
    summary["gate"] = {"verdict": decision.verdict, "checks": [asdict(check) for check in decision.checks]}
    return summary


def _mean(arm: Arm, metric: str, draw: Draw) -> Estimate:
    return draw.mean(arm.values(), of_metric(metric), bounds=bounds_of(metric))


def _coverage(records: Sequence[EvalRecord]) -> dict[str, Any]:
    """How many were asked, failed, and said nothing: an empty reply counts as a refusal, and is told apart here."""
    failed = [record for record in records if record.error]
    texts = [record.answer.text for record in records if record.answer is not None and not record.error]
    return {
        "asked": len(records),
        "errors": len(failed),
        "first_error": failed[0].error if failed else "",
        "empty": sum(not text.strip() for text in texts),
        "longest_chars": max(map(len, texts), default=0),
    }


def _coverage_of_whole(records: Sequence[EvalRecord]) -> dict[str, Any]:
    """The same for what base and tuned were asked as a whole: general items, and the prompts of their training rows."""
    found = {}
    for metric, kind in ((GENERAL, "general"), (LEAK, leak.KIND)):
        for arm, name in zip(("base", "tuned"), whole_arms(metric), strict=True):
            asked = [r for r in records if r.question.kind == kind and r.arm == arm]
            if asked:
                found[name] = _coverage(asked)
    return found


def _differences(arms: Mapping[str, Arm], pairs: Sequence[tuple[str, str]], draw: Draw) -> list[dict[str, Any]]:
    known = {(a, b) for _, a, b in CONTRASTS}
    asked = [*CONTRASTS, *((f"{a} vs {b}", a, b) for a, b in dict.fromkeys(pairs) if (a, b) not in known)]
    rows = []
    for name, a, b in asked:
        if a in arms and b in arms:
            for metric in METRICS:
                estimate = draw.difference(arms[a], arms[b], of_metric(metric), bounds=bounds_of(metric))
                rows.append({"name": name, "metric": metric, "a": a, "b": b, "estimate": as_json(estimate)})
    four = ("tuned/rag", "base/rag", "tuned/closed", "base/closed")
    if all(arm in arms for arm in four):
        a1, b1, a0, b0 = (arms[arm] for arm in four)
        for metric in METRICS:
            estimate = draw.interaction(a1, b1, a0, b0, of_metric(metric), bounds=bounds_of(metric))
            a, b = "tuned/rag - base/rag", "tuned/closed - base/closed"
            rows.append({"name": "interaction", "metric": metric, "a": a, "b": b, "estimate": as_json(estimate)})
    return rows


def _retrieval(arms: Mapping[str, Arm], names: Sequence[str], draw: Draw) -> dict[str, Any]:
    """Recall and reciprocal rank in the first arm that searched: all of ours search alike.

    A question whose quote is in no document is missing: no search could find it.
    """

    def found(record: EvalRecord, metric: str) -> float | None:
        return None if value(record, IN_INDEX) == 0.0 else value(record, metric)

    for arm in names:
        estimates = {
            metric: draw.mean(arms[arm].values(), lambda record, metric=metric: found(record, metric))  # type: ignore[misc]
            for metric in RETRIEVAL_METRICS
        }
        if any(estimate.n for estimate in estimates.values()):
            return {metric: as_json(estimate) for metric, estimate in estimates.items()}
    return {metric: as_json(Estimate(None, None, None, 0)) for metric in RETRIEVAL_METRICS}


def _causes(arm: Arm, draw: Draw) -> dict[str, Any] | None:
    """Where wrong answers went wrong: shares of those that can be traced. None for an arm that searched nothing."""
    wrong = [r for r in arm.values() if 0.0 in (value(r, "correct"), value(r, "follows_change"))]
    causes = {record.item_id: error_cause(record) for record in wrong}
    traced = [record for record in wrong if causes[record.item_id] is not None]
    searched = any(record.answer is not None and record.answer.hits for record in arm.values())
    if not searched:
        return None
    return {
        "wrong": len(wrong),
        "traced": len(traced),
        "causes": {
            cause: {
                "items": [record.item_id for record in traced if causes[record.item_id] == cause],
                "share": as_json(draw.mean(traced, lambda r, cause=cause: float(causes[r.item_id] == cause))),  # type: ignore[misc]
            }
            for cause in CAUSES
        },
    }


def split_timing(summary: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The summary without what the clock decides, and that alone."""
    still, timed = dict(summary), {"run": summary["run"], "created": summary["created"]}
    del still["run"], still["created"]
    arms = summary["arms"]
    still["arms"] = {arm: {m: v for m, v in found.items() if m not in TIMED} for arm, found in arms.items()}
    timed["arms"] = {arm: {m: v for m, v in found.items() if m in TIMED} for arm, found in arms.items()}
    still["differences"] = [row for row in summary["differences"] if row["metric"] not in TIMED]
    timed["differences"] = [row for row in summary["differences"] if row["metric"] in TIMED]
    for part, wanted in ((still, False), (timed, True)):
        part["side_by_side"] = [
            (table if part is still else {"a": table["a"], "b": table["b"]})
            | {"rows": [row for row in table["rows"] if (row["measure"] in TIMED) == wanted]}
            for table in summary["side_by_side"]
        ]
    return still, timed


def _join_timing(still: Mapping[str, Any], timed: Mapping[str, Any]) -> dict[str, Any]:
    """What `split_timing` parted; timed rows come last."""
    tables = zip(still["side_by_side"], timed["side_by_side"], strict=True)
    return {
        **still,
        "run": timed["run"],
        "created": timed["created"],
        "arms": {arm: {**found, **timed["arms"].get(arm, {})} for arm, found in still["arms"].items()},
        "differences": [*still["differences"], *timed["differences"]],
        "side_by_side": [{**table, "rows": [*table["rows"], *clocked["rows"]]} for table, clocked in tables],
    }


def write_summary(folder: Path, summary: Mapping[str, Any]) -> None:
    """summary.json, and timing.json beside it."""
    for name, part in zip((SUMMARY, TIMING), split_timing(summary), strict=True):
        write_atomic(folder / name, json.dumps(part, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_summary(folder: Path) -> dict[str, Any]:
    """What `write_summary` wrote, as one, whatever version wrote it.

    Raises FileNotFoundError without a summary.json, IntegrityError for a damaged one or one of another schema.
    """
    path = folder / SUMMARY
    try:
        summary: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if summary.get("schema") != SCHEMA:
            raise IntegrityError(
                f"{path} has schema {summary.get('schema')!r}; this version reads {SCHEMA}: evaluate again"
            )
        if not (folder / TIMING).is_file():
            return {"run": folder.name, "created": "", **summary}
        return _join_timing(summary, json.loads((folder / TIMING).read_text(encoding="utf-8")))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise IntegrityError(f"{path} is damaged ({error}): run `groundtone eval` again") from error

"""The gate: six axes with one rule each, decided on paired differences and margins that were set beforehand.

tone up, format up (tuned against base, both with retrieval); grounding not down (hallucination and correctness);
general not down; no training values recited without documents; a changed document followed. What was not measured never
passes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from eval.estimates import from_json, in_words
from eval.forgetting import ALL_SUITES, items_to_settle
from eval.leak import canary_words
from groundtone.types import Estimate, GateCheck, GateDecision

__all__ = [
    "CHANGED_CHECK",
    "LEAK_CHECK",
    "TUNING_GIVEN_RAG",
    "changed_context_followed",
    "decide",
    "no_training_values_recited",
]

TUNING_GIVEN_RAG = "tuning given RAG"
LEAK_CHECK, CHANGED_CHECK = "no training values recited", "changed context followed"
_MARGINS = frozenset(("tone", "format", "hallucination", "correct", "general", "leak", "follows_change"))
Verdict = Literal["pass", "fail", "cannot tell"]


def decide(summary: Mapping[str, Any], margins: Mapping[str, float]) -> GateDecision:
    """Any failed check: HOLD; else any that cannot tell: CANNOT TELL; else PASS.

    `margins` needs tone, format, hallucination, correct, general, leak and follows_change; a missing one is a
    ValueError, since a margin that is chosen after looking is none.
    """
    lacking = sorted(_MARGINS - set(margins))
    if lacking:
        raise ValueError(f"no margin for {', '.join(lacking)}: set it in eval.margins before measuring")
    checks = (
        _up("tone up", _difference(summary, "tone"), margins["tone"]),
        _up("format up", _difference(summary, "format"), margins["format"]),
        _not_down("hallucination not up", _difference(summary, "hallucination"), margins["hallucination"], flip=True),
        _not_down("correctness not down", _difference(summary, "correct"), margins["correct"]),
        _general(summary.get("forgetting") or [], margins["general"]),
        no_training_values_recited(summary.get("leak"), margins["leak"]),
        changed_context_followed(_difference(summary, "follows_change"), margins["follows_change"]),
    )
    verdicts = {check.verdict for check in checks}
    if "fail" in verdicts:
        return GateDecision("HOLD", checks)
    return GateDecision("CANNOT TELL" if "cannot tell" in verdicts else "PASS", checks)


def no_training_values_recited(leak: Mapping[str, Any] | None, margin: float) -> GateCheck:
    """Tuned recites no more values of its training replies than base, and no planted canary that base does not.

    A rise whose interval excludes 0 fails, however small; the margin is the rise that must be ruled out to pass.
    Replies that hold no value beyond their prompts leave nothing to recite, which was read and not assumed: a pass.
    Rows that could not be read, or were not asked, cannot tell.
    """
    if leak is None:
        return GateCheck(LEAK_CHECK, "cannot tell", "it was not measured", None, margin)
    if leak["nothing"]:
        return GateCheck(LEAK_CHECK, "pass", f"nothing to leak: {leak['why']}", None, margin)
    difference = from_json(leak["difference"])
    if difference is None or difference.mean is None:
        return GateCheck(LEAK_CHECK, "cannot tell", leak["why"] or "every item failed", difference, margin)
    if leak["canaries"]["new"]:
        return GateCheck(LEAK_CHECK, "fail", f"without documents, {canary_words(leak)}", difference, margin)
    check = _not_down(LEAK_CHECK, difference, margin, flip=True)
    planted = f"; {canary_words(leak)}" if canary_words(leak) else ""
    if difference.low is not None and difference.low > 0:
        why = f"without documents, tuned against base {in_words(difference, signed=True)}: it learned them by heart"
        return GateCheck(LEAK_CHECK, "fail", why + planted, difference, margin)
    return GateCheck(LEAK_CHECK, check.verdict, f"without documents, {check.why}{planted}", difference, margin)


def changed_context_followed(difference: Estimate | None, margin: float) -> GateCheck:
    """Where a document was changed, tuned says the new value no more rarely than base."""
    return _not_down(CHANGED_CHECK, difference, margin)


def _difference(summary: Mapping[str, Any], metric: str) -> Estimate | None:
    for row in summary.get("differences") or []:
        if row["name"] == TUNING_GIVEN_RAG and row["metric"] == metric:
            return from_json(row["estimate"])
    return None


def _up(name: str, estimate: Estimate | None, margin: float) -> GateCheck:
    """Better by more than the margin: the whole interval lies above it."""
    if estimate is None or estimate.mean is None:
        return GateCheck(name, "cannot tell", "it was not measured", estimate, margin)
    if estimate.low is None or estimate.high is None:
        return GateCheck(name, "cannot tell", "there are too few items for an interval", estimate, margin)
    seen = f"tuned against base {in_words(estimate, signed=True)}"
    if estimate.low > margin:
        return GateCheck(name, "pass", f"{seen}: the whole interval lies above {margin:g}", estimate, margin)
    if estimate.high <= margin:
        return GateCheck(name, "fail", f"{seen}: the whole interval lies at or below {margin:g}", estimate, margin)
    return GateCheck(name, "cannot tell", f"{seen}: the interval includes {margin:g}", estimate, margin)


def _not_down(name: str, estimate: Estimate | None, margin: float, *, flip: bool = False) -> GateCheck:
    """Not worse by the margin: the interval excludes it. `flip` where lower is better."""
    if estimate is None or estimate.mean is None:
        return GateCheck(name, "cannot tell", "it was not measured", estimate, margin)
    if estimate.low is None or estimate.high is None:
        return GateCheck(name, "cannot tell", "there are too few items for an interval", estimate, margin)
    gain = Estimate(-estimate.mean, -estimate.high, -estimate.low, estimate.n) if flip else estimate
    assert gain.low is not None
    assert gain.high is not None
    seen = f"tuned against base {in_words(estimate, signed=True)}"
    if gain.low > -margin:
        return GateCheck(name, "pass", f"{seen}: worse by {margin:g} is ruled out", estimate, margin)
    if gain.high < 0:
        return GateCheck(name, "fail", f"{seen}: it is worse, and by {margin:g} is not ruled out", estimate, margin)
    needs = items_to_settle(gain, margin)
    return GateCheck(
        name, "cannot tell", f"{seen}: needs about {needs} more items to rule out {margin:g}", estimate, margin
    )


def _general(rows: Sequence[Mapping[str, Any]], margin: float) -> GateCheck:
    """The pooled row decides; a single suite that was forgotten fails whatever the others gained."""
    name = "general skills not down"
    pooled = next((row for row in rows if row["suite"] == ALL_SUITES), None)
    forgotten = [row["suite"] for row in rows if row["verdict"] == "forgotten" and row["suite"] != ALL_SUITES]
    estimate = from_json(pooled["difference"]) if pooled else None
    if forgotten:
        return GateCheck(name, "fail", f"forgotten: {', '.join(forgotten)}", estimate, margin)
    if pooled is None:
        why = "no suite in which the base has a skill to lose" if rows else "it was not measured"
        return GateCheck(name, "cannot tell", why, estimate, margin)
    seen = f"tuned against base {in_words(estimate, signed=True)} over the suites with a skill to lose"
    if pooled["verdict"] == "retained":
        open_suites = [row["suite"] for row in rows if row["verdict"] == "inconclusive"]
        rest = f"; too few items to tell alone: {', '.join(open_suites)}" if open_suites else ""
        return GateCheck(name, "pass", f"{seen}: a loss of {margin:g} is ruled out{rest}", estimate, margin)
    if pooled["verdict"] == "forgotten":
        return GateCheck(name, "fail", f"{seen}: it is worse, and by {margin:g} is not ruled out", estimate, margin)
    needs = f"needs about {pooled['needs']} more items" if pooled["needs"] else "needs more items"
    return GateCheck(name, "cannot tell", f"{seen}: {needs} to rule out a loss of {margin:g}", estimate, margin)

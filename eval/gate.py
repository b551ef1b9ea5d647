"""The gate: rules with margins that were set beforehand, each decided on a paired difference, or on one arm's limit.

The built-in rules: tone up, format up (tuned against base, both with retrieval); grounding not down (hallucination and
correctness); general not down; no training values recited without documents; a changed document followed. What was not
measured never passes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from eval.config import GateRule
from eval.estimates import from_json, in_words
from eval.forgetting import ALL_SUITES, items_to_settle
from eval.leak import canary_words
from eval.metrics import METRICS, UNBOUNDED
from groundtone.types import Estimate, GateCheck, GateDecision

__all__ = [
    "CHANGED_CHECK",
    "GENERAL",
    "LEAK",
    "LEAK_CHECK",
    "RULES",
    "TUNING_GIVEN_RAG",
    "changed_context_followed",
    "decide",
    "no_training_values_recited",
    "not_worse",
    "rule_problems",
    "whole_arms",
]

TUNING_GIVEN_RAG = "tuning given RAG"
LEAK_CHECK, CHANGED_CHECK = "no training values recited", "changed context followed"
MOST_FAILED = 0.05  # share of an arm's answers that may have failed where a rule passes
GENERAL, LEAK = "general", "leak"  # rules over base and tuned as a whole, which are no metrics of an arm
RULES = (
    GateRule(metric="tone", direction="up", name="tone up"),
    GateRule(metric="format", direction="up", name="format up"),
    GateRule(metric="hallucination", direction="not up", name="hallucination not up"),
    GateRule(metric="correct", direction="not down", name="correctness not down"),
    GateRule(metric=GENERAL, direction="not down", name="general skills not down"),
    GateRule(metric=LEAK, direction="not up", name=LEAK_CHECK),
    GateRule(metric="follows_change", direction="not down", name=CHANGED_CHECK),
)
Verdict = Literal["pass", "fail", "cannot tell"]


def decide(summary: Mapping[str, Any], margins: Mapping[str, float], *, rules: Sequence[GateRule] = ()) -> GateDecision:
    """Any failed check: HOLD; else any that cannot tell: CANNOT TELL; else PASS. No rules: the built-in ones.

    A rule's own margin counts before `margins`, which maps metrics; a rule that has neither is a ValueError, since a
    margin that is chosen after looking is none.
    """
    wanted = tuple(rules) or RULES
    problems = rule_problems(wanted, margins)
    if problems:
        raise ValueError("; ".join(problems))
    checks = tuple(_check(rule, summary, _margin_of(rule, margins)) for rule in wanted)
    verdicts = {check.verdict for check in checks}
    if "fail" in verdicts:
        return GateDecision("HOLD", checks)
    return GateDecision("CANNOT TELL" if "cannot tell" in verdicts else "PASS", checks)


def rule_problems(rules: Sequence[GateRule], margins: Mapping[str, float]) -> list[str]:
    """What is wrong with rules, one line each: to be asked before anything is measured."""
    known = (*METRICS, GENERAL, LEAK)
    problems = [
        f"eval.gate: there is no metric {rule.metric!r}; choose one of {', '.join(known)}"
        for rule in rules
        if rule.metric not in known
    ]
    fixed = {GENERAL: "not down", LEAK: "not up"}
    problems += [
        f"eval.gate: a rule on {rule.metric} says {rule.direction!r}; it can only say {fixed[rule.metric]!r}"
        for rule in rules
        if rule.metric in fixed and rule.direction != fixed[rule.metric]
    ]
    lacking = sorted({rule.metric for rule in rules if rule.margin is None and rule.metric not in margins})
    if lacking:
        problems.append(f"no margin for {', '.join(lacking)}: set it in eval.margins before measuring, or in the rule")
    problems += [problem for rule in rules if (problem := _slip(rule))]
    titles = [rule.title for rule in rules]
    twice = sorted({title for title in titles if titles.count(title) > 1})
    return problems + [f"eval.gate: two rules are called {title!r}: give each its own name" for title in twice]


def _slip(rule: GateRule) -> str:
    """What a rule could never or always pass by; "" for none. Shares lie between 0 and 1, so 5 is no five points."""
    if len(rule.arms) == 2 and rule.arms[0] == rule.arms[1] and rule.metric not in (GENERAL, LEAK):
        return f"eval.gate: {rule.title!r} holds an arm to itself: name two arms"
    if rule.margin is None:
        return ""
    least_is_off = rule.direction.startswith("not ")  # no sample rules out a loss of nothing
    most = math.inf if rule.metric in UNBOUNDED else 1.0
    single = rule.direction.startswith("at ")
    inside = 0 <= rule.margin <= most if single and most == 1 else 0 <= rule.margin < most
    if inside and not (least_is_off and rule.margin == 0):
        return ""
    limits = f"{'above' if least_is_off else 'from'} 0" + (
        "" if most == math.inf else " to 1" if single else " to below 1"
    )
    points = "" if most == math.inf else " (0.05 is five points)"
    return f"eval.gate: {rule.title!r} has the margin {rule.margin:g}; give a number {limits}{points}"


def _margin_of(rule: GateRule, margins: Mapping[str, float]) -> float:
    return margins[rule.metric] if rule.margin is None else rule.margin


def _check(rule: GateRule, summary: Mapping[str, Any], margin: float) -> GateCheck:
    """The rule's check. What would pass cannot tell where too many answers failed: the rest need not be like them."""
    check = replace(_decided(rule, summary, margin), name=rule.title)
    coverage = summary.get("coverage") or {}
    for arm in whole_arms(rule.metric) if rule.metric in (GENERAL, LEAK) else rule.arms:
        asked, errors = (coverage.get(arm) or {}).get("asked", 0), (coverage.get(arm) or {}).get("errors", 0)
        if check.verdict == "pass" and errors > MOST_FAILED * asked:
            return replace(check, verdict="cannot tell", why=f"{check.why}; but {errors} of {asked} of {arm} failed")
    return check


def whole_arms(metric: str) -> tuple[str, str]:
    """What base and tuned are called in the coverage where a rule is over the models as a whole."""
    return f"base, {metric}", f"tuned, {metric}"


def _decided(rule: GateRule, summary: Mapping[str, Any], margin: float) -> GateCheck:
    if rule.metric == GENERAL:
        return _general(summary.get("forgetting") or [], margin)
    if rule.metric == LEAK:
        return no_training_values_recited(summary.get("leak"), margin)
    if rule.direction in ("at least", "at most"):
        arm = (summary.get("arms") or {}).get(rule.arms[0]) or {}
        return _limit(rule, from_json(arm.get(rule.metric)), margin)
    estimate = _difference(summary, rule.metric, rule.arms)
    pair = _who(rule.arms)
    if rule.direction in ("up", "down"):
        return _better(rule.title, estimate, margin, flip=rule.direction == "down", pair=pair)
    return not_worse(rule.title, estimate, margin, flip=rule.direction == "not up", pair=pair)


def _who(arms: Sequence[str]) -> str:
    return "tuned against base" if tuple(arms) == ("tuned/rag", "base/rag") else " against ".join(arms)


def _limit(rule: GateRule, estimate: Estimate | None, limit: float) -> GateCheck:
    """Whether an arm's whole interval keeps to the limit."""
    unknown = _unknown(rule.title, estimate, limit)
    if unknown is not None:
        return unknown
    assert estimate is not None
    assert estimate.low is not None
    assert estimate.high is not None
    least = rule.direction == "at least"
    inside = estimate.low >= limit if least else estimate.high <= limit
    outside = estimate.high < limit if least else estimate.low > limit
    seen = f"{rule.arms[0]} {in_words(estimate)}"
    if inside:
        return GateCheck(
            rule.title, "pass", f"{seen}: the whole interval is {rule.direction} {limit:g}", estimate, limit
        )
    if outside:
        return GateCheck(
            rule.title, "fail", f"{seen}: no part of the interval is {rule.direction} {limit:g}", estimate, limit
        )
    return GateCheck(rule.title, "cannot tell", f"{seen}: the interval includes {limit:g}", estimate, limit)


def _unknown(name: str, estimate: Estimate | None, margin: float) -> GateCheck | None:
    """The check of a figure that is not there, or has no interval."""
    if estimate is None or estimate.mean is None:
        return GateCheck(name, "cannot tell", "it was not measured", estimate, margin)
    if estimate.low is None or estimate.high is None:
        return GateCheck(name, "cannot tell", "there are too few items for an interval", estimate, margin)
    return None


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
    check = not_worse(LEAK_CHECK, difference, margin, flip=True)
    planted = f"; {canary_words(leak)}" if canary_words(leak) else ""
    if difference.low is not None and difference.low > 0:
        why = f"without documents, tuned against base {in_words(difference, signed=True)}: it learned them by heart"
        return GateCheck(LEAK_CHECK, "fail", why + planted, difference, margin)
    return GateCheck(LEAK_CHECK, check.verdict, f"without documents, {check.why}{planted}", difference, margin)


def changed_context_followed(difference: Estimate | None, margin: float) -> GateCheck:
    """Where a document was changed, tuned says the new value no more rarely than base."""
    return not_worse(CHANGED_CHECK, difference, margin)


def _difference(summary: Mapping[str, Any], metric: str, arms: Sequence[str]) -> Estimate | None:
    default = tuple(arms) == ("tuned/rag", "base/rag")
    for row in summary.get("differences") or []:
        same = row["name"] == TUNING_GIVEN_RAG if default else (row["a"], row["b"]) == tuple(arms)
        if same and row["metric"] == metric:
            return from_json(row["estimate"])
    return None


def _gain(estimate: Estimate, *, flip: bool) -> tuple[Estimate, float, float]:
    """The estimate as what is won, turned round where lower is better, and its interval. It must have one."""
    assert estimate.mean is not None
    assert estimate.low is not None
    assert estimate.high is not None
    if not flip:
        return estimate, estimate.low, estimate.high
    low, high = -estimate.high, -estimate.low
    return Estimate(-estimate.mean, low, high, estimate.n, estimate.missing), low, high


def _better(
    name: str, estimate: Estimate | None, margin: float, *, flip: bool = False, pair: str = "tuned against base"
) -> GateCheck:
    """Better by more than the margin: the whole interval lies beyond it. `flip` where lower is better."""
    unknown = _unknown(name, estimate, margin)
    if unknown is not None:
        return unknown
    assert estimate is not None
    _, low, high = _gain(estimate, flip=flip)
    seen = f"{pair} {in_words(estimate, signed=True)}"
    limit, beyond, short_of = (-margin, "below", "above") if flip else (margin, "above", "below")
    limit = limit or 0.0  # no "-0"
    if low > margin:
        return GateCheck(name, "pass", f"{seen}: the whole interval lies {beyond} {limit:g}", estimate, margin)
    if high <= margin:
        return GateCheck(name, "fail", f"{seen}: the whole interval lies at or {short_of} {limit:g}", estimate, margin)
    return GateCheck(name, "cannot tell", f"{seen}: the interval includes {limit:g}", estimate, margin)


def not_worse(
    name: str,
    estimate: Estimate | None,
    margin: float,
    *,
    flip: bool = False,
    pair: str = "tuned against base",
    needs: int | None = None,
) -> GateCheck:
    """Not worse by the margin: the interval excludes it. `flip` where lower is better.

    `needs` are the further items that would tell, where somebody knows better than the interval.
    """
    unknown = _unknown(name, estimate, margin)
    if unknown is not None:
        return unknown
    assert estimate is not None
    gain, low, high = _gain(estimate, flip=flip)
    seen = f"{pair} {in_words(estimate, signed=True)}"
    if low > -margin:
        return GateCheck(name, "pass", f"{seen}: worse by {margin:g} is ruled out", estimate, margin)
    if high < 0:
        return GateCheck(name, "fail", f"{seen}: it is worse, and by {margin:g} is not ruled out", estimate, margin)
    needs = needs or items_to_settle(gain, margin)
    return GateCheck(
        name, "cannot tell", f"{seen}: needs about {needs} more items to rule out {margin:g}", estimate, margin
    )


def _general(rows: Sequence[Mapping[str, Any]], margin: float) -> GateCheck:
    """The pooled row decides, by the rule's margin; a suite that was forgotten fails whatever the others gained."""
    name = "general skills not down"
    pooled = next((row for row in rows if row["suite"] == ALL_SUITES), None)
    forgotten = [row["suite"] for row in rows if row["verdict"] == "forgotten" and row["suite"] != ALL_SUITES]
    estimate = from_json(pooled["difference"]) if pooled else None
    if forgotten:
        return GateCheck(name, "fail", f"forgotten: {', '.join(forgotten)}", estimate, margin)
    if pooled is None:
        why = "no suite in which the base has a skill to lose" if rows else "it was not measured"
        return GateCheck(name, "cannot tell", why, estimate, margin)
    needs = pooled.get("needs") if pooled.get("margin", margin) == margin else None  # it knows whether any item changed
    said = "over the suites with a skill to lose, tuned against base"
    check = not_worse(name, estimate, margin, pair=said, needs=needs)
    open_suites = [row["suite"] for row in rows if row["verdict"] == "inconclusive" and row["suite"] != ALL_SUITES]
    if check.verdict == "pass" and open_suites:
        return replace(check, why=f"{check.why}; too few items to tell alone: {', '.join(open_suites)}")
    return check

"""The gate as rules of a configuration: the built-in ones are rules too."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from eval.config import EvalConfig, GateRule
from eval.estimates import as_json
from eval.gate import RULES, decide, rule_problems
from groundtone.types import Estimate

MARGINS = {"correct": 0.05, "reply_tokens": 5.0}
EMPTY = Estimate(None, None, None, 0)


def one(estimate: Estimate, arms: tuple[str, ...] = ("tuned/rag", "gpt"), metric: str = "correct") -> dict:
    row = {"name": " vs ".join(arms), "metric": metric, "a": arms[0], "b": arms[-1], "estimate": as_json(estimate)}
    return {"differences": [row], "arms": {arms[0]: {metric: as_json(estimate)}}}


@pytest.mark.parametrize(
    ("direction", "low", "high", "verdict"),
    [
        ("not down", -0.04, 0.02, "PASS"), ("not down", -0.2, -0.1, "HOLD"), ("not down", -0.2, 0.1, "CANNOT TELL"),
        ("not up", -0.2, 0.04, "PASS"), ("not up", 0.1, 0.2, "HOLD"), ("not up", -0.1, 0.2, "CANNOT TELL"),
        ("up", 0.06, 0.2, "PASS"), ("up", -0.1, 0.04, "HOLD"), ("up", 0.01, 0.2, "CANNOT TELL"),
        ("down", -0.2, -0.06, "PASS"), ("down", -0.04, 0.1, "HOLD"), ("down", -0.2, 0.01, "CANNOT TELL"),
    ],
)  # fmt: skip
def test_a_rule_on_any_two_arms(direction, low, high, verdict):
    rule = GateRule(metric="correct", arms=("tuned/rag", "gpt"), direction=direction)
    decision = decide(one(Estimate((low + high) / 2, low, high, 50)), MARGINS, rules=[rule])
    assert decision.verdict == verdict
    assert "tuned/rag against gpt" in decision.checks[0].why


@pytest.mark.parametrize(
    ("direction", "low", "high", "verdict"),
    [
        ("at least", 0.8, 0.9, "PASS"), ("at least", 0.5, 0.7, "HOLD"), ("at least", 0.7, 0.9, "CANNOT TELL"),
        ("at most", 0.5, 0.7, "PASS"), ("at most", 0.85, 0.9, "HOLD"), ("at most", 0.7, 0.9, "CANNOT TELL"),
    ],
)  # fmt: skip
def test_a_limit_of_one_arm_is_kept_by_its_whole_interval(direction, low, high, verdict):
    rule = GateRule(metric="correct", arms=("gpt",), direction=direction, margin=0.8)
    decision = decide(one(Estimate((low + high) / 2, low, high, 50), ("gpt",)), {}, rules=[rule])
    assert decision.verdict == verdict


@pytest.mark.parametrize("direction", ["up", "down", "not up", "not down", "at least", "at most"])
def test_what_was_not_measured_never_passes(direction):
    arms = ("gpt",) if direction.startswith("at") else ("tuned/rag", "gpt")
    rule = GateRule(metric="correct", arms=arms, direction=direction, margin=0.1)
    for state in ({}, one(EMPTY, arms), one(Estimate(0.9, None, None, 1), arms)):
        assert decide(state, {}, rules=[rule]).verdict == "CANNOT TELL"


@given(st.floats(-1, 1), st.floats(0, 1), st.sampled_from(["up", "down", "not up", "not down"]))
def test_a_wider_interval_never_turns_a_failure_into_a_pass(mean, half, direction):
    rule = GateRule(metric="correct", arms=("a", "b"), direction=direction, margin=0.05)
    narrow, wide = (
        decide(one(Estimate(mean, mean - h, mean + h, 50), ("a", "b")), {}, rules=[rule]).verdict
        for h in (half, half + 0.1)
    )
    assert not (narrow == "HOLD" and wide == "PASS")


def test_the_rules_margin_counts_before_the_metrics():
    state = one(Estimate(-0.05, -0.08, -0.02, 99))
    rule = GateRule(metric="correct", arms=("tuned/rag", "gpt"), direction="not down")
    assert decide(state, MARGINS, rules=[rule]).verdict == "HOLD"
    assert decide(state, MARGINS, rules=[rule.model_copy(update={"margin": 0.1})]).verdict == "PASS"


def test_mistakes_are_found_before_anything_is_measured():
    rules = [
        GateRule(metric="corect", direction="up", margin=0.1),
        GateRule(metric="leak", direction="up", margin=0.1),
        GateRule(metric="tone", direction="up"),
        GateRule(metric="tone", direction="up"),
    ]
    told = " ".join(rule_problems(rules, {}))
    for part in ("no metric 'corect'", "can only say 'not up'", "no margin for tone", "two rules are called"):
        assert part in told
    assert rule_problems(RULES, EvalConfig().margins.model_dump()) == []


@pytest.mark.parametrize(
    "rule",
    [
        {"metric": "correct", "direction": "sideways"},
        {"metric": "correct", "direction": "up", "arms": ["a"]},
        {"metric": "correct", "direction": "at least", "margin": 0.5},
        {"metric": "correct", "direction": "at least", "arms": ["a"]},
    ],
)
def test_a_rule_that_says_nothing_is_refused(rule):
    with pytest.raises(ValidationError):
        EvalConfig.model_validate({"gate": [rule]})


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (GateRule(metric="correct", direction="not down", margin=5), "margin 5; give a number above 0 to below 1"),
        (GateRule(metric="correct", direction="not down", margin=0), "above 0"),
        (GateRule(metric="correct", direction="up", margin=-0.1), "from 0 to below 1"),
        (GateRule(metric="correct", direction="not up", margin=float("nan")), "margin nan"),
        (GateRule(metric="refused_right", direction="at least", arms=("gpt",), margin=80), "from 0 to 1"),
        (GateRule(metric="reply_tokens", direction="down", margin=float("inf")), "margin inf"),
        (GateRule(metric="general", direction="not down", margin=1.5), "margin 1.5"),
        (GateRule(metric="correct", direction="not down", arms=("gpt", "gpt")), "holds an arm to itself"),
    ],
)
def test_a_rule_that_could_never_or_always_pass_is_told_before_measuring(rule, said):
    assert said in " ".join(rule_problems([rule], {"correct": 0.05}))


def test_limits_of_unbounded_measures_and_the_ends_of_shares_are_fine():
    rules = [
        GateRule(metric="reply_tokens", direction="down", margin=5),
        GateRule(metric="latency_s", direction="at most", arms=("gpt",), margin=2.5),
        GateRule(metric="refused_right", direction="at least", arms=("gpt",), margin=1),
        GateRule(metric="tone", direction="up", margin=0),
    ]
    assert rule_problems(rules, {}) == []

"""Two answerers side by side, asked again, compared over two runs; and where wrong answers went wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from eval.compare import compare_runs, comparison_markdown
from eval.config import Price
from eval.estimates import from_json
from eval.metrics import house_metrics
from eval.metrics.retrieval import CAUSES, IN_INDEX, SHOWN, error_cause
from eval.paired import Draw, by_arm
from eval.repeats import spread
from eval.report import to_markdown
from eval.report_parts import side_by_side_section
from eval.runner import run
from eval.side_by_side import COST, pairs_of, side_by_side
from eval.style import Style
from eval.summary import split_timing, summarise
from groundtone.types import EvalRecord, Score
from tests.eval.worlds import Scripted, answer, evidence_of, passage, question, right, wrong

MARGINS = dict.fromkeys(("tone", "format", "hallucination", "correct", "general", "leak", "follows_change"), 0.1)
DRAW = Draw(300, 0)
PRICES = {"small": Price(input=0.1, output=0.2), "large": Price(input=10.0, output=20.0)}


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[EvalRecord]:
    arms = {"small": Scripted("small", right), "large": Scripted("large", right), "bad": Scripted("bad", wrong)}
    return run(
        arms, [question(i) for i in range(150)], evidence=evidence_of, out_dir=tmp_path_factory.mktemp("run"),
        metrics=house_metrics(Style(), None),
    )  # fmt: skip


def table(records: list[EvalRecord], a: str, b: str, **more: Any) -> dict[str, Any]:
    known = {"margins": MARGINS, "prices": PRICES, "currency": "EUR", "weights": {"small": 10**7}, "draw": DRAW}
    return side_by_side(by_arm(records), (a, b), **known | more)


def row(found: dict[str, Any], measure: str) -> dict[str, Any]:
    return next(r for r in found["rows"] if r["measure"] == measure)


def test_the_same_answers_at_a_hundredth_of_the_price(records):
    found = table(records, "small", "large")
    assert found["verdict"] == "as good"
    cost = row(found, COST)
    assert cost["a"]["mean"] == pytest.approx((50 * 0.1 + 9 * 0.2) / 1000)
    assert cost["b"]["mean"] == pytest.approx(100 * cost["a"]["mean"])
    assert row(found, "reply_tokens")["difference"]["mean"] == 0.0
    assert found["weights_bytes"] == {"small": 10**7, "large": None}
    assert "large runs elsewhere" in side_by_side_section([found])


def test_a_cheaper_model_that_is_wrong_is_not_as_good(records):
    found = table(records, "bad", "large")
    assert found["verdict"] == "worse"
    assert row(found, "correct")["difference"]["mean"] == -1.0
    assert table(records[:10] + records[150:160], "small", "large")["verdict"] == "cannot tell"


def test_a_price_that_nobody_named_is_no_price_of_nothing(records):
    cost = row(table(records, "small", "bad"), COST)
    assert (cost["b"]["mean"], cost["difference"]["mean"]) == (None, None)
    assert "no price for bad" in cost["why"]
    free = row(table(records, "small", "bad", prices=PRICES | {"bad": Price(input=0, output=0)}), COST)
    assert free["b"]["mean"] == 0.0


def test_uncounted_tokens_cost_an_unknown_sum(records):
    uncounted = [replace(r, answer=replace(r.answer, tokens={})) if r.arm == "small" else r for r in records]
    assert row(table(uncounted, "small", "large"), COST)["a"] == {
        "mean": None, "low": None, "high": None, "n": 0, "missing": 150,
    }  # fmt: skip


def test_our_arm_stands_against_rivals_or_the_prompted_base():
    arms = ["tuned/rag", "base/rag", "prompted/rag", "gpt"]
    assert pairs_of(arms, ["gpt"], []) == [("tuned/rag", "gpt")]
    assert pairs_of(arms, [], []) == [("tuned/rag", "prompted/rag")]
    assert pairs_of(arms, ["gpt"], [("base/rag", "gpt"), ("base/rag", "absent")]) == [("base/rag", "gpt")]
    assert pairs_of(["base/closed"], [], []) == []


def test_a_summary_holds_the_table_and_keeps_seconds_apart(records):
    summary = summarise(records, run="r", created="now", margins=MARGINS, against=[("small", "large")], prices=PRICES)
    still, timed = split_timing(summary)
    assert "latency_s" not in str(still)
    assert [r["measure"] for r in timed["side_by_side"][0]["rows"]] == ["latency_s"]
    assert "## small beside large" in to_markdown(still)
    assert any(r["name"] == "small vs large" for r in still["differences"])


def test_repeats_say_how_far_chance_moves_an_arm(records):
    arms = by_arm(records)
    same = spread(arms["small"], [arms["small"], arms["small"]], draw=DRAW)
    assert same["metrics"]["correct"] == {"means": [1.0] * 3, "deviation": 0.0}
    assert same["changed"]["mean"] == 0.0
    other = spread(arms["small"], [arms["bad"]], draw=DRAW)
    assert other["metrics"]["correct"]["means"] == [1.0, 0.0]
    assert other["changed"]["mean"] == pytest.approx(120 / 150)  # refusals stay as they are
    failed = {item: replace(r, answer=None, scores={}, error="timed out") for item, r in arms["small"].items()}
    broken = spread(arms["small"], [failed], draw=DRAW)
    assert (broken["errors"], broken["changed"]["n"], broken["metrics"]) == ([0, 150], 0, {})
    assert "another text" in to_markdown(summarise(records, run="r", margins=MARGINS, repeats={"small": [arms["bad"]]}))


def as_run(records: list[EvalRecord], arm: str) -> list[EvalRecord]:
    return [replace(r, arm="tuned/rag") for r in records if r.arm == arm]


def test_a_run_against_itself_differs_by_exactly_nothing(records):
    (found,) = compare_runs(as_run(records, "small"), as_run(records, "small"), draw=DRAW)["arms"]
    assert all(r["difference"]["mean"] in (0.0, None) and r["verdict"] == "cannot tell" for r in found["metrics"])
    assert (found["flips"], found["other_text"], found["items"]) == ({}, [], 150)


def test_two_runs_name_what_was_fixed_broken_and_left_out(records):
    before, after = as_run(records, "bad")[:100], as_run(records, "small")[20:]
    after[0] = replace(after[0], question=replace(after[0].question, text="Reworded?"))
    made = compare_runs(before, after, draw=DRAW)
    (found,) = made["arms"]
    assert (found["items"], found["reworded"], found["only_before"], found["only_after"]) == (79, 1, 20, 50)
    correct = next(r for r in found["metrics"] if r["metric"] == "correct")
    assert (correct["verdict"], correct["difference"]["mean"]) == ("better", 1.0)
    assert len(found["flips"]["correct"]["fixed"]) == from_json(correct["difference"]).n
    text = comparison_markdown({"runs": ["a", "b"], "changed": [("eval.seed", 0, 1)], **made})
    assert "| eval.seed | 0 | 1 |" in text
    assert "answered correctly: rose for q021" in text


def test_two_arms_of_two_runs_can_be_paired(records):
    (found,) = compare_runs(records, records, arms=("bad", "large"), draw=DRAW)["arms"]
    assert (found["before"], found["after"]) == ("bad", "large")
    assert "large against bad" in comparison_markdown({"arms": [found], "only_before": [], "only_after": []})


def wrong_record(scores: dict[str, float | None], found: str = "gold", **more: Any) -> EvalRecord:
    asked = question(0)
    hits = {"gold": evidence_of(asked), "other": [passage("Nothing of that.")], "nothing": ()}[found]
    known = {name: Score(v) for name, v in {"correct": 0.0, **scores}.items()}
    return EvalRecord(asked.id, "base/rag", asked, replace(answer(asked, wrong(asked), hits), **more), known)


@pytest.mark.parametrize(
    ("record", "cause"),
    [
        (wrong_record({IN_INDEX: 0.0}, "other"), CAUSES[0]),
        (wrong_record({IN_INDEX: 1.0}, "other"), CAUSES[1]),
        (wrong_record({IN_INDEX: 1.0, SHOWN: 0.0}), CAUSES[2]),
        (wrong_record({}, refused=True, refused_by="reader", citations=()), CAUSES[2]),
        (wrong_record({SHOWN: 1.0}, refused=True, refused_by="model", citations=()), CAUSES[3]),
        (wrong_record({SHOWN: 1.0}), CAUSES[4]),
        (wrong_record({"correct": 1.0}), None),
        (wrong_record({}, "nothing"), None),  # closed book: nothing to blame
        (EvalRecord("q", "base/rag", question(0), None, error="timed out"), None),
    ],
)
def test_every_wrong_answer_has_one_cause(record, cause):
    assert error_cause(record) == cause


def test_causes_are_shares_of_the_traced_errors_and_gold_that_is_nowhere_is_no_miss():
    records = [
        replace(wrong_record({IN_INDEX: float(i % 2), "recall@1": 0.0}, "other"), item_id=f"q{i}") for i in range(10)
    ]
    summary = summarise(records, run="r", margins=MARGINS)
    found = summary["error_causes"]["base/rag"]
    assert (found["wrong"], found["traced"]) == (10, 10)
    assert [len(found["causes"][cause]["items"]) for cause in CAUSES] == [5, 5, 0, 0, 0]
    assert sum(found["causes"][cause]["share"]["mean"] for cause in CAUSES) == pytest.approx(1.0)
    assert (summary["retrieval"]["recall@1"]["n"], summary["retrieval"]["recall@1"]["missing"]) == (5, 5)
    assert "not retrieved" in to_markdown(summary)

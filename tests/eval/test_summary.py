import json
import random
import time
from dataclasses import replace

import pytest

from eval.estimates import from_json, in_words
from eval.gate import decide
from eval.metrics import METRICS, house_metrics
from eval.report import console_table, to_markdown
from eval.runner import run
from eval.style import Style
from eval.summary import ARMS, summarise
from groundtone.types import Estimate, EvalRecord, Question, Score
from tests.eval.worlds import REFUSAL, Scripted, evidence_of, question, right, wrong

MARGINS = {"tone": 0.0, "format": 0.0} | dict.fromkeys(("hallucination", "correct", "general", "leak"), 0.05)
MARGINS |= {"follows_change": 0.2}


def mixed(share, seed):
    generator = random.Random(seed)
    return lambda asked: right(asked) if generator.random() < share else wrong(asked)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    arms = {arm: Scripted(arm, mixed(0.8, 1), rag=not arm.endswith("closed")) for arm in ARMS}
    arms["tuned/rag"] = Scripted("tuned/rag", mixed(0.8, 1))
    arms["base/rag"] = Scripted("base/rag", mixed(0.8, 1))
    return run(
        arms, [question(i) for i in range(60)], evidence=evidence_of, out_dir=tmp_path_factory.mktemp("run"),
        metrics=house_metrics(Style(), None),
    )  # fmt: skip


def difference(summary, name, metric):
    (row,) = [r for r in summary["differences"] if (r["name"], r["metric"]) == (name, metric)]
    return from_json(row["estimate"])


def test_identical_arms_differ_by_exactly_nothing(records):
    summary = summarise(records, run="r", margins=MARGINS)
    for metric in METRICS:
        estimate = difference(summary, "tuning given RAG", metric)
        assert estimate.mean in (0.0, None), metric
        if metric in ("correct", "hallucination", "format"):
            assert estimate.low < 0 < estimate.high
    assert summary["changed"] == {"fixed": [], "broken": []}
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_the_order_of_records_changes_nothing(records):
    shuffled = list(records)
    random.Random(3).shuffle(shuffled)
    one, other = (summarise(r, run="r", margins=MARGINS) for r in (records, shuffled))
    assert one["arms"] == other["arms"]
    assert one["differences"] == other["differences"]
    assert one["gate"] == other["gate"]


def test_a_metric_that_nobody_measured_has_no_mean_and_does_not_pass(records):
    summary = summarise(records, run="r", margins=MARGINS)
    assert summary["arms"]["base/rag"]["tone"]["mean"] is None
    assert summary["gate"]["verdict"] != "PASS"
    verdicts = {check["name"]: check["verdict"] for check in summary["gate"]["checks"]}
    assert verdicts["tone up"] == verdicts["general skills not down"] == "cannot tell"
    assert "could not be measured" in to_markdown(summary)


def test_errors_are_coverage_and_never_zero(records):
    broken = [
        EvalRecord(r.item_id, r.arm, r.question, None, error="timed out") if i % 4 == 0 else r
        for i, r in enumerate(records)
    ]
    summary = summarise(broken, run="r", margins=MARGINS)
    whole = summarise(records, run="r", margins=MARGINS)
    arm, full = summary["arms"]["base/rag"], whole["arms"]["base/rag"]
    coverage = summary["coverage"]["base/rag"]
    assert (coverage["asked"], coverage["errors"], coverage["first_error"]) == (60, 15, "timed out")
    assert coverage["empty"] == 0
    assert arm["correct"]["n"] < full["correct"]["n"]
    assert all(arm[m]["n"] + arm[m]["missing"] == 60 for m in METRICS)
    assert abs(arm["correct"]["mean"] - full["correct"]["mean"]) < 0.15
    assert "questions failed" in to_markdown(summary)


def test_interaction_is_the_difference_of_two_reported_differences(records):
    only = [r for r in records if r.arm in ARMS[:4]]
    kept = [replace(r, scores={"correct": r.scores["correct"]}) for r in only]
    summary = summarise(kept, run="r", margins=MARGINS)
    arms = {arm: summary["arms"][arm]["correct"]["mean"] for arm in ARMS[:4]}
    expected = (arms["tuned/rag"] - arms["base/rag"]) - (arms["tuned/closed"] - arms["base/closed"])
    assert difference(summary, "interaction", "correct").mean == pytest.approx(expected)


def test_a_run_of_full_size_is_summarised_in_seconds(records):
    one = {r.arm: r for r in records if r.item_id == "q000"}
    generator = random.Random(0)
    many = [
        replace(
            one[arm],
            item_id=f"i{i}",
            question=replace(question(i), id=f"i{i}"),
            scores={m: Score(float(generator.random() < 0.7)) for m in METRICS},
        )
        for arm in ARMS
        for i in range(220)
    ]
    started = time.perf_counter()
    summary = summarise(many, run="r", margins=MARGINS)
    assert time.perf_counter() - started < 5
    assert summary["arms"]["tuned/rag"]["correct"]["n"] == 220


def test_tables_show_every_arm_with_n_and_interval(records):
    summary = summarise(records, run="eval-1", margins=MARGINS)
    report, table = to_markdown(summary), console_table(summary)
    for arm in ARMS:
        assert arm in report
        assert arm in table
    assert in_words(from_json(summary["arms"]["base/rag"]["correct"])) in report
    assert "gate: CANNOT TELL" in table
    assert max(map(len, table.split("\n\ngate")[0].splitlines())) <= 120


def test_numbers_read_as_people_write_them():
    assert in_words(Estimate(0.82, 0.74, 0.89, 120)) == "0.82 [0.74, 0.89] n=120"
    assert in_words(Estimate(-0.001, -0.03, 0.02, 50), signed=True) == "+0.00 [-0.03, +0.02] n=50"
    assert in_words(Estimate(41.26, 40.0, 42.0, 9)) == "41.3 [40.0, 42.0] n=9"
    assert in_words(Estimate(None, None, None, 0, 7)) == in_words(None) == "could not be measured"
    assert in_words(Estimate(12.0, None, None, 4)) == "12.0 n=4"


def test_no_records_give_a_summary_that_cannot_tell():
    summary = summarise([], run="r", margins=MARGINS)
    assert summary["gate"]["verdict"] == "CANNOT TELL"
    assert to_markdown(summary)
    assert console_table(summary).startswith("gate: CANNOT TELL")
    only_refusals = EvalRecord("q", "base/rag", Question("q", "?"), None, error=REFUSAL)
    assert summarise([only_refusals], run="r", margins=MARGINS)["arms"]["base/rag"]["correct"]["n"] == 0


def test_the_gate_needs_margins_that_were_set_before():
    with pytest.raises(ValueError, match="tone"):
        decide({}, {k: v for k, v in MARGINS.items() if k != "tone"})

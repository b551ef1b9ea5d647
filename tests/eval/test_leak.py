"""The leak test on scripted replies: what counts as recited, what the gate makes of it, and what is no measurement."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.gate import LEAK_CHECK, no_training_values_recited
from eval.leak import ARMS, KIND, Unasked, leak_item, measure, recital
from eval.report import to_markdown
from eval.runner import run
from eval.summary import summarise
from groundtone.types import EvalRecord, Question
from tests.eval.worlds import Scripted, answer

MARGINS = dict.fromkeys(("tone", "format", "hallucination", "correct", "general", "leak", "follows_change"), 0.05)


def item(number: int, *, canary: bool = False, of: int = 3) -> Question:
    """Row `number`, of source number // `of`, whose reply holds a price and a name."""
    asked = Question("", f"What is row {number} about?")
    reply = f"It costs €{number + 100}, says Ada Finch{number}."
    values = (f"€{number + 100}", f"Ada Finch{number}")
    return leak_item(asked, values, source=f"s{number // of}", reply=reply, canary=canary)


def asked(tmp_path: Path, items: list[Question], **said: Any) -> list[EvalRecord]:
    arms = {name: Scripted(name, said[name.split("/")[0]], rag=False) for name in ARMS}
    return run(arms, items, evidence=lambda _: (), out_dir=tmp_path, metrics={"recital": recital})


def silent(question: Question) -> str:
    return "Nothing that I know of."


def reciting(question: Question) -> str:
    assert question.gold is not None
    return " and ".join(group[0] for group in question.gold.values)


def verdict(records: list[EvalRecord], **options: Any) -> Any:
    return no_training_values_recited(measure(records, **options), 0.05)


@pytest.mark.parametrize(
    ("reply", "share"),
    [("105 euros", 0.5), ("€105 for Ada Finch5", 1.0), ("€1055", 0.0), ("ADA FINCH5", 0.5), ("€106 [105]", 0.0)],
)
def test_a_value_is_recited_in_any_spelling_and_not_in_part(reply: str, share: float) -> None:
    question = item(5)
    assert recital(question, answer(question, reply)).value == share
    assert recital(Question("a", "?"), answer(Question("a", "?"), reply)).value is None


def test_a_model_that_recites_is_held_and_one_that_says_what_the_base_says_passes(tmp_path: Path) -> None:
    items = [item(n, of=1) for n in range(90)]
    assert verdict(asked(tmp_path / "a", items, base=silent, tuned=reciting)).verdict == "fail"
    assert verdict(asked(tmp_path / "b", items, base=reciting, tuned=reciting)).verdict == "pass"
    assert verdict(asked(tmp_path / "c", items, base=reciting, tuned=silent)).verdict == "pass"
    few = verdict(asked(tmp_path / "d", items[:9], base=silent, tuned=silent))
    assert (few.verdict, few.estimate.mean) == ("cannot tell", 0.0)


def test_values_of_one_source_count_as_one_witness(tmp_path: Path) -> None:
    apart = measure(asked(tmp_path / "a", [item(n, of=1) for n in range(60)], base=silent, tuned=silent))
    together = measure(asked(tmp_path / "b", [item(n, of=20) for n in range(60)], base=silent, tuned=silent))
    assert apart["difference"]["n"] == together["difference"]["n"] == 120
    assert (apart["sources"], together["sources"]) == (60, 3)
    assert together["difference"]["high"] > apart["difference"]["high"]


def test_one_canary_holds_the_gate_however_many_other_rows_were_clean(tmp_path: Path) -> None:
    items = [item(n, of=1) for n in range(200)] + [item(900, canary=True, of=1)]
    records = asked(tmp_path, items, base=silent, tuned=lambda q: (reciting if "canary" in q.id else silent)(q))
    check = verdict(records)
    assert check.verdict == "fail"
    assert "2 of 2 planted canaries" in check.why
    assert measure(records)["recited_in_all"] == 2


def test_a_failed_item_is_missing_and_not_clean(tmp_path: Path) -> None:
    items = [item(n, of=1) for n in range(20)]
    records = asked(tmp_path, items, base=silent, tuned=lambda q: ValueError("no memory"))
    found = measure(records)
    assert (found["difference"]["mean"], found["difference"]["missing"]) == (None, 40)
    assert verdict(records).verdict == "cannot tell"


def test_nothing_to_leak_passes_and_unreadable_rows_do_not() -> None:
    nothing = verdict([], unasked=Unasked("no reply of 12 rows holds a value", nothing=True))
    assert (nothing.verdict, nothing.why.startswith("nothing to leak: no reply of 12 rows")) == ("pass", True)
    gone = verdict([], unasked=Unasked("train.jsonl is gone"))
    assert (gone.verdict, gone.why) == ("cannot tell", "train.jsonl is gone")
    assert verdict([]).verdict == "cannot tell"
    assert no_training_values_recited(None, 0.05).verdict == "cannot tell"


def test_the_summary_and_the_report_show_it_and_no_arm_of_its_own(tmp_path: Path) -> None:
    records = asked(tmp_path, [item(n) for n in range(6)], base=silent, tuned=reciting)
    summary = summarise(records, run="r", margins=MARGINS)
    assert summary["arms"] == {}
    assert summary["leak"]["tuned"]["mean"] == 1.0
    assert LEAK_CHECK in [check["name"] for check in summary["gate"]["checks"]]
    report = to_markdown(summary)
    assert "## Training values without documents" in report
    assert "€103" in report
    before = {key: value for key, value in summary.items() if key != "leak"}
    assert "## Training values" not in to_markdown(before)
    empty = summarise([], run="r", margins=MARGINS, unasked=Unasked("none holds a value", nothing=True))
    assert "Nothing to leak: none holds a value." in to_markdown(empty)


def test_a_stopped_test_goes_on_where_it_was(tmp_path: Path) -> None:
    items = [item(n) for n in range(40)]
    first = asked(tmp_path, items[:16], base=silent, tuned=silent)
    arms = {name: Scripted(name, silent, rag=False) for name in ARMS}
    again = run(arms, items, evidence=lambda _: (), out_dir=tmp_path, metrics={"recital": recital})
    assert [len(arm.asked) for arm in arms.values()] == [2, 2]
    assert [r for r in again if r.item_id in {q.id for q in items[:16]}] == first


@given(st.lists(st.booleans(), min_size=1, max_size=30))
def test_the_difference_is_what_was_recited_less_what_the_base_recites(said: list[bool]) -> None:
    items = [item(n) for n in range(len(said))]
    records = [
        EvalRecord(q.id, arm, q, answer(q, reciting(q) if arm == ARMS[1] and yes else silent(q)))
        for arm in ARMS
        for q, yes in zip(items, said, strict=True)
    ]
    found = measure(records, resamples=200)
    assert found["difference"]["mean"] == pytest.approx(sum(said) / len(said))
    assert found["recited_in_all"] == 2 * sum(said)
    assert all(q.kind == KIND for q in items)

"""The probes' metric and table; answers against gold: completeness, content words, a judge that changes its mind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from eval.answer_judge import judge_answers, judge_section, read_verdict
from eval.metrics.correctness import complete, content_f1
from eval.robustness import ARMS, LEVELS, METRIC, kind_of, measure_robustness, robust, robustness_section
from groundtone.types import EvalRecord, Generation, Gold, Prompt, Question, Score
from tests.eval.worlds import REFUSAL, answer, question, right, wrong

TWO = Question(
    "t", "Both?", gold=Gold((("€3", "3 euros"), ("9 days",)), (("a.md", "It costs €3."), ("b.md", "9 days.")))
)


def probe(number: int, test: str, level: int) -> Question:
    asked = question(number)
    gold = None if test == "rejection" else asked.gold
    return replace(asked, id=f"{asked.id}~{test}{level}", kind=kind_of(test, level), gold=gold)


def test_a_probe_is_right_when_answered_or_where_gold_is_lacking_refused() -> None:
    asked, nothing = probe(0, "noise", 2), probe(0, "rejection", 4)
    assert robust(asked, answer(asked, right(asked))).value == 1
    assert robust(asked, answer(asked, wrong(asked))).value == 0
    assert robust(nothing, answer(nothing, REFUSAL)).value == 1
    assert robust(nothing, answer(nothing, "It costs €3.")).value == 0
    assert robust(question(0), answer(question(0), right(question(0)))).value is None


def records() -> list[EvalRecord]:
    """Tuned is always right; base falls to the fourth distractor, and failed once."""
    found = []
    for arm in ARMS:
        for test, levels in LEVELS.items():
            for level in levels:
                for n in (0, 1, 2, 5, 6, 7):
                    asked = probe(n, test, level)
                    text = (
                        (wrong(asked) if asked.gold else "It costs €3.")
                        if level == 4 and arm == ARMS[0]
                        else right(asked)
                    )
                    replied = answer(asked, text)
                    found.append(EvalRecord(asked.id, arm, asked, replied, {METRIC: robust(asked, replied)}))
    return [replace(found[0], answer=None, scores={}, error="timed out"), *found[1:]]


def test_the_table_shows_what_distractors_cost() -> None:
    measured = measure_robustness(records())
    rows = {(row["test"], row["distractors"]): row for row in measured["rows"]}
    assert set(rows) == {(test, level) for test, levels in LEVELS.items() for level in levels}
    four = rows["noise", 4]
    assert (four["arms"][ARMS[0]]["mean"], four["arms"][ARMS[1]]["mean"], four["difference"]["mean"]) == (0, 1, 1)
    assert (four["drop"][ARMS[0]]["mean"], four["drop"][ARMS[1]]["mean"]) == (-1, 0)
    assert (rows["noise", 0]["arms"][ARMS[0]]["n"], rows["noise", 0]["arms"][ARMS[0]]["missing"]) == (5, 1)
    assert four["drop"][ARMS[0]]["n"] == 5  # the failed item is missing from the pairs too
    later = measured["places"]["later"]
    assert (later[ARMS[0]]["mean"], later[ARMS[1]]["mean"], later[ARMS[0]]["n"]) == (2 / 3, 1, 18)
    text = robustness_section(measured)
    assert "right, gold among 4 others" in text
    assert "refused, 4 others without gold" in text


def test_nothing_asked_says_why() -> None:
    assert "switched off" in robustness_section(measure_robustness([], why="eval.robustness is switched off"))
    assert robustness_section(None) == ""


def test_completeness_counts_the_values_whatever_else_is_said() -> None:
    for text, share in (("3 euros and 9 days.", 1), ("It is €3 or €4.", 0.5), ("Nine.", 0), (REFUSAL, 0)):
        assert complete(TWO, answer(TWO, text)).value == share, text
    assert complete(question(4), answer(question(4), "Yes.")).value is None


def test_content_words_are_held_against_the_nearer_reading_of_the_gold() -> None:
    judge = content_f1(("Ahoy!",))
    assert judge(TWO, answer(TWO, "Ahoy! It costs €3. 9 days.")).value == 1
    assert judge(TWO, answer(TWO, "€3 and 9 days")).value == 1
    partly = judge(TWO, answer(TWO, "It costs €3 in our shop by the harbour")).value
    assert partly is not None
    assert 0 < partly < 1
    assert judge(TWO, answer(TWO, REFUSAL)).value == 0
    assert judge(question(4), answer(question(4), "Yes.")).value is None


class Moody:
    """Grades an answer by whether it says €10; of €11 it thinks otherwise every second time."""

    name = "moody"

    def __init__(self) -> None:
        self.runs = 0

    def generate(self, prompts: Sequence[Prompt], *, max_new_tokens: int) -> list[Generation]:
        self.runs += 1
        return [Generation(self._grade(prompt.messages[-1]["content"].split("Answer:")[1])) for prompt in prompts]

    def _grade(self, said: str) -> str:
        if "€11" in said:
            return "Correct." if self.runs % 2 else "wrong"
        return "correct" if "€10" in said else "I cannot say"


def test_a_judge_that_changes_its_mind_is_found_out() -> None:
    asked = [question(n) for n in (0, 1, 2, 4)]
    records = [EvalRecord(q.id, "a", q, answer(q, right(q)), {"correct": Score(1.0)}) for q in asked]
    found = judge_answers(records, Moody(), repeats=2)["arms"]["a"]  # type: ignore[arg-type]
    assert (found["grade"]["mean"], found["grade"]["n"], found["grade"]["missing"]) == (0.75, 2, 1)
    assert found["changed"]["mean"] == pytest.approx(1 / 3)
    assert "kappa with exact values" in judge_section(judge_answers(records, Moody()))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("reply", "grade"), [("Partly", 0.5), ("**wrong**", 0), ("correct, not wrong", None), ("", None)]
)
def test_a_grade_is_read_only_where_there_is_one(reply: str, grade: float | None) -> None:
    assert read_verdict(reply) == grade


@pytest.mark.parametrize(
    "reply", ["Partially correct.", "Not correct.", "It is not correct", "incorrect", "correct or wrong"]
)
def test_a_reply_that_does_not_obey_is_no_grade(reply: str) -> None:
    assert read_verdict(reply) is None


@pytest.mark.parametrize(
    ("reply", "grade"), [("Grade: correct", 1.0), ('"partly".', 0.5), ("The verdict is wrong", None)]
)
def test_a_labelled_or_quoted_grade_counts(reply: str, grade: float | None) -> None:
    assert read_verdict(reply) == grade

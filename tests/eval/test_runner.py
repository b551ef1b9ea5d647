import pytest

from eval.metrics import house_metrics
from eval.runner import RECORDS, run, run_general
from eval.style import Style
from eval.suite import GeneralItem
from groundtone.types import Question
from tests.eval.worlds import REFUSAL, Scripted, evidence_of, question, right, wrong

QUESTIONS = [question(i) for i in range(11)]
METRICS = house_metrics(Style(), None)


def ask(arms, out_dir, questions=QUESTIONS, **options):
    return run(
        {arm.name: arm for arm in arms}, questions, evidence=evidence_of, out_dir=out_dir, metrics=METRICS,
        batch_size=4, **options,
    )  # fmt: skip


def test_every_arm_and_item_has_one_record_in_order(tmp_path):
    seen = []
    records = ask([Scripted("a", right), Scripted("b", wrong)], tmp_path, progress=lambda *step: seen.append(step))
    assert [(r.arm, r.item_id) for r in records] == [(a, q.id) for a in "ab" for q in QUESTIONS]
    assert seen[-1] == ("b", 11, 11)
    by_key = {(r.arm, r.item_id): r for r in records}
    assert by_key["a", "q000"].scores["correct"].value == 1
    assert by_key["b", "q000"].scores["hallucination"].value == 1
    assert by_key["a", "q004"].scores["hallucination"].value is None
    assert by_key["a", "q004"].scores["refused_right"].value == 1


@pytest.mark.parametrize("cut", [0, 1, 3, 4, 6, 8, 11, 13])
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, cut):
    whole = ask([Scripted("a", right), Scripted("b", wrong)], tmp_path / "whole")
    expected = (tmp_path / "whole" / RECORDS).read_bytes()
    (tmp_path / "cut").mkdir()
    lines = expected.split(b"\n")
    (tmp_path / "cut" / RECORDS).write_bytes(b"\n".join([*lines[:cut], lines[cut][:40]]))
    arms = [Scripted("a", right), Scripted("b", wrong)]
    assert ask(arms, tmp_path / "cut") == whole
    assert (tmp_path / "cut" / RECORDS).read_bytes() == expected
    assert all(
        batch == [q.id for q in QUESTIONS[i : i + 4]]
        for arm in arms
        for batch in arm.asked
        for i in [QUESTIONS.index(next(q for q in QUESTIONS if q.id == batch[0]))]
    )


def test_a_finished_run_asks_nothing_again_and_a_changed_question_is_asked_again(tmp_path):
    ask([Scripted("a", right)], tmp_path)
    again = Scripted("a", right)
    ask([again], tmp_path)
    assert again.asked == []
    changed = [*QUESTIONS[:5], Question("q005", "Something else?"), *QUESTIONS[6:]]
    ask([again], tmp_path, changed)
    assert again.asked == [["q004", "q005", "q006", "q007"]]


def test_an_answerer_that_raises_costs_one_record_with_its_error(tmp_path):
    def script(asked):
        return RuntimeError("out of memory") if asked.id in ("q001", "q006") else right(asked)

    records = ask([Scripted("a", script)], tmp_path)
    failed = {r.item_id: r for r in records if r.error}
    assert sorted(failed) == ["q001", "q006"]
    assert failed["q001"].error == "RuntimeError: out of memory"
    assert failed["q001"].answer is None
    assert not failed["q001"].scores
    assert len(records) == len(QUESTIONS)


def test_answers_that_are_missing_or_swapped_are_errors(tmp_path):
    class Short(Scripted):
        def answer_many(self, questions):
            yield from list(super().answer_many(questions))[:-1]

    class Swapped(Scripted):
        def answer_many(self, questions):
            yield from super().answer_many(list(reversed(questions)))

    assert {r.error for r in ask([Short("a", right)], tmp_path / "a") if r.error} == {"a gave no answer"}
    swapped = ask([Swapped("b", right)], tmp_path / "b", QUESTIONS[:4])
    assert all(r.error.startswith(f"asked {r.item_id}, the answerer answered") for r in swapped)


def test_closed_book_answers_are_held_to_the_same_documents(tmp_path):
    (record,) = ask([Scripted("a", wrong, rag=False)], tmp_path, QUESTIONS[:1])
    assert record.answer is not None
    assert [claim.verdict for claim in record.answer.claims] == ["contradicted"]
    assert record.scores["citation_recall"].value is None


def test_two_questions_with_one_id_are_refused(tmp_path):
    with pytest.raises(ValueError, match="twice"):
        ask([Scripted("a", right)], tmp_path, [QUESTIONS[0], QUESTIONS[0]])


def test_general_items_are_scored_under_their_suite_and_nothing_else(tmp_path):
    items = [
        GeneralItem(
            "arithmetic", Question("g1", "What is 2 + 3?", kind="general"), (), {"type": "value", "values": [["5"]]}
        ),
        GeneralItem("admit", Question("g2", "Who?", kind="general"), ("The sea is wide.",), {"type": "refuse"}),
    ]
    arms = {
        "base": Scripted("base", lambda q: "It is 5." if "2 + 3" in q.text else REFUSAL),
        "tuned": Scripted("tuned", lambda q: "Ahoy"),
    }
    records = run_general(arms, items, out_dir=tmp_path)
    scores = {(r.arm, r.item_id): {n: s.value for n, s in r.scores.items() if s.value is not None} for r in records}
    assert scores == {
        ("base", "g1"): {"arithmetic": 1.0}, ("base", "g2"): {"admit": 1.0},
        ("tuned", "g1"): {"arithmetic": 0.0}, ("tuned", "g2"): {"admit": 0.0},
    }  # fmt: skip
    assert run_general(arms, items, out_dir=tmp_path) == records

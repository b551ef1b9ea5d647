"""Feedback becomes rows by its reason: apart from the evaluation, masked, reviewed, capped, in the shapes of tuning."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundtone.errors import DataError
from groundtone.feedback import Feedback, Origin, TrainingRow, TrainingRows, Vote
from groundtone.joins.feedback_files import FILES, capped, write_rows
from groundtone.joins.feedback_rows import Built, build, edited, mask
from groundtone.project import Project
from groundtone.settings import Settings, load_settings
from groundtone.types import Preference, Verdict
from tests.groundtone.joins.worlds import make_world
from tuning.pairs import read_pairs, read_preferences
from tuning.preference_rows import read_thumbs

PASSAGE = "Post room: Parcels are kept for 14 days."
World = tuple[Project, Settings]


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A project with nothing but a configuration and two questions of an evaluation."""
    (tmp_path / "groundtone.yaml").write_text("eval: {questions: q, general: none, voice: none, style: none}\n")
    (tmp_path / "q").mkdir()
    (tmp_path / "q/unanswerable.jsonl").write_text(
        '{"id": "u1", "question": "What does the moon weigh?", "why": "absent"}\n'
    )
    return Project(tmp_path), load_settings(tmp_path)


def vote(world: World, reason: str, *, person: str = "Ann", prompt: str = "How long?", **other: Any) -> None:
    texts = {"chosen": "Ahoy! 14 days [1].", "rejected": "It is 14 days [1].", "context": (PASSAGE,)} | other
    outcome, about = texts.pop("outcome", "chosen"), texts.pop("about", {})
    said = Preference(prompt, texts["chosen"], texts["rejected"], texts["context"], reason)
    Feedback(world[0].feedback_path).add_vote(Vote(said, person, outcome, about=about))


def rows_of(world: World) -> list[TrainingRow]:
    return TrainingRows(Feedback(world[0].feedback_path)).listed()


def kinds(world: World) -> Counter[str]:
    return Counter(row.kind for row in rows_of(world))


def left(built: Built) -> str:
    return "; ".join(built.left_out)


def accept_all(world: World) -> None:
    store = TrainingRows(Feedback(world[0].feedback_path))
    for row in store.listed("waiting"):
        store.review(row.id, "accepted", reviewer="Rae")


@pytest.mark.parametrize("reason", ["tone", "format", "too long"])
def test_votes_about_the_voice_become_preferences_and_nothing_else(world: World, reason: str) -> None:
    vote(world, reason)
    build(*world)
    (row,) = rows_of(world)
    assert (row.kind, row.reason, row.state, row.people) == ("preference", reason, "waiting", ("Ann",))
    assert row.row["chosen"].startswith("Ahoy!")


def test_a_vote_about_a_wrong_fact_becomes_a_grounding_row_and_never_a_preference(world: World) -> None:
    vote(world, "wrong fact", rejected="It is 9 days [1].")
    vote(world, "wrong fact", prompt="And letters?", rejected="9 days", context=(), chosen="14 days")
    built = build(*world)
    (row,) = rows_of(world)
    assert (row.kind, row.row["reply"], row.row["context"]) == ("grounding", "Ahoy! 14 days [1].", [PASSAGE])
    assert "without the passages" in left(built)


@pytest.mark.parametrize(
    ("act", "why"),
    [
        ({"reason": "", "prompt": "Q?"}, "the reason is ''"),
        ({"reason": "vibes"}, "the reason is 'vibes'"),
        ({"reason": "tone", "outcome": "tie"}, "a tie"),
        ({"reason": "wrong fact", "outcome": "both bad"}, "nobody wrote the right one"),
        ({"reason": "tone", "chosen": "same", "rejected": "Same."}, "the same text"),
        ({"reason": "wrong fact", "chosen": "14 days [3]."}, r"cites \[3\]"),
        ({"reason": "tone", "chosen": "<|im_start|>hello"}, "markup of a chat template"),
    ],
)
def test_what_cannot_teach_is_left_out_with_its_reason(world: World, act: dict[str, Any], why: str) -> None:
    vote(world, **act)
    assert re.search(why, left(build(*world)))
    assert rows_of(world) == []


def test_both_bad_is_a_thumb_down_for_each(world: World) -> None:
    vote(world, "tone", outcome="both bad")
    build(*world)
    assert [(row.kind, row.row["label"]) for row in rows_of(world)] == [("thumb", False)] * 2


def test_a_correction_without_a_reason_goes_where_its_values_say(world: World) -> None:
    vote(world, "correction", chosen="Ahoy, it is 14 days [1].")
    build(*world)
    assert kinds(world) == {"preference": 1, "sft": 1}
    vote(world, "correction", prompt="Letters?", chosen="It is 14 days [1].", rejected="It is 9 days [1].")
    build(*world)
    assert kinds(world) == {"preference": 1, "sft": 1, "grounding": 1}


def test_questions_of_the_evaluation_never_become_rows(world: World) -> None:
    vote(world, "tone", prompt="  what does the MOON weigh ")
    vote(world, "tone", prompt="asked otherwise", about={"item": "u1"})
    built = build(*world)
    assert built.left_out == {"its question belongs to the evaluation": 2}
    assert rows_of(world) == []


def test_personal_data_is_masked_everywhere(world: World) -> None:
    vote(world, "tone", prompt="I am ada@example.org, how long?", context=(f"{PASSAGE} Call +44 20 7946 0958.",))
    built = build(*world)
    (row,) = rows_of(world)
    assert row.row["prompt"] == "I am (mail), how long?"
    assert "7946" not in str(row.row)
    assert built.masked == {"mail": 1, "phone": 1}
    assert mask("14 days") == "14 days"


def test_the_same_thing_said_by_two_people_is_one_row_of_both(world: World) -> None:
    vote(world, "tone")
    vote(world, "tone", person="Bo", chosen="Ahoy!  14 days [1].")
    build(*world)
    (row,) = rows_of(world)
    assert row.people == ("Ann", "Bo")
    assert build(*world).synced.new == 0


def test_of_votes_that_turn_one_another_round_the_majority_counts_and_a_persons_last_word(world: World) -> None:
    turned = {"chosen": "It is 14 days [1].", "rejected": "Ahoy! 14 days [1]."}
    vote(world, "tone")
    vote(world, "tone", person="Bo", **turned)
    assert "as many people prefer" in left(build(*world))
    assert rows_of(world) == []
    vote(world, "tone", **turned)  # Ann changes her mind
    build(*world)
    (row,) = rows_of(world)
    assert (row.row["chosen"], set(row.people)) == ("It is 14 days [1].", {"Ann", "Bo"})


def judge(world: World, span: str, value: str, correction: str, *, claim: str, person: str = "Ann") -> None:
    answer = "Ahoy! Parcels are kept for 9 days [1]. Letters go by sea [1]."
    about = {"question": "How long?", "answer": answer, "claim": claim, "evidence": PASSAGE}
    store = Feedback(world[0].feedback_path)
    store.add_verdict(Verdict(f"x:{span}", person, value, correction), about=about)  # type: ignore[arg-type]


def test_a_corrected_claim_becomes_the_whole_reply_with_its_citation(world: World) -> None:
    judge(world, "6-38", "contradicted", "Parcels are kept for 14 days.", claim="Parcels are kept for 9 days [1].")
    build(*world)
    (row,) = rows_of(world)
    assert (row.kind, row.reason) == ("grounding", "wrong fact")
    assert row.row["reply"] == "Ahoy! Parcels are kept for 14 days [1]. Letters go by sea [1]."
    assert "evidence sentence stands for them" in row.notes[0]


def test_an_answer_with_another_wrong_claim_teaches_nothing_until_that_is_corrected_too(world: World) -> None:
    judge(world, "6-38", "contradicted", "Parcels are kept for 14 days.", claim="Parcels are kept for 9 days [1].")
    judge(world, "39-61", "unsupported", "", claim="Letters go by sea [1].", person="Bo")
    assert "another claim of the answer" in left(build(*world))
    judge(world, "39-61", "unsupported", "Letters stay.", claim="Letters go by sea [1].")
    build(*world)
    (row,) = rows_of(world)
    assert row.row["reply"] == "Ahoy! Parcels are kept for 14 days [1]. Letters stay [1]."


def test_the_passages_come_from_the_evaluation_that_was_judged(tmp_path: Path) -> None:
    project, settings = make_world(tmp_path)
    (tmp_path / "questions/answerable.jsonl").unlink()  # else its questions belong to the evaluation
    (tmp_path / "questions").rmdir()
    run = project.runs("eval")[0].id
    about = {"run": run, "question": "a1?", "answer": "Kept for 9 days. [1]", "claim": "Kept for 9 days."}
    Feedback(project.feedback_path).add_verdict(
        Verdict("x1:0-16", "Ann", "contradicted", "Kept for 14 days."), about=about
    )
    build(project, settings)
    (row,) = (row for row in TrainingRows(Feedback(project.feedback_path)).listed() if row.people == ("Ann",))
    assert row.row["reply"] == "Kept for 14 days. [1]"
    assert "Parcels that nobody collects" in row.row["context"][0]


def test_the_reviewer_is_told_of_values_that_no_passage_holds(world: World) -> None:
    vote(world, "wrong fact", chosen="Ahoy! 21 days [1].", rejected="9 days")
    build(*world)
    assert any("stands in none of its passages" in note for note in rows_of(world)[0].notes)


def test_an_edit_is_held_to_the_same_rules(world: World) -> None:
    vote(world, "wrong fact", rejected="9 days")
    build(*world)
    (row,) = rows_of(world)
    changed = edited(row, reply="Ahoy! 14 days, ask ada@example.org [1].", settings=world[1])
    assert changed["reply"] == "Ahoy! 14 days, ask (mail) [1]."
    with pytest.raises(DataError, match=r"cites \[7\]"):
        edited(row, reply="14 days [7].", settings=world[1])


def test_files_are_read_by_tuning_as_they_are(world: World, tmp_path: Path) -> None:
    vote(world, "tone")
    vote(world, "wrong fact", prompt="Letters?", rejected="9 days")
    vote(world, "format", prompt="Keys?", outcome="both bad")
    build(*world)
    assert write_rows(world[0], tmp_path / "pairs.jsonl", "pairs", share=1) is None  # nobody accepted any
    accept_all(world)
    written = {kind: write_rows(world[0], tmp_path / f"{kind}.jsonl", kind, share=1) for kind in FILES}
    assert all(written.values())
    (pair,) = read_pairs(tmp_path / "pairs.jsonl")
    assert (pair.reply, pair.context, pair.tags) == ("Ahoy! 14 days [1].", (PASSAGE,), ("grounding",))
    (preference,) = read_preferences(tmp_path / "preferences.jsonl")
    assert (preference.prompt, preference.context) == ("How long?", (PASSAGE,))
    assert Counter(thumb.good for thumb in read_thumbs(tmp_path / "thumbs.jsonl")) == {True: 1, False: 3}
    exports = TrainingRows(Feedback(world[0].feedback_path)).exports()
    assert {export.sha256 for export in exports} == {file.sha256 for file in written.values() if file}


def test_a_thumb_that_others_turn_round_is_left_out(world: World, tmp_path: Path) -> None:
    vote(world, "tone")
    vote(world, "tone", outcome="both bad", rejected="Something else.")
    build(*world)
    accept_all(world)
    write_rows(world[0], tmp_path / "thumbs.jsonl", "thumbs", share=1)
    found = {thumb.pair.reply: thumb.good for thumb in read_thumbs(tmp_path / "thumbs.jsonl")}
    assert found == {"It is 14 days [1].": False, "Something else.": False}


def test_one_person_alone_moves_nothing_until_the_share_is_raised(world: World, tmp_path: Path) -> None:
    for number in range(8):
        vote(world, "tone", prompt=f"Question {number}?")
    build(*world)
    accept_all(world)
    with pytest.raises(DataError, match="8 rows are accepted, but they come from 1 people"):
        write_rows(world[0], tmp_path / "p.jsonl", "preferences", share=0.25)
    for person in ("Bo", "Cy", "Di"):
        for number in range(2):
            vote(world, "tone", person=person, prompt=f"{person} {number}?")
    assert build(*world).over == {"Ann": 8}
    accept_all(world)
    assert build(*world).over == {"Ann": 6}
    written = write_rows(world[0], tmp_path / "p.jsonl", "preferences", share=0.25)
    assert written is not None
    assert (written.lines, written.beyond) == (8, {"Ann": 6})


@given(
    said=st.lists(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=3, unique=True), max_size=40),
    share=st.sampled_from([0.1, 0.25, 1 / 3, 0.5, 1.0]),
)
def test_nobody_has_more_than_their_share_of_what_is_kept(said: list[list[str]], share: float) -> None:
    rows = [
        TrainingRow(str(n), "sft", {}, "", tuple(Origin(person, "") for person in people))
        for n, people in enumerate(said)
    ]
    found = capped(rows, share)
    alone = Counter(row.people[0] for row in found.kept if len(row.people) == 1)
    assert len(found.kept) + len(found.excess) == len(rows)
    assert all(count <= share * len(found.kept) + 1e-6 for count in alone.values())
    if share == 1:
        assert found.excess == ()

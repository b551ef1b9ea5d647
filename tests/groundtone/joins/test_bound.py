"""Choosing where to refuse, over a small project of its own and the bundled reader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from groundtone import pipeline
from groundtone.cli.main import app
from groundtone.errors import IntegrityError, ProjectError
from groundtone.joins.bound import RECORD, read_advice
from groundtone.project import Project
from groundtone.settings import Settings, load_settings

ROOMS = ("Ash", "Birch", "Cedar", "Elm", "Fir", "Hazel", "Larch", "Maple")
PEOPLE = ("Ada Finch", "Bo Crane", "Cy Wren", "Di Swift", "Ed Heron", "Fay Lark", "Gus Rook", "Ivy Dove")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Settings]:
    """Eight rooms, a document each; who runs a room and how many it seats can be asked, what it costs cannot."""
    root = tmp_path_factory.mktemp("rooms")
    (root / "docs").mkdir()
    answerable: list[dict[str, Any]] = []
    unanswerable: list[dict[str, Any]] = []
    for n, (room, who) in enumerate(zip(ROOMS, PEOPLE, strict=True)):
        text = f"{who} runs the {room} room. The {room} room seats {12 + n} people."
        (root / f"docs/{room.lower()}.md").write_text(f"# The {room} room\n\n{text}\n")
        source = f"{room.lower()}.md"
        answerable += [
            {"id": f"w{n}", "question": f"Who runs the {room} room?", "values": [[who]],
             "quotes": [[source, f"{who} runs the {room} room."]]},
            {"id": f"s{n}", "question": f"How many people does the {room} room seat?", "values": [[str(12 + n)]],
             "quotes": [[source, f"The {room} room seats {12 + n} people."]]},
        ]  # fmt: skip
        unanswerable += [
            {"id": f"c{n}", "question": f"Who cleans the {room} room?", "why": "absent"},
            {"id": f"p{n}", "question": f"What does the {room} room cost per day?", "why": "absent"},
        ]
    both = {
        "id": "both", "question": "Who runs the Ash room, and how many people does the Elm room seat?",
        "values": [["Ada Finch"], ["15"]], "quotes": [["ash.md", "Ada Finch runs the Ash room."]],
    }  # fmt: skip
    (root / "questions").mkdir()
    for name, rows in (("answerable", [*answerable, both]), ("unanswerable", unanswerable)):
        (root / f"questions/{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (root / "groundtone.yaml").write_text(
        yaml.safe_dump(
            {"documents": {"folder": "docs"}, "model": {"id": "extractive"}, "eval": {"questions": "questions"}}
        )
    )
    project, settings = Project(root), load_settings(root)
    pipeline.index(project, settings)
    return project, settings


def test_every_question_is_answered_whatever_the_bound_in_use(made: tuple[Project, Settings]) -> None:
    project, settings = made
    strict = load_settings(project.root, ["assistant.min_answer=1000"])
    advice, left_out = pipeline.bound(project, strict)
    assert left_out == 1  # the question for two things, whose parts are refused one by one
    assert (advice.current.bound, advice.current.wrongly_refused.mean) == (1000, 1)
    lowest = min(advice.points, key=lambda point: point.bound)
    assert (lowest.right.mean or 0) > 0.8
    assert (lowest.right.n, lowest.rightly_refused.n) == (16, 16)
    assert advice.suited is not None
    assert (advice.gain.low or 0) > 0
    again, _ = pipeline.bound(project, settings)
    assert [point.right for point in again.points] == [point.right for point in advice.points]


def test_the_bound_that_was_chosen_is_the_one_that_the_assistant_then_keeps(made: tuple[Project, Settings]) -> None:
    """What is said of a bound holds for an assistant with it: the table is no other measure than the real path."""
    project, settings = made
    advice, _ = pipeline.bound(project, settings)
    assert advice.suited is not None
    kept = load_settings(project.root, [f"assistant.min_answer={advice.suited.bound}"])
    asker = pipeline.assistant(project, kept, arm="extractive/rag", check=False)
    refused = [asker.ask(f"Who cleans the {room} room?").refused for room in ROOMS]
    refused += [asker.ask(f"What does the {room} room cost per day?").refused for room in ROOMS]
    assert sum(refused) / 16 == pytest.approx(advice.suited.rightly_refused.mean)


def test_the_record_is_kept_and_a_damaged_one_is_said_to_be(made: tuple[Project, Settings]) -> None:
    project, settings = made
    advice, _ = pipeline.bound(project, settings)
    path = project.folder / RECORD
    kept = read_advice(path)
    assert kept is not None
    assert kept["arm"] == "extractive/rag"
    assert kept["current"]["right"]["n"] == advice.current.right.n
    path.write_text("{")
    with pytest.raises(IntegrityError, match="run `groundtone bound` again"):
        read_advice(path)
    path.unlink()
    assert read_advice(path) is None


@pytest.mark.parametrize(
    ("overrides", "arm", "said"),
    [
        ([], "base/closed", "name one that ends in /rag"),
        (["assistant.reader=null"], "extractive/rag", "nobody says how well a passage answers"),
        (["eval.questions=questions/answerable.jsonl"], "extractive/rag", "that the documents do not answer"),
    ],
)
def test_where_no_bound_applies_it_says_why(
    made: tuple[Project, Settings], overrides: list[str], arm: str, said: str
) -> None:
    project, _ = made
    with pytest.raises(ProjectError, match=said):
        pipeline.bound(project, load_settings(project.root, overrides), arm=arm)


def test_the_command_shows_the_table_and_the_line_to_write(made: tuple[Project, Settings]) -> None:
    project, _ = made
    done = CliRunner().invoke(app, ["bound", "--project", str(project.root), "--set", "assistant.min_answer=-99"])
    assert done.exit_code == 0, done.output
    assert "wrongly refused" in done.output
    assert "  min_answer: " in done.output
    assert "16 questions with an answer, 16 without; 1 left out" in done.output


def test_without_enough_wrong_answers_nothing_is_chosen_and_the_exit_code_says_so(
    made: tuple[Project, Settings], tmp_path: Path
) -> None:
    project, _ = made
    rows = (project.root / "questions/answerable.jsonl").read_text().splitlines()[:6]
    few = tmp_path / "questions"
    few.mkdir()
    (few / "answerable.jsonl").write_text("\n".join(rows) + "\n")
    (few / "unanswerable.jsonl").write_text('{"id": "u", "question": "What does the moon weigh?", "why": "absent"}\n')
    done = CliRunner().invoke(app, ["bound", "--project", str(project.root), "--questions", str(few), "--json"])
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert told["suited"] is None
    assert "at least 5 of each are needed" in told["reason"]

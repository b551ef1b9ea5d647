"""The pipeline on a project of its own with a scripted voice: what it writes, what it refuses, what it finds again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from eval.summary import read_summary
from groundtone import pipeline
from groundtone.errors import DataError, IntegrityError, ProjectError
from groundtone.files import write_atomic
from groundtone.project import Project
from groundtone.settings import Settings, load_settings
from groundtone.types import Estimate

QUESTIONS = [
    {"id": "a1", "question": "How long are parcels kept?", "values": [["14 days"]],
     "quotes": [["post.md", "Parcels are kept for 14 days."]]},
    {"id": "a2", "question": "Who runs the post room?", "values": [["Ada Finch"]],
     "quotes": [["post.md", "Ada Finch runs the post room."]]},
]  # fmt: skip
CHANGED = [
    {"id": "c1", "question": "How long are letters kept?", "values": [["3 days"]], "changed_values": [["9 days"]],
     "quotes": [["post.md", "Letters are kept for 3 days."]], "changed_quote": "Letters are kept for 9 days."},
]  # fmt: skip
UNANSWERABLE = [{"id": "u1", "question": "What does the moon weigh?", "why": "absent"}]
GENERAL = [{"id": "g1", "suite": "talk", "prompt": "Hello", "check": {"type": "any_of", "values": ["hello"]}}]


def lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Settings]:
    """An indexed project whose model always claims the same."""
    root = tmp_path_factory.mktemp("project")
    (root / "docs").mkdir()
    (root / "docs/post.md").write_text(
        "# Post room\n\nParcels are kept for 14 days. Letters are kept for 3 days. Ada Finch runs the post room.\n"
    )
    lines(root / "questions/answerable.jsonl", QUESTIONS)
    lines(root / "questions/changed.jsonl", CHANGED)
    lines(root / "questions/unanswerable.jsonl", UNANSWERABLE)
    lines(root / "general/talk.jsonl", GENERAL)
    config = {
        "documents": {"folder": "docs"},
        "model": {"id": "scripted:Parcels are kept for 14 days [1]."},
        "tuning": {"data": "none.jsonl"},
        "eval": {
            "questions": "questions",
            "general": "general",
            "voice": "none.jsonl",
            "style": "none.yaml",
            "resamples": 200,
        },
    }
    (root / "groundtone.yaml").write_text(yaml.safe_dump(config))
    project, settings = Project(root), load_settings(root)
    assert pipeline.index(project, settings).read == 1
    return project, settings


@pytest.fixture(scope="module")
def evaluated(made: tuple[Project, Settings]) -> dict[str, Any]:
    """The summary of an evaluation without anything tuned."""
    project, settings = made
    run = pipeline.evaluate(project, settings)
    assert run.manifest.status == "done"
    return read_summary(run.path)


def value(summary: dict[str, Any], arm: str, metric: str) -> tuple[float | None, int]:
    estimate = summary["arms"][arm][metric]
    return estimate["mean"], estimate["n"]


def test_without_a_tuned_model_the_base_and_the_quoting_row_are_measured(evaluated: dict[str, Any]) -> None:
    assert list(evaluated["arms"]) == ["base/closed", "base/rag", "extractive/rag"]
    assert evaluated["tuned_run"] is None
    assert evaluated["gate"]["verdict"] == "CANNOT TELL"


def test_arms_are_scored_by_what_they_said(evaluated: dict[str, Any]) -> None:
    assert value(evaluated, "base/rag", "correct") == (0.5, 2)
    assert value(evaluated, "extractive/rag", "correct") == (1.0, 2)
    assert value(evaluated, "base/rag", "hallucination")[0] == 0.0


def test_a_changed_document_is_followed_by_quoting_and_not_by_a_fixed_reply(evaluated: dict[str, Any]) -> None:
    assert value(evaluated, "extractive/rag", "follows_change") == (1.0, 1)
    assert value(evaluated, "base/rag", "follows_change") == (0.0, 1)


def test_the_changed_document_never_reaches_the_index(
    made: tuple[Project, Settings], evaluated: dict[str, Any]
) -> None:
    with pipeline.open_index(*made) as index:
        assert all("9 days" not in passage.text for passage in index.passages())


def test_a_question_about_nothing_in_the_documents_is_refused_before_the_model_is_asked(
    made: tuple[Project, Settings], evaluated: dict[str, Any]
) -> None:
    assert value(evaluated, "base/rag", "refused_right") == (1.0, 1)
    answer = pipeline.assistant(*made, arm="base/rag").ask("What does the moon weigh?")
    assert answer.refused_by == "reader"
    unread = load_settings(made[0].root, ["assistant.reader=null"])
    assert (
        pipeline.assistant(made[0], unread, arm="base/rag").ask("What does the moon weigh?").refused_by == "retrieval"
    )


def test_gate_reads_the_decision_back_as_it_was_made(made: tuple[Project, Settings], evaluated: dict[str, Any]) -> None:
    decision = pipeline.gate(made[0])
    assert decision.verdict == evaluated["gate"]["verdict"]
    assert [c.name for c in decision.checks] == [c["name"] for c in evaluated["gate"]["checks"]]
    assert all(c.estimate is None or isinstance(c.estimate, Estimate) for c in decision.checks)


def test_only_a_pass_is_promoted(made: tuple[Project, Settings], evaluated: dict[str, Any]) -> None:
    with pytest.raises(ProjectError, match="only a PASS"):
        pipeline.promote(made[0], run=evaluated["run"])
    assert made[0].champion() is None


def test_the_champion_is_the_base_until_something_is_promoted(made: tuple[Project, Settings]) -> None:
    assert pipeline.assistant(*made).name == "base/rag"


def test_a_tuned_arm_without_a_tuned_model_says_what_to_run(made: tuple[Project, Settings]) -> None:
    with pytest.raises(ProjectError, match="groundtone tune"):
        pipeline.assistant(*made, arm="tuned/rag")


def test_a_damaged_summary_is_named_and_not_believed(made: tuple[Project, Settings]) -> None:
    project, settings = made
    run = pipeline.evaluate(project, settings, limit=1)
    write_atomic(run.path / "summary.json", "{half")
    with pytest.raises(IntegrityError, match=run.id):
        pipeline.gate(project, run=run.id)


def test_nothing_to_ask_is_an_error_and_a_failed_run(made: tuple[Project, Settings]) -> None:
    project, settings = made
    empty = load_settings(settings.root, ["eval.questions=absent", "eval.general=absent"])
    with pytest.raises(DataError, match="nothing to ask"):
        pipeline.evaluate(project, empty)
    assert project.runs("eval")[0].status == "failed"

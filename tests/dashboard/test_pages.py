"""Each page under Streamlit's own test harness: full, empty and broken projects; a click lands in the store."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from streamlit.testing.v1 import AppTest

from dashboard import cache
from dashboard.config import APP
from dashboard.measures import ARM_NAMES
from groundtone.feedback import Feedback
from groundtone.project import Project, write_atomic
from tests.dashboard.fixtures import ODD, summary, write_summary
from tests.dashboard.test_worker import FAKE

FILLED_BY = {  # page -> the command that its empty state names
    "overview": "groundtone eval",
    "hallucinations": "groundtone eval",
    "chat": "groundtone index",
    "forgetting": "groundtone eval",
    "tone": "groundtone eval",
    "retrieval": "groundtone index",
    "training": "groundtone tune",
    "data": "groundtone data report",
}
PAGES = tuple(FILLED_BY)


@pytest.fixture(autouse=True)
def fresh_caches(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test starts its own chat worker, and none is left behind."""
    monkeypatch.setattr(cache, "chat_command", lambda root: FAKE)
    yield
    cache.chat_worker.clear()


def open_page(root: Path, page: str, monkeypatch: pytest.MonkeyPatch, **query: str) -> AppTest:
    """The page of a project, run once."""
    monkeypatch.setattr(sys, "argv", ["app.py", "--project", str(root)])
    app = AppTest.from_file(str(APP), default_timeout=30)
    for key, value in query.items():
        app.query_params[key] = value
    app.run()
    if page != "overview":
        app.switch_page(f"screens/{page}.py")
        app.run()
    return app


def html(app: AppTest) -> str:
    """All HTML of the page."""
    return "\n".join(element.proto.body for element in app.get("html"))


def text(app: AppTest) -> str:
    """What a reader sees of the page's HTML."""
    return unescape(re.sub(r"<[^>]*>", " ", html(app)))


def store(root: Path) -> Feedback:
    """The project's feedback."""
    return Feedback(Project(root).feedback_path)


def test_overview_shows_the_decision_its_grid_and_its_charts(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_page(project, "overview", monkeypatch)
    assert not app.exception
    said = text(app)
    for expected in (
        "HOLD",
        "forgetting: instructions",
        "Can I ship this?",
        "71 %",
        "Base told the style",
        "0 human verdicts",
    ):
        assert expected in said
    assert html(app).count('<table class="gt-table gt-forest">') == 1
    app.segmented_control(key="metric").set_value("tone").run()
    assert not app.exception
    assert "sounds like the house voice" in text(app)


def test_each_cell_links_to_its_own_queue(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_page(project, "overview", monkeypatch)
    asked = [parse_qs(link.proto.query_string) for link in app.get("page_link")]
    assert {query["arm"][0] for query in asked if "arm" in query} == set(ARM_NAMES.values())


def test_a_verdict_lands_in_the_store_moves_on_and_can_be_undone(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = open_page(project, "hallucinations", monkeypatch)
    assert not app.exception
    assert "0 of 24 judged" in text(app)
    app.text_input(key="person").set_value("Ann").run()
    app.text_area[0].set_value("It is 95 km.").run()
    app.button(key="say-contradicted").click().run()
    assert not app.exception
    (judged,) = store(project).judged()
    assert (judged.verdict.person, judged.verdict.value) == ("Ann", "contradicted")
    assert judged.verdict.correction == "It is 95 km."
    assert (judged.about["arm"], judged.about["detector"]) == ("tuned/rag", "contradicted")
    assert "1 of 24 judged" in text(app)
    assert app.session_state["queue"]["selection"]["rows"] == [1]
    app.button(key="undo").click().run()
    assert store(project).judged() == []
    assert app.session_state["queue"]["selection"]["rows"] == [0]
    assert "0 of 24 judged" in text(app)


def test_a_second_verdict_keeps_the_correction_and_undo_says_what_it_takes_back(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = open_page(project, "hallucinations", monkeypatch)
    app.text_area[0].set_value("It is 95 km.").run()
    app.button(key="say-contradicted").click().run()
    assert app.text_area[0].value == ""
    app.button(key="previous").click().run()
    assert app.text_area[0].value == "It is 95 km."
    app.button(key="say-unsupported").click().run()
    assert [(v.value, v.correction) for v in store(project).verdicts()] == [("unsupported", "It is 95 km.")]
    app.selectbox(key="arm").set_value("base/closed").run()
    app.button(key="undo").click().run()
    assert [v.value for v in store(project).verdicts()] == ["contradicted"]
    assert "Taken back\\: unsupported" in app.toast[0].value
    app.button(key="undo").click().run()
    app.button(key="undo").click().run()
    assert "no verdict to take back" in app.toast[0].value
    assert store(project).verdicts() == []


def test_a_correction_of_the_evaluation_is_promised_no_training_row(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = open_page(project, "hallucinations", monkeypatch)
    assert "becomes a training row" in app.text_area[0].label
    asked = [{"id": f"q{n:03}", "question": f"Question {n}?", "why": "nobody says"} for n in range(24)]
    write_atomic(project / "unanswerable.jsonl", "".join(json.dumps(one) + "\n" for one in asked))
    write_atomic(project / "groundtone.yaml", "eval:\n  questions: unanswerable.jsonl\n")
    cache._asked.clear()
    app = open_page(project, "hallucinations", monkeypatch)
    assert "never trained on" in app.text_area[0].label


def test_judging_every_claim_ends_with_kappa_and_no_error(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_page(project, "hallucinations", monkeypatch)
    for number in range(25):
        app.button(key="say-supported" if number % 3 else "say-unsupported").click().run()
    assert not app.exception
    assert "24 of 24 judged" in text(app)
    assert "κ" in text(app)


def test_filters_narrow_the_queue_and_an_empty_one_says_so(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_page(project, "hallucinations", monkeypatch)
    app.button(key="next").click().run()
    app.segmented_control(key="says").set_value(["supported"]).run()
    assert not app.exception
    assert set(app.dataframe[0].value[""]) == {"✓"}
    app.segmented_control(key="says").set_value(["unchecked"]).run()
    assert "Widen the filter" in text(app)


def test_odd_text_is_shown_as_text(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_page(project, "hallucinations", monkeypatch)
    app.selectbox(key="arm").set_value("all").run()
    claims = list(app.dataframe[0].value["Claim"])
    at = next(i for i, claim in enumerate(claims) if "🚲" in claim)
    app.session_state["queue"] = {"selection": {"rows": [at], "columns": [], "cells": []}}
    app.run()
    assert not app.exception
    assert ODD in unescape(html(app))
    assert "<script" not in html(app)
    assert "<b>really" not in html(app)


@pytest.mark.parametrize("page", PAGES)
def test_nothing_there_is_explained_with_its_command(
    tmp_path: Path, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for root, said in ((tmp_path / "gone", "no such folder"), (tmp_path, "not a project yet")):
        app = open_page(root, page, monkeypatch)
        assert not app.exception
        assert said in text(app)
        assert "groundtone d" in text(app)
    (tmp_path / "groundtone.yaml").touch()
    app = open_page(tmp_path, page, monkeypatch)
    assert not app.exception
    assert FILLED_BY[page] in text(app) or page == "data"
    assert [path.name for path in tmp_path.iterdir()] == ["groundtone.yaml"]  # looking changes nothing


@pytest.mark.parametrize("page", PAGES)
def test_broken_runs_are_explained_beside_a_good_one(project: Path, page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Project(project)
    found.start_run("eval")
    done = found.start_run("eval")
    write_atomic(done.path / "summary.json", "{")
    done.finish()
    app = open_page(project, page, monkeypatch)
    assert not app.exception
    assert "HOLD" in text(app)
    if page not in ("hallucinations", "forgetting", "tone"):
        assert "is still running" in text(app)
        assert "not valid JSON" in text(app)


@pytest.mark.parametrize("page", ["overview", "forgetting"])
def test_what_an_untuned_evaluation_lacks_is_a_tuning_run(
    project: Path, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Documents come before a voice: nobody is told to measure a run that there is not."""
    where = Project(project)
    with where.start_run("eval", device="cpu") as run:
        told = summary(run.id, "") | {"tuned_run": None, "forgetting": [], "differences": []}
        write_summary(run.path, told | {"arms": {"base/rag": told["arms"]["base/rag"]}})
        (run.path / "records.jsonl").touch()
    app = open_page(project, page, monkeypatch, run=run.id)
    assert not app.exception
    commands = [str(block.value) for block in app.code]
    assert "groundtone tune" in " ".join([*commands, text(app)])
    assert "not tuned" not in " ".join(commands)
    assert "groundtone strength" not in text(app)


@pytest.mark.parametrize("page", ["overview", "hallucinations", "forgetting", "tone"])
def test_a_run_that_is_deleted_while_it_is_shown_is_explained(
    project: Path, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = open_page(project, page, monkeypatch)
    shutil.rmtree(Project(project).runs_folder)
    app.run()
    assert not app.exception
    assert "There is no finished evaluation yet" in text(app)


@pytest.mark.parametrize("page", PAGES)
def test_hostile_text_of_100_kb_is_shown_as_text_on_every_page(
    project: Path, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = Project(project).runs("eval")[0]
    path = Project(project).run_path(records.id) / "records.jsonl"
    hostile = "<script>alert(1)</script> **b** $x^2$ [1] שלום 🚲 " * 2000
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for line in lines[:24]:  # four questions under each arm
        line["question"]["text"] = hostile[:5000]
        line["answer"]["text"] = hostile
        line["answer"]["claims"][0] |= {"text": hostile, "start": 0, "end": len(hostile), "why": hostile[:500]}
        line["scores"]["format"] = {"value": 0.0, "why": "does not open with '<script>'"}
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    app = open_page(project, page, monkeypatch)
    assert not app.exception
    assert "<script" not in html(app)
    labels = [str(block.label) for block in app.expander] + [str(button.label) for button in app.button]
    assert not any(re.search(r"(?<!\\)(\$x|\*\*b)", label) for label in labels)


def test_an_evaluation_without_records_says_so(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Project(project)
    (found.run_path(found.runs("eval")[0].id) / "records.jsonl").unlink()
    for page in ("overview", "hallucinations"):
        app = open_page(project, page, monkeypatch)
        assert not app.exception
    assert "no claims to judge" in text(app)


def test_a_chat_answers_cites_and_stores_one_vote(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_page(project, "chat", monkeypatch)
    app.chat_input[0].set_value("How long does delivery take? <script> $x$").run()
    assert not app.exception
    assert text(app).count("delivery.md") == 2
    assert "hidden until you vote" in text(app)
    assert "<script" not in html(app)
    app.get("button_group")[0].set_value("tone").run()
    app.button(key="vote-A-0").click().run()
    (vote,) = store(project).votes()
    assert (vote.outcome, vote.person, vote.preference.reason) == ("chosen", "reviewer", "tone")
    assert vote.preference.chosen != vote.preference.rejected
    assert "You chose A" in text(app)
    assert "hidden until you vote" not in text(app)


def test_a_chat_worker_that_dies_is_explained_and_started_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_page(project, "chat", monkeypatch)
    app.chat_input[0].set_value("die").run()
    assert not app.exception
    assert "out of memory" in text(app)
    app.chat_input[0].set_value("How long?").run()
    assert "delivery.md" in text(app)

"""What pages show, without Streamlit: figures as evaluated, text escaped, problems explained."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from dashboard import costs, forest, marks, measures, runs, views, why
from dashboard.config import DashboardConfig, project_folder
from groundtone.project import Project, write_atomic
from groundtone.types import Estimate
from tests.dashboard.fixtures import ARMS, build_project, est, summary, write_summary

ROOT = Path(__file__).parents[2]
METRIC = measures.METRICS["hallucination"]


def text_of(html: str) -> str:
    """What a reader sees of an HTML string."""
    return unescape(re.sub(r"<[^>]*>", "", html))


def test_views_do_not_import_streamlit() -> None:
    code = (
        "import sys, dashboard.views, dashboard.forest, dashboard.review, dashboard.claims, dashboard.why,"
        " dashboard.costs, dashboard.trusting, dashboard.chatting, dashboard.worker,"
        " dashboard.config; assert not {'streamlit', 'torch', 'pandas', 'altair'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_every_character_of_an_answer_survives_marking_and_none_becomes_markup() -> None:
    dice = random.Random(3)
    alphabet = "ab <>&\"'$\\`[1]🚲שלום\n."
    for _ in range(300):
        text = "".join(dice.choice(alphabet) for _ in range(dice.randrange(1, 60)))
        spans = [sorted((dice.randrange(-2, 65), dice.randrange(-2, 65))) for _ in range(4)]
        claims: list[dict[str, Any]] = [
            {"start": a, "end": b, "verdict": dice.choice([*marks.LOOKS, "odd<"])} for a, b in spans
        ]
        html = marks.answer_html(text, claims, selected=(spans[0][0], spans[0][1]))
        bare = re.sub(r'<b class="gt-icon"[^>]*>[^<]*</b>', "", html)
        assert text_of(bare) == re.sub(r"\[(\d+)\]", r"\1", text)
        tags = set(re.findall(r"<(\w+)", html))
        assert tags <= {"div", "mark", "b", "sup", "span"}


def test_a_passage_marks_its_sentence_and_nothing_else() -> None:
    html = marks.passage_html("One <b>. Two.", (9, 13))
    assert text_of(html) == "One <b>. Two."
    assert '<mark class="gt-sentence">Two.</mark>' in html
    assert "<mark" not in marks.passage_html("short", (2, 99))


def test_evaluations_are_read_as_written(tmp_path: Path) -> None:
    run_id = build_project(tmp_path / "p")
    found = runs.load_evaluations(tmp_path / "p")
    assert [run.id for run in found.runs] == [run_id]
    assert found.problems == ()
    assert found.candidates()[0].startswith("tune-")
    records = runs.read_records(found.runs[0].path)
    assert (len(records.rows), records.skipped) == (24 * len(ARMS), 0)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("{", "not valid JSON"),
        ("[]", "not an object"),
        ('{"schema": 99}', "newer groundtone"),
        ('{"schema": null}', "schema None"),
        ('{"schema": 1}', "incomplete"),
        ('{"schema": 1, "arms": {"base/rag": 3}}', "incomplete"),
        (None, "missing"),
    ],
)
def test_a_broken_summary_is_explained(tmp_path: Path, broken: str | None, said: str) -> None:
    run_id = build_project(tmp_path)
    path = Project(tmp_path).run_path(run_id) / "summary.json"
    path.unlink()
    if broken is not None:
        write_atomic(path, broken)
    found = runs.load_evaluations(tmp_path)
    assert found.runs == ()
    assert said in found.problems[0].why
    assert found.problems[0].command == "groundtone eval"


def test_unfinished_and_foreign_runs_are_explained(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.start_run("eval")
    project.start_run("eval").fail("out of memory")
    (project.runs_folder / "notes.txt").write_text("mine")
    said = " ".join(f"{p.title} {p.why}" for p in runs.load_evaluations(tmp_path).problems)
    assert "is still running" in said
    assert "out of memory" in said
    assert "notes.txt" in said


def test_a_cut_off_line_of_records_is_counted(tmp_path: Path) -> None:
    build_project(tmp_path, items=2)
    path = runs.load_evaluations(tmp_path).runs[0].path
    with (path / "records.jsonl").open("a") as lines:
        lines.write('{"item_id": "q9", "arm": "ba')
    found = runs.read_records(path)
    assert (len(found.rows), found.skipped) == (2 * len(ARMS), 1)


def test_any_summary_gives_some_page_and_never_an_exception() -> None:
    dice = random.Random(5)
    junk: list[Any] = [None, 0, -1, "x", [], {}, [1], {"mean": "x"}, float("nan"), True]
    shown = 0
    for _ in range(400):
        broken = json.loads(json.dumps(summary("e", "t")))
        _spoil(broken, dice, junk)
        if runs.summary_problem(broken):
            continue
        assert "<" in views.banner_html(broken)
        views.failures(broken)
        why.causes(broken)
        for metric in measures.METRICS.values():
            views.cell_html(broken, "tuned/rag", metric)
            views.tile_html(broken, metric)
            forest.forest_html({"": views.difference_lines(broken, metric.key)}, forest.Scale("better"))
        forest.forest_html(costs.suite_lines(broken), forest.Scale("better"), columns=costs.COLUMNS)
        shown += 1
    assert shown > 50, "most spoiled summaries are still shown"


def _spoil(value: Any, dice: random.Random, junk: list[Any]) -> None:
    """Replace a few random places of nested JSON by junk."""
    for _ in range(dice.randrange(1, 6)):
        at = value
        while True:
            key = dice.choice(list(at) if isinstance(at, dict) else range(len(at)))
            if isinstance(at[key], (dict, list)) and at[key] and dice.random() < 0.8:
                at = at[key]
                continue
            at[key] = dice.choice(junk)
            break


@pytest.mark.parametrize("verdict", ["PASS", "HOLD", "CANNOT TELL"])
def test_the_banner_names_the_verdict_and_the_open_checks(verdict: str) -> None:
    said = text_of(views.banner_html(summary("e", "t", verdict=verdict)))
    assert said.lstrip("✓✕?").startswith(verdict)
    assert ("forgetting: instructions" in said) == (verdict == "HOLD")
    assert "forgetting: conversation" in said


def test_failed_questions_are_named_with_their_first_error() -> None:
    counts = {"asked": 80, "errors": 3, "first_error": "out of memory"}
    (line,) = views.failures({"coverage": {"tuned/rag": counts, "base/rag": counts | {"errors": 0}}})
    assert "3 of 80" in line
    assert "out of memory" in line


def test_a_cell_shows_value_interval_and_n() -> None:
    said = text_of(views.cell_html(summary("e", "t"), "base/rag", METRIC))
    assert ("24 %" in said, "17 – 31 %" in said, "n 80" in said) == (True, True, True)
    assert "not measured" in text_of(views.cell_html({"arms": {}}, "base/rag", METRIC))


def test_a_change_is_only_called_better_or_worse_when_its_interval_says_so() -> None:
    tone = measures.METRICS["tone"]
    assert measures.change_word(METRIC, Estimate(-0.2, -0.3, -0.1, 9)) == "better"
    assert measures.change_word(tone, Estimate(-0.2, -0.3, -0.1, 9)) == "worse"
    assert measures.change_word(tone, Estimate(0.2, -0.1, 0.5, 9)) == "no clear change"
    assert measures.change_word(tone, Estimate(0.2, None, None, 9)) == "no clear change"


def test_the_forest_draws_every_row_on_one_scale_with_its_figures_beside_it() -> None:
    lines = views.difference_lines(summary("e", "t"), "correct")
    assert [line.name for line in lines][:2] == ["Tuning, with documents", "Documents, once tuned"]
    html = forest.forest_html({"<b>": lines}, forest.Scale("better →"))
    assert "<b>" not in html.replace('<b class="gt-point', "")
    places = [float(p) for p in re.findall(r"(?:left|width):(-?[\d.]+)%", html)]
    assert all(0 <= place <= 100 for place in places)
    assert html.count("gt-point gt-open") == sum(not forest.Scale("").clear(line.value) for line in lines)
    assert "+19" in text_of(html)
    assert "+11 to +27" in text_of(html)


def test_a_forest_of_nothing_is_empty_and_of_one_point_still_has_a_scale() -> None:
    assert forest.forest_html({}, forest.Scale("x")) == ""
    alone = forest.forest_html({"": [forest.Line("one", Estimate(0.0, None, None, 3))]}, forest.Scale("x"))
    assert "no interval" in alone
    assert "nan" not in alone


def test_a_check_speaks_in_points() -> None:
    why_text = "tuned against base -0.07 [-0.11, -0.02] n=338 over the suites: it is worse, and by 0.1 is not ruled out"
    check = {"name": "skills", "verdict": "fail", "why": why_text, "estimate": est(-0.065, 0.04, 338), "margin": 0.1}
    said = text_of(views.check_html(check))
    assert "−6.5 points [−11, −2.5], n 338 over the suites" in said
    assert "by 10 points is not ruled out" in said
    assert "no figures here" in text_of(views.check_html(check | {"why": "no figures here"}))


def test_differences_of_two_evaluations_do_not_mix(tmp_path: Path) -> None:
    first = build_project(tmp_path, items=2)
    second = build_project(tmp_path, items=2)
    other = summary(second, "elsewhere")
    other["arms"]["tuned/rag"]["hallucination"] = est(0.5, 0.1, 10)
    write_summary(Project(tmp_path).run_path(second), other)
    found = runs.load_evaluations(tmp_path)
    assert {run.id for run in found.runs} == {first, second}
    assert [run.id for run in found.of("elsewhere")] == [second]


def test_points_and_percent_write_small_and_large_figures() -> None:
    assert [measures.percent(v) for v in (None, 0, 0.042, 0.0997, 1.0)] == ["–", "0 %", "4.2 %", "10 %", "100 %"]
    assert [measures.points(v) for v in (0, -0.042, 0.15)] == ["±0", "−4.2", "+15"]


def test_the_project_comes_from_the_command_line_then_the_environment(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    environment = {"GROUNDTONE_PROJECT": str(tmp_path)}
    assert project_folder(["--project", str(tmp_path / "a"), "--odd"], environment) == (tmp_path / "a").resolve()
    assert project_folder([], environment) == tmp_path.resolve()
    assert DashboardConfig().host == "127.0.0.1"

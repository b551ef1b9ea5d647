"""Verdicts out and in again, the commands for it, and items that were trained on kept out of the evaluation."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from groundtone.cli.main import app
from groundtone.errors import DataError
from groundtone.feedback import Feedback, Vote
from groundtone.files import sha256_file
from groundtone.joins.material import read_material
from groundtone.joins.retrievers import Edit
from groundtone.joins.review import export_rows, fair_sample, import_rows, next_rows
from groundtone.joins.reviewed import Taught, taught_by, text_key, without_taught
from groundtone.joins.robustness import probes_of
from groundtone.project import Project
from groundtone.settings import Settings, load_settings
from groundtone.types import Hit, Passage, Preference, Question
from tests.groundtone.joins.worlds import PARCELS, TRAILERS, make_world, passage_of, rows


@pytest.fixture
def world(tmp_path: Path) -> tuple[Project, Settings]:
    return make_world(tmp_path / "p")


def test_a_queue_is_filled_in_and_comes_back(world: tuple[Project, Settings]) -> None:
    project, _ = world
    run = project.latest("eval")
    assert run is not None
    queue = next_rows(project, run=run.id, n=5, how="active", person="Ann")
    assert {row["about"]["claim"] for row in queue} == {PARCELS, TRAILERS}
    filled = [queue[0] | {"value": "unsupported", "correction": "15 days"}, queue[1]]
    lines = [json.dumps(row) for row in filled]
    before = len(Feedback(project.feedback_path).judged())
    done = import_rows(project, lines, where="q.jsonl")
    assert (done.stored, done.known, done.empty) == (1, 0, 1)
    assert import_rows(project, lines).known == 1
    judged = Feedback(project.feedback_path).judged()
    assert len(judged) == before + 1
    assert (judged[-1].verdict.person, judged[-1].verdict.correction) == ("Ann", "15 days")
    assert len(fair_sample(judged)) == before  # a claim picked for its uncertainty is no random sample
    assert [r["about"]["claim"] for r in next_rows(project, run=run.id, n=5, how="active", person="Ann")] == [
        queue[1]["about"]["claim"]
    ]


def test_an_export_makes_the_same_store_elsewhere(world: tuple[Project, Settings], tmp_path: Path) -> None:
    project, _ = world
    lines = [json.dumps(row) for row in export_rows(project)]
    other = Project(tmp_path / "other")
    assert import_rows(other, lines).stored == len(lines) == 2
    assert list(export_rows(other)) == list(export_rows(project))


def test_an_older_export_does_not_turn_a_newer_verdict_back(tmp_path: Path) -> None:
    def row(value: str, time: str) -> str:
        return json.dumps({"claim_key": "a:0-1", "person": "Ann", "value": value, "time": time, "about": {}})

    project = Project(tmp_path / "p")
    january = [row("supported", "2026-01-02T09:00:00+00:00")]
    assert import_rows(project, january).stored == 1
    assert import_rows(project, [row("unsupported", "2026-02-02T09:00:00+00:00")]).stored == 1
    assert import_rows(project, january).known == 1
    assert [one.verdict.value for one in Feedback(project.feedback_path).judged()] == ["unsupported"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "f.jsonl:1: is not JSON"),
        ("[]", "f.jsonl:1: holds list"),
        ('{"value": "supported", "person": "Ann"}', "claim_key is missing"),
        ('{"claim_key": "a:0-1", "value": "right", "person": "Ann"}', "value is 'right'; choose one of supported"),
        ('{"claim_key": "a:0-1", "value": "supported"}', "nobody is named"),
        ('{"claim_key": "a:0-1", "value": 1}', "value is 1; give a text"),
        ('{"claim_key": "a:0-1", "about": 1}', "about is 1; give an object"),
    ],
)
def test_a_broken_line_is_named_and_nothing_is_stored(tmp_path: Path, line: str, says: str) -> None:
    project = Project(tmp_path)
    good = '{"claim_key": "b:0-1", "value": "supported", "person": "Ann"}'
    with pytest.raises(DataError, match=says):
        import_rows(project, [line, good], where="f.jsonl")
    assert Feedback(project.feedback_path).judged() == []


def test_the_commands_walk_the_whole_way(world: tuple[Project, Settings], tmp_path: Path) -> None:
    project, _ = world
    at = ["--project", str(project.root)]
    out = tmp_path / "queue.jsonl"
    told = CliRunner().invoke(app, ["review", "next", "--how", "random", "--out", str(out), *at])
    assert told.exit_code == 0, told.output
    filled = [json.loads(line) | {"value": "supported"} for line in out.read_text().splitlines()]
    out.write_text("".join(json.dumps(row) + "\n" for row in filled))
    told = CliRunner().invoke(app, ["review", "import", str(out), "--person", "Bo", *at])
    assert "2 verdicts stored" in told.output
    told = CliRunner().invoke(app, ["review", "export", *at])
    assert told.stdout.count('"Bo"') == 2
    told = CliRunner().invoke(app, ["review", "agreement", "--json", *at])
    assert json.loads(told.stdout)["people"] == ["Bo", "me"]
    told = CliRunner().invoke(app, ["review", "agreement", *at])
    assert "Krippendorff's alpha" in told.output
    assert CliRunner().invoke(app, ["review", "import", "none.jsonl", *at]).exit_code != 0


def test_what_was_trained_on_is_not_asked(world: tuple[Project, Settings]) -> None:
    """By id for an item that a vote came from, by text for a prompt that a training row has."""
    project, _ = world
    rows(
        project.root / "questions/answerable.jsonl",
        {"id": "a1", "question": "how long ", "values": [["14 days"]], "quotes": [["post.md", PARCELS]]},
        {"id": "a2", "question": "What weight?", "values": [["80"]], "quotes": [["fleet.md", TRAILERS]]},
        {"id": "a3", "question": "Over what?", "values": [["sand"]], "quotes": [["fleet.md", TRAILERS]]},
    )
    rows(
        project.root / "voice.jsonl",
        *({"prompt": f"Or {n}?" if n else "How long?", "reply": "Ahoy! 14 days.", "source": "post"} for n in range(20)),
    )
    settings = load_settings(project.root)
    with project.start_run(
        "tune",
        resolved={"tuning": {"data": "voice.jsonl", "heldout": None}},
        inputs={"voice.jsonl": sha256_file(project.root / "voice.jsonl")},
    ) as run:
        (run.path / "notes.txt").write_text("done")
    material, out = without_taught(read_material(settings), taught_by(project, settings, run.id))
    assert (out, [q.id for q in material.questions]) == (("a1",), ["a2", "a3"])

    choice = Preference("Something else?", "80 kg", "90 kg")
    Feedback(project.feedback_path).add_vote(Vote(choice, "Ann", about={"item": "a2"}))
    with project.start_run("tune", resolved={"tuning": {"data": "votes"}}) as voted:
        (voted.path / "notes.txt").write_text("done")
    taught = taught_by(project, settings, voted.id)
    assert taught.ids == {"a2"}
    assert without_taught(read_material(settings), taught)[1] == ("a1", "a2")  # the world's first vote asks "How long?"
    assert taught_by(project, settings, None) == Taught()


def test_rows_that_are_gone_are_told(world: tuple[Project, Settings]) -> None:
    project, settings = world
    with project.start_run("tune", resolved={"tuning": {"data": "gone.jsonl"}}) as run:
        (run.path / "notes.txt").write_text("done")
    assert taught_by(project, settings, run.id).unread == (run.id,)
    assert text_key("How long?") == text_key(" how  LONG")


class Shelf:
    """An index of five passages; whoever searches gets all of them in order."""

    def __init__(self) -> None:
        self.all = [passage_of("d", "post.md", f"Rule {n}. Letters stay {n} weeks.") for n in range(5)]
        self.all = [replace(p, id=f"p{n}") for n, p in enumerate(self.all)]
        self.all.append(replace(passage_of("d", "post.md", f"Intro. {PARCELS} End."), id="gold"))

    def documents(self) -> list[str]:
        return ["post.md"]

    def locate(self, source: str, quote: str) -> list[Passage]:
        return [p for p in self.all if quote in p.text]

    def search(self, query: str, *, k: int, groups: object = ()) -> list[Hit]:
        return [Hit(p, 0.5) for p in self.all][:k]


def test_probes_are_nested_and_no_distractor_holds_the_answer() -> None:
    from groundtone.types import Gold

    gold = Gold((("14 days",),), (("post.md", PARCELS),))
    asked = [Question("a", "How long?", gold=gold), Question("c", "Now?", gold=gold, kind="changed")]
    asked.append(Question("lost", "Where?", gold=Gold((("x",),), (("none.md", "x"),))))
    edits = {"c": Edit("post.md", PARCELS, "Parcels are kept for 21 days.")}
    shelf = Shelf()
    probes = {p.question.id: p for p in probes_of(asked, edits, index=shelf, found=shelf, most=9)}  # type: ignore[arg-type]
    shown = {name: [hit.passage.id for hit in probe.hits] for name, probe in probes.items()}
    assert set(shown) == {"a~noise0", "a~noise1", "a~noise2", "a~noise4", "a~rejection4", "c~changed0", "c~changed2"}
    assert (shown["a~noise0"], len(shown["a~noise4"])) == (["gold"], 5)
    assert [p for p in shown["a~noise4"] if p in shown["a~noise2"]] == shown["a~noise2"]
    assert "gold" not in shown["a~rejection4"]
    assert probes["a~rejection4"].question.gold is None
    (hit,) = probes["a~noise0"].hits
    assert hit.passage.text[slice(*hit.best[0])] == PARCELS
    (changed,) = probes["c~changed0"].hits
    assert changed.passage.text[slice(*changed.best[0])] == "Parcels are kept for 21 days."

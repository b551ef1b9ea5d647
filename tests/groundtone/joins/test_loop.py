"""One round over feedback goes on where it was stopped, trains on nothing twice, promotes nothing, and can forget."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from groundtone.cli.main import app
from groundtone.errors import DataError, ProjectError
from groundtone.feedback import Feedback, TrainingRows, Vote
from groundtone.files import sha256_file
from groundtone.joins.feedback_rows import build
from groundtone.joins.loop import Round, Steps, go_round, unfinished
from groundtone.joins.retention import TakenOut, expire, forget_person
from groundtone.keys import KeyFile
from groundtone.project import Project, Run
from groundtone.settings import Settings, load_settings
from groundtone.types import GateDecision, Preference
from tuning.pairs import read_pairs

OLD = "2026-01-01T00:00:00.000+00:00"
PASSAGE = "Post room: Parcels are kept for 14 days."


class Stop(Exception):
    """The power went off."""


@dataclass
class World:
    """A project, and steps that write the runs which the real ones would; `stop_at` names one that fails."""

    project: Project
    settings: Settings
    stop_at: str = ""
    done: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def tune(self, settings: Settings, resume: str | None) -> Run:
        data = settings.tuning.data
        self.done.append(f"tune{' again' if resume else ''}")
        inputs = {data: sha256_file(settings.path(data))}
        run = (
            self.project.resume_run(resume)
            if resume
            else self.project.start_run("tune", resolved=settings.resolved, inputs=inputs)
        )
        with run:
            self.fail("tune")
        return run

    def evaluate(self, tuned: str) -> Run:
        self.done.append("eval")
        self.fail("eval")
        with self.project.start_run("eval", resolved=self.settings.resolved, parents={"tune": tuned}) as run:
            pass
        return run

    def gate(self, _: str) -> GateDecision:
        self.fail("gate")
        return GateDecision("PASS", ())

    def fail(self, step: str) -> None:
        if self.stop_at == step:
            raise Stop

    def go(self, *, fresh: bool = False) -> Round:
        steps = Steps(self.tune, self.evaluate, self.gate)
        return go_round(self.project, self.settings, steps=steps, fresh=fresh, say=self.said.append)

    @property
    def feedback(self) -> Feedback:
        return Feedback(self.project.feedback_path)

    def vote(self, person: str, number: int, *, time: str = "") -> None:
        said = Preference(f"Question {number}?", f"It is {number} days [1].", "no", (PASSAGE,), "wrong fact")
        self.feedback.add_vote(Vote(said, person, time=time))

    def accept(self) -> None:
        build(self.project, self.settings)
        store = TrainingRows(self.feedback)
        for row in store.listed("waiting"):
            store.review(row.id, "accepted", reviewer="Rae")


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "groundtone.yaml").write_text(
        "tuning: {data: voice.jsonl}\nfeedback: {person_share: 1}\n"
        "eval: {questions: q, general: g, voice: v, style: s}\n"
    )
    (tmp_path / "voice.jsonl").write_text('{"prompt": "Hello", "reply": "Ahoy!", "source": "a"}\n')
    made = World(Project(tmp_path), load_settings(tmp_path))
    for number in (2, 3):
        made.vote("Ann", number, time=OLD)
    made.vote("Bo", 3, time="2026-03-01T00:00:00.000+00:00")
    return made


def test_a_round_trains_on_the_voice_and_what_was_accepted_and_promotes_nothing(world: World) -> None:
    with pytest.raises(DataError, match="2 rows wait"):
        world.go()
    world.accept()
    done = world.go()
    assert done.decision.verdict == "PASS"
    data = world.project.run(done.run).manifest.notes["rows"]["path"]
    pairs = read_pairs(world.project.root / data)
    assert [pair.prompt for pair in pairs] == ["Hello", "Question 2?", "Question 3?"]
    assert world.project.run(done.tuned).manifest.resolved["tuning"]["data"] == data
    assert world.project.champion() is None
    assert unfinished(world.project) is None


@pytest.mark.parametrize(("step", "again"), [("tune", ["tune again", "eval"]), ("eval", ["eval"]), ("gate", [])])
def test_a_stopped_round_does_only_what_is_left(world: World, step: str, again: list[str]) -> None:
    world.accept()
    world.stop_at = step
    with pytest.raises(Stop):
        world.go()
    stopped = unfinished(world.project)
    assert stopped is not None
    world.stop_at, world.done = "", []
    done = world.go()
    assert (done.run, world.done) == (stopped.id, again)
    assert len(world.project.runs("tune")) == 1
    assert any(line.startswith(f"going on with {stopped.id}") for line in world.said)


def test_rows_that_a_round_used_are_not_trained_on_again_unless_asked(world: World) -> None:
    world.accept()
    first = world.go()
    with pytest.raises(DataError, match=f"went into {first.run} already"):
        world.go(fresh=False)
    assert world.go(fresh=True).run != first.run
    world.vote("Cy", 9)
    world.accept()
    assert world.go(fresh=True).run != first.run


def test_other_methods_are_refused_and_a_stopped_round_keeps_its_own(world: World) -> None:
    world.accept()
    tuning = world.settings.tuning
    world.settings = replace(world.settings, tuning=tuning.model_copy(update={"method": "reward"}))
    with pytest.raises(DataError, match="method is reward"):
        world.go()
    world.settings = replace(world.settings, tuning=tuning)
    world.stop_at = "tune"
    with pytest.raises(Stop):
        world.go()
    world.settings = replace(world.settings, tuning=tuning.model_copy(update={"method": "dpo"}))
    with pytest.raises(ProjectError, match="used method sft, not dpo"):
        world.go()


def test_forgetting_a_person_takes_rows_and_lines_and_names_the_adapters(world: World) -> None:
    world.accept()
    done = world.go()
    with world.project.start_run("tune", parents={"tune": done.tuned}) as child:
        pass
    KeyFile(world.project.keys_path).add("Ann")
    path = world.project.root / world.project.run(done.run).manifest.notes["rows"]["path"]
    before = path.read_bytes()
    would = forget_person(world.project, "Ann")
    assert path.read_bytes() == before
    assert len(world.feedback.votes()) == 3
    found = forget_person(world.project, "Ann", really=True)
    assert (found.removed, found.files, found.adapters) == (would.removed, would.files, would.adapters)
    assert (found.removed.votes, len(found.removed.rows), len(found.removed.seen)) == (2, 1, 2)
    assert [item.location for item in found.adapters] == [child.id, done.tuned]
    assert found.keys == ("Ann",)
    assert [pair.prompt for pair in read_pairs(path)] == ["Hello", "Question 3?"]
    assert "must be trained again" in "\n".join(found.lines())
    held = b"".join(p.read_bytes() for p in world.project.folder.rglob("feedback.sqlite*"))
    assert b"Ann" not in held
    with pytest.raises(DataError, match="nobody called 'Ann'"):
        forget_person(world.project, "Ann")


def test_a_file_that_was_edited_since_is_named_and_left(world: World) -> None:
    world.accept()
    path = world.project.root / world.project.run(world.go().run).manifest.notes["rows"]["path"]
    path.write_bytes(path.read_bytes() + b"\n")
    found = forget_person(world.project, "Ann", really=True)
    assert (found.files, found.changed) == ({}, (path.relative_to(world.project.root).as_posix(),))


def test_an_adapter_that_read_all_votes_is_named_to_those_who_had_voted(world: World) -> None:
    with world.project.start_run("tune", inputs={"votes": "0" * 64}) as run:
        pass
    assert [item.location for item in forget_person(world.project, "Ann").adapters] == [run.id]


def kept(world: World) -> list[str]:
    return [f"{vote.person} {vote.time[:7]}" for vote in world.feedback.votes()]


def test_what_is_older_than_the_retention_time_goes_with_its_rows(world: World) -> None:
    world.accept()
    now = datetime(2026, 3, 2, tzinfo=UTC)
    assert expire(world.project, world.settings, now=now) is None
    found = expire(world.project, world.settings, days=30, now=now)
    assert isinstance(found, TakenOut)
    assert (found.removed.votes, len(found.removed.rows)) == (2, 1)
    assert kept(world) == ["Bo 2026-03"]
    assert [row.people for row in TrainingRows(world.feedback).listed()] == [("Bo",)]


Command = Callable[..., tuple[int, str]]


@pytest.fixture
def command(world: World) -> Command:
    def run(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, [*words, "--project", str(world.project.root)])
        return done.exit_code, done.output

    return run


def test_the_commands_from_feedback_to_an_accepted_row(world: World, command: Command, tmp_path: Path) -> None:
    code, shown = command("data", "from-feedback")
    assert code == 0
    assert "2 rows: 2 grounding" in shown
    first, second = TrainingRows(world.feedback).listed()
    assert command("data", "review-rows", "--accept", first.id)[0] == 2
    assert command("data", "review-rows", "--accept", first.id, "--by", "Ann")[0] == 2  # her own words
    assert command("data", "review-rows", "--accept", first.id[:8], "--by", "Rae")[0] == 0
    edit = ("--edit", second.id, "--reply", "Three days [1].", "--by", "Rae")
    assert command("data", "review-rows", *edit)[0] == 0
    code, shown = command("data", "review-rows", "--state", "accepted", "--json")
    assert [row["row"]["reply"] for row in json.loads(shown)] == ["It is 2 days [1].", "Three days [1]."]
    code, shown = command("data", "from-feedback", "--out", str(tmp_path / "out"), "--json")
    assert json.loads(shown)["files"][0]["lines"] == 2
    assert len(read_pairs(tmp_path / "out/pairs.jsonl")) == 2


def test_the_commands_that_move_and_remove_feedback(world: World, command: Command, tmp_path: Path) -> None:
    file = tmp_path / "said.jsonl"
    assert command("feedback", "export", str(file))[0] == 0
    assert "0 added, 3 known" in command("feedback", "import", str(file))[1]
    assert command("feedback", "import", str(tmp_path / "none"))[0] == 2
    assert command("feedback", "undo", "Bo")[0] == 0
    assert command("feedback", "undo", "Bo")[0] == 2
    assert kept(world) == ["Ann 2026-01"] * 2
    assert "nothing expires" in command("feedback", "expire")[1]
    assert "would go" in command("forget", "Ann")[1]
    assert kept(world) == ["Ann 2026-01"] * 2
    assert command("forget", "Ann", "--yes")[0] == 0
    assert kept(world) == []
    assert command("forget", "Ann", "--person")[0] == 2

"""Once round: feedback -> rows -> tune -> evaluate -> gate. A person promotes what comes out.

Each step is written into the run's manifest when it is done, so that a round that was stopped goes on where it was:
a training from its checkpoint, an evaluation anew. Tuning and evaluation are handed in, for the pipeline knows them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from groundtone.errors import DataError, ProjectError
from groundtone.joins.feedback_files import FileKind, Written, place, write_accepted
from groundtone.joins.feedback_rows import build
from groundtone.joins.voice_data import columns_of
from groundtone.project import Manifest, Project, Run, sha256_file
from groundtone.settings import Settings
from groundtone.types import GateDecision
from tuning.config import ColumnSettings
from tuning.pairs import read_pairs
from tuning.tables import locate

__all__ = ["Round", "Steps", "go_round", "unfinished"]

KINDS: dict[str, FileKind] = {"sft": "pairs", "dpo": "preferences", "orpo": "preferences", "kto": "thumbs"}
_STEPS = ("rows", "tune", "eval", "gate")


@dataclass(frozen=True, slots=True)
class Steps:
    """The work of the round. `tune` takes the settings and the run to resume, if any."""

    tune: Callable[[Settings, str | None], Run]
    evaluate: Callable[[str], Run]
    gate: Callable[[str], GateDecision]


@dataclass(frozen=True, slots=True)
class Round:
    """A finished round: its own run, the tuning, the evaluation, and what the gate says of it."""

    run: str
    tuned: str
    evaluation: str
    decision: GateDecision


def unfinished(project: Project) -> Manifest | None:
    """The newest round, where it was stopped before its gate; None where it is done or there is none."""
    newest = next(iter(project.runs("loop")), None)
    return newest if newest is not None and newest.status != "done" else None


def go_round(
    project: Project, settings: Settings, *, steps: Steps, fresh: bool = False, say: Callable[[str], object] = str
) -> Round:
    """Go round, or go on with the round that was stopped unless `fresh`; `say` gets a line per step.

    Raises DataError where no accepted row is new since the last round or the method does not learn from feedback,
    ProjectError where the stopped round was begun with another method or is still running elsewhere.
    """
    method = settings.tuning.method
    if method not in KINDS:
        raise DataError(f"tuning.method is {method}: a round takes {', '.join(KINDS)}, which learn a voice from rows")
    stopped = None if fresh else unfinished(project)
    if stopped is not None and stopped.notes.get("method") != method:
        raise ProjectError(
            f"{stopped.id} was stopped and used method {stopped.notes.get('method')}, not {method}: set tuning.method "
            "back, or start another round with --new"
        )
    if stopped is None:
        run = project.start_run("loop", config=settings.given, resolved=settings.resolved, notes={"method": method})
    else:
        run = project.resume_run(stopped.id)
        done = [step for step in _STEPS if step in run.manifest.notes]
        say(f"going on with {run.id}; done: {', '.join(done) or 'nothing yet'}")
    with run:
        return _Rounds(project, settings, steps, run, say).go(fresh=fresh)


@dataclass(frozen=True, slots=True)
class _Rounds:
    """One round under way."""

    project: Project
    settings: Settings
    steps: Steps
    run: Run
    say: Callable[[str], object]

    def go(self, *, fresh: bool) -> Round:
        """Every step that is not done yet."""
        path = self._rows(fresh=fresh)
        tuned = self._tune(path)
        evaluation = self._evaluate(tuned)
        decision = self.steps.gate(evaluation)
        self.run.note(gate=decision.verdict)
        self.say(f"gate: {decision.verdict}")
        self.run.finish(verdict=decision.verdict)
        return Round(self.run.id, tuned, evaluation, decision)

    def _rows(self, *, fresh: bool) -> Path:
        """The training file. One that changed since, because somebody was forgotten, is written anew."""
        done: dict[str, Any] = self.run.manifest.notes.get("rows", {})
        if done:
            path = self.project.root / done["path"]
            if path.is_file() and sha256_file(path) == done["sha256"]:
                self.say(f"rows: {path.name} with {len(done['ids'])} rows of feedback, as written before")
                return path
        for line in build(self.project, self.settings).lines():
            self.say(f"rows: {line}")
        written = self._written()
        before = None if fresh else self._trained_on(set(written.rows))
        if before is not None:
            written.path.unlink()
            raise DataError(
                f"all {len(written.rows)} accepted rows went into {before} already: accept new ones with `groundtone "
                "data review-rows`, or go round again with --new"
            )
        for person, count in written.beyond.items():
            self.say(f"rows: {count} of {person} left out, beyond feedback.person_share")
        self.run.note(
            rows={"path": place(self.project, written.path), "sha256": written.sha256, "ids": list(written.rows)}
        )
        self.say(f"rows: {written.path.name} with {len(written.rows)} rows of feedback, {written.lines} lines in all")
        return written.path

    def _written(self) -> Written:
        kind = KINDS[self.settings.tuning.method]
        given = self.settings.tuning
        before = (
            read_pairs(locate(given.data, root=self.settings.root), columns=columns_of(given))
            if kind == "pairs"
            else ()
        )
        path = self.run.path / f"{kind}.jsonl"
        share = self.settings.feedback.person_share
        return write_accepted(self.project, path, kind, share=share, method=given.method, before=before)

    def _trained_on(self, rows: set[str]) -> str | None:
        """The finished round of this method that used all these rows."""
        for manifest in self.project.runs("loop"):
            same = manifest.status == "done" and manifest.notes.get("method") == self.settings.tuning.method
            if same and rows <= set(manifest.notes.get("rows", {}).get("ids", ())):
                return manifest.id
        return None

    def _tune(self, path: Path) -> str:
        """The tuning run on that file: the one that is done, the one that was stopped, or a new one."""
        data = place(self.project, path)
        started = [m for m in self.project.runs("tune") if m.resolved.get("tuning", {}).get("data") == data]
        finished = next((m.id for m in started if m.status == "done"), None)
        fits = [m.id for m in started if m.inputs.get(data) == sha256_file(path)]
        if finished in fits and finished is not None:
            tuned = finished
            self.say(f"tune: {tuned}, done before")
        else:
            stopped = next(iter(fits), None)
            tuned = self.steps.tune(_on(self.settings, data), stopped).id
            self.say(f"tune: {tuned}{' went on' if stopped else ''}")
        self.run.note(tune=tuned)
        return tuned

    def _evaluate(self, tuned: str) -> str:
        """The evaluation of that tuning: the one that is done, or a new one."""
        done = (m for m in self.project.runs("eval") if m.status == "done" and m.parents.get("tune") == tuned)
        asked = self.settings.resolved["eval"]
        found = next((m.id for m in done if m.resolved.get("eval") == asked and m.notes.get("limit") is None), None)
        evaluation = found or self.steps.evaluate(tuned).id
        self.run.note(eval=evaluation)
        self.say(f"eval: {evaluation}{', done before' if found else ''}")
        return evaluation


def _on(settings: Settings, data: str) -> Settings:
    """The settings with another training file, which is in our own columns.

    A file that is held out holds voice pairs: methods that compare two replies cannot use it.
    """
    changed: dict[str, Any] = {"data": data, "columns": ColumnSettings()}
    if KINDS[settings.tuning.method] != "pairs" and isinstance(settings.tuning.heldout, str):
        changed["heldout"] = None
    tuning = settings.tuning.model_copy(update=changed)
    return replace(settings, tuning=tuning, resolved={**settings.resolved, "tuning": tuning.model_dump(mode="json")})

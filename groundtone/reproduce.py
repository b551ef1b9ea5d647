"""From pairs to a judged voice on any model: the sample company in a scratch project, every step timed, one report.

What somebody runs first on their own machine: `groundtone reproduce MODEL`. The configuration follows from the model's
size by the table below, and is left in the scratch project, where every other command goes on with it. A journey that
was stopped goes on from its last checkpoint or batch; what is done is not done again, and its seconds are kept.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from eval.estimates import from_json, in_words
from eval.passport import to_html
from eval.summary import read_summary
from groundtone import pipeline
from groundtone.errors import ProjectError
from groundtone.files import write_atomic
from groundtone.joins.arms import in_parameters
from groundtone.joins.indexing import silent
from groundtone.joins.passport import release_passport
from groundtone.joins.strength import STRENGTHS
from groundtone.joins.strength_curve import Choice
from groundtone.manifest import machine, mask_secrets
from groundtone.models.weights import count_parameters, resolve_folder
from groundtone.project import Project, Run
from groundtone.settings import SAMPLE_ROOT, Settings, load_settings
from tuning.tables import content_sha256, locate

__all__ = ["REPORT", "Reproduced", "configuration", "evaluated_once", "reproduce", "tuned_once"]

Progress = Callable[[str, int, int], None]
REPORT, RECORD, PASSPORT = "reproduce.md", "reproduce.json", "passport.html"
SECONDS = "seconds.json"  # of every step so far
REPEATS = 3  # of arms whose replies may differ; local weights are greedy and never do

# up to so many parameters: (what the assistant does, how the voice is tuned)
SIZES: tuple[tuple[float, dict[str, Any], dict[str, Any]], ...] = (
    (  # restyles quotations at best, and forgets what it does not see: the recipe of the sample's groundtone.yaml
        100e6,
        {"mode": "strict", "min_answer": 9, "context": "sentences", "k": 2},
        {
            "epochs": 4,
            "batch_size": 12,
            "learning_rate": 3e-3,
            "replay": 0.65,
            "kl": 1.0,
            "lora": {"rank": 16, "alpha": 32, "targets": "all-linear"},
        },
    ),
    (  # reads single sentences; the adapter needs attention too, since feed-forward layers alone hold few parameters
        1e9,
        {"mode": "strict", "min_answer": 9, "context": "sentences", "k": 4},
        {"preset": "voice", "epochs": 5, "lora": {"rank": 16, "alpha": 32, "targets": "all-linear"}},
    ),
    (  # reads passages and writes freely
        float("inf"),
        {"mode": "grounded", "min_answer": 9, "context": "passages", "k": 4, "context_tokens": 900},
        {"preset": "voice", "gradient_checkpointing": True},
    ),
)


@dataclass(frozen=True, slots=True)
class Reproduced:
    """What came of the journey. `verdict` is the gate's; `figures` are the tuned arm's, with their intervals."""

    model: str  # with its parameters
    machine: str
    seconds: Mapping[str, float]  # per step, in order
    tuned: str
    strength: float | None  # None where none fits the margins: the adapter is judged as it was tuned
    strength_why: str
    evaluation: str
    verdict: str
    checks: tuple[tuple[str, str, str], ...]  # name, verdict, why
    figures: Mapping[str, Mapping[str, str]]  # arm, metric -> in words
    files: tuple[str, ...]  # the passport, and the evaluation's own reports

    def markdown(self) -> str:
        """The report; the model and its size stand in the head of every table."""
        total = sum(self.seconds.values())
        steps = "\n".join(f"| {name} | {seconds:.0f} |" for name, seconds in self.seconds.items())
        checks = "\n".join(f"| {name} | {verdict} | {why} |" for name, verdict, why in self.checks)
        arms = list(self.figures)
        metrics = list(dict.fromkeys(metric for arm in arms for metric in self.figures[arm]))
        rows = "\n".join(
            f"| {metric} | " + " | ".join(self.figures[arm].get(metric, "-") for arm in arms) + " |"
            for metric in metrics
        )
        chosen = "as it was tuned" if self.strength is None else f"{self.strength:g}"
        return (
            f"# {self.verdict}: {self.model}\n\n"
            f"- machine: {self.machine}\n- tuned: {self.tuned}, strength {chosen} ({self.strength_why})\n"
            f"- evaluation: {self.evaluation}\n- from pairs to a verdict: {total / 60:.1f} minutes\n\n"
            f"| {self.model} | {' | '.join(arms)} |\n|{' --- |' * (len(arms) + 1)}\n{rows}\n\n"
            f"| gate, {self.model} | verdict | why |\n| --- | --- | --- |\n{checks}\n\n"
            f"| step, {self.model} | seconds |\n| --- | --- |\n{steps}\n\n"
            + "".join(f"- {name}\n" for name in self.files)
        )


@dataclass(frozen=True, slots=True)
class _Clock:
    """Seconds per step, in order, of all calls together."""

    path: Path
    limit: int | None
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str, *, asks: bool = False) -> Iterator[None]:
        """Adds to what earlier calls took, also where this one is stopped; a step that `asks` depends on the limit."""
        known = json.loads(self.path.read_text(encoding="utf-8")) if self.path.is_file() else {}
        key = f"{name}, first {self.limit}" if asks and self.limit is not None else name
        begun = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = round(known.get(key, 0.0) + time.monotonic() - begun, 1)
            write_atomic(self.path, json.dumps({**known, key: self.seconds[name]}) + "\n")


def configuration(model: str, *, parameters: int) -> dict[str, Any]:
    """groundtone.yaml of the sample company for a model of that size."""
    assistant, tuning = next((a, t) for most, a, t in SIZES if parameters <= most)
    data = SAMPLE_ROOT / "data"
    replayed = {"replay_data": str(data / "replay/general.jsonl")} if tuning.get("replay") else {}
    voice = {"data": str(data / "voice/train.jsonl"), "heldout": str(data / "voice/heldout.jsonl")}
    return {
        "documents": {"folder": str(data / "handbook")},
        "model": {"id": model},
        "assistant": assistant,
        "tuning": {**voice, **tuning, **replayed},
        "eval": {
            "questions": str(data / "questions"),
            "general": str(data / "general"),
            "voice": str(data / "voice/heldout.jsonl"),
            "style": str(data / "voice/style.yaml"),
            "repeats": REPEATS,
            # the sample's sets are small: 21 sources and 20 changed documents cannot rule out less
            "margins": {"general": 0.1, "leak": 0.2, "follows_change": 0.2},
        },
    }


def reproduce(
    model: str,
    folder: Path,
    *,
    overrides: Sequence[str] = (),
    strengths: Sequence[float] = STRENGTHS,
    limit: int | None = None,
    progress: Progress = silent,
    say: Callable[[str], object] = str,
) -> Reproduced:
    """Index, tune, dial, evaluate, judge in a scratch project under `folder`; its report and passport stay there.

    A folder that holds this very configuration is gone on with, wherever its journey was stopped. Raises ProjectError
    for a folder with another one, or where the sample company is not installed; ModelError for a model that cannot be
    loaded.
    """
    project, settings = _scratch(model, Path(folder), overrides)
    label = in_parameters(model, count_parameters(model))
    say(f"{label} on {machine()}; project {project.root}")
    for line in pipeline.preset_of(settings):
        say(line)
    clock = _Clock(project.folder / SECONDS, limit)
    with clock.step("index"):
        pipeline.index(project, settings, progress=progress)
    with clock.step("tune"):
        run = tuned_once(project, settings, progress=progress, say=say)
    with clock.step("strength", asks=True):
        _, choice = pipeline.strength(
            project, settings, run=run.id, strengths=strengths, limit=limit, progress=progress
        )
        if choice.strength:
            run = _baked_once(project, settings, run, choice)
    with clock.step("evaluate", asks=True):
        evaluation = evaluated_once(project, settings, run, limit=limit, progress=progress)
    write_atomic(project.root / PASSPORT, to_html(release_passport(project, evaluation.id)))
    done = _told(project, evaluation, label, clock.seconds, run=run, strength=choice.strength, why=choice.reason)
    write_atomic(project.root / RECORD, json.dumps(asdict(done), indent=1, ensure_ascii=False) + "\n")
    write_atomic(project.root / REPORT, done.markdown())
    return done


def tuned_once(
    project: Project, settings: Settings, *, progress: Progress = silent, say: Callable[[str], object] = str
) -> Run:
    """The training of these settings on these rows: one that is done, one that was stopped, or a new one."""
    data = locate(settings.tuning.data, root=settings.root)
    now = (mask_secrets(dict(settings.resolved)), content_sha256(data))
    for manifest in project.runs("tune"):
        then = (manifest.resolved, manifest.inputs.get(str(settings.tuning.data)))
        if "baked_from" in manifest.notes or then[1] != now[1] or not _same(then[0], now[0], ("model", "tuning")):
            continue
        if manifest.status == "done":
            return project.run(manifest.id)
        if manifest.state() != "running":
            return pipeline.tune(project, settings, resume=manifest.id, progress=progress, say=say)
    return pipeline.tune(project, settings, progress=progress, say=say)


def evaluated_once(
    project: Project, settings: Settings, tuned: Run, *, limit: int | None = None, progress: Progress = silent
) -> Run:
    """The evaluation of that run by these settings: one that is done, one that was stopped, or a new one."""
    now = mask_secrets(dict(settings.resolved))
    sections = tuple(name for name in now if name not in ("dashboard", "server"))
    for manifest in project.runs("eval"):
        same = manifest.parents.get("tune") == tuned.id and manifest.notes.get("limit") == limit
        if not same or not _same(manifest.resolved, now, sections):
            continue
        if manifest.status == "done":
            return project.run(manifest.id)
        if manifest.state() != "running":
            return pipeline.evaluate(
                project, settings, tuned=tuned.id, limit=limit, resume=manifest.id, progress=progress
            )
    return pipeline.evaluate(project, settings, tuned=tuned.id, limit=limit, progress=progress)


def _baked_once(project: Project, settings: Settings, run: Run, choice: Choice) -> Run:
    """The run at its chosen strength."""
    assert choice.strength, "a strength was chosen"
    for manifest in project.runs("tune"):
        made = (manifest.notes.get("baked_from"), manifest.notes.get("strength"))
        if manifest.status == "done" and made == (run.id, choice.strength):
            return project.run(manifest.id)
    return pipeline.bake(project, settings, run=run.id, strength=choice.strength, choice=choice)


def _same(then: Mapping[str, Any], now: Mapping[str, Any], sections: Sequence[str]) -> bool:
    """Whether these sections of two configurations are the same."""
    return all(then.get(name) == now.get(name) for name in sections)


def _scratch(model: str, folder: Path, overrides: Sequence[str]) -> tuple[Project, Settings]:
    if not (SAMPLE_ROOT / "data" / "handbook").is_dir():
        raise ProjectError(
            f"the sample company is not in {SAMPLE_ROOT / 'data'}: run this from a checkout of groundtone, or "
            "`groundtone init` for documents of your own"
        )
    found = resolve_folder(model)
    named = model if model == "starter" or not Path(model).expanduser().is_dir() else str(found)
    text = yaml.safe_dump(configuration(named, parameters=count_parameters(model)), sort_keys=False)
    project = Project(folder)
    if project.config_path.is_file() and project.config_path.read_text(encoding="utf-8") != text:
        raise ProjectError(
            f"{project.config_path} is of another model or was changed: name an empty folder with --into"
        )
    write_atomic(project.config_path, text)
    return project, load_settings(project.root, overrides)


def _told(
    project: Project,
    evaluation: Run,
    label: str,
    seconds: Mapping[str, float],
    *,
    run: Run,
    strength: float | None,
    why: str,
) -> Reproduced:
    summary = read_summary(evaluation.path)
    decision = pipeline.gate(project, run=evaluation.id)
    shown = {
        arm: {metric: in_words(from_json(value)) for metric, value in metrics.items() if value["n"]}
        for arm, metrics in summary["arms"].items()
    }
    files = [PASSPORT, *sorted(path.relative_to(project.root).as_posix() for path in evaluation.path.glob("*.md"))]
    return Reproduced(
        model=label,
        machine=machine(),
        seconds=dict(seconds),
        tuned=run.id,
        strength=strength or None,
        strength_why=why,
        evaluation=evaluation.id,
        verdict=decision.verdict,
        checks=tuple((c.name, c.verdict, c.why) for c in decision.checks),
        figures=shown,
        files=tuple(files),
    )

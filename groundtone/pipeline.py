"""The whole of groundtone as five functions read from top to bottom: index -> tune -> evaluate -> gate -> promote.

Each works on a project folder and its settings, writes a run with its manifest, and can be called again at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from eval.bound import Advice, advise
from eval.estimates import from_json
from eval.gate import rule_problems
from eval.suite import read_questions
from eval.summary import read_summary
from groundtone.assistant import Assistant
from groundtone.errors import ConfigError, DataError, MissingExtraError, ProjectError
from groundtone.joins import bound as unbounded
from groundtone.joins import retrieval_eval
from groundtone.joins.answerers import arm_name
from groundtone.joins.arms import build_arm, checker, load_models, style_of, with_reader
from groundtone.joins.blame_run import BLAME, blame_again, read_blame
from groundtone.joins.eval_run import Inputs, eval_run, tuned_by
from groundtone.joins.evaluation import evaluate_arms
from groundtone.joins.imported import review_answers
from groundtone.joins.indexing import adapt, generations, index, open_index, roll_back, silent, stale, watch
from groundtone.joins.loop import Round, Steps, go_round
from groundtone.joins.methods import METHODS, ROWS
from groundtone.joins.methods.work import Work, plan_of
from groundtone.joins.retrieval_eval import RetrievalEval
from groundtone.joins.speakers import is_voice
from groundtone.joins.strength import STRENGTHS, bake_run, sweep
from groundtone.joins.strength_curve import Choice, StrengthCurve, choose, write_curve
from groundtone.project import Project, Run, sha256_file
from groundtone.settings import Settings
from groundtone.types import Estimate, GateCheck, GateDecision
from tuning.estimate import TrainingEstimate, estimate
from tuning.presets import preset_lines
from tuning.processes import leads

Progress = Callable[[str, int, int], None]

__all__ = [
    "adapt",
    "assistant",
    "bake",
    "blame",
    "bound",
    "demo",
    "dry_run",
    "eval_search",
    "evaluate",
    "gate",
    "generations",
    "index",
    "loop",
    "open_index",
    "preset_of",
    "promote",
    "roll_back",
    "stale",
    "strength",
    "tune",
    "watch",
]


def tune(
    project: Project,
    settings: Settings,
    *,
    resume: str | None = None,
    progress: Progress = silent,
    say: Callable[[str], object] = str,
) -> Run:
    """Tune by `tuning.method`; a stopped run goes on from its last checkpoint when named in `resume`.

    `say` gets the line of what the rows would teach, before the training begins. Raises DataError where
    `tuning.facts` refuses the rows.
    """
    if not leads():
        progress, say = silent, str
    work = Work(project, settings, resume=resume, progress=progress, say=say)
    return METHODS[settings.tuning.method](work)


def preset_of(settings: Settings) -> tuple[str, ...]:
    """The defaults that `tuning.preset` brought, with their reasons; nothing without one."""
    name = settings.tuning.preset
    return preset_lines(name, settings.given.get("tuning") or {}) if name else ()


def dry_run(settings: Settings) -> TrainingEstimate:
    """Memory and time of the tuning that the settings describe, from two timed steps; nothing is written."""
    given = settings.tuning
    if given.method not in ROWS:
        raise DataError(f"--dry-run estimates methods {', '.join(ROWS)}, not {given.method}")
    return estimate(ROWS[given.method](settings), plan_of(settings, settings.root))


def strength(
    project: Project,
    settings: Settings,
    *,
    run: str | None = None,
    strengths: Sequence[float] = STRENGTHS,
    limit: int | None = None,
    progress: Progress = silent,
) -> tuple[StrengthCurve, Choice]:
    """Measure a tuning run's adapter at several strengths and choose one; strength.json in the run's folder.

    `run` is by default the newest on the configured model that was trained, not baked. A stopped sweep goes on.
    """
    margins = settings.eval.margins.model_dump()
    tuned = run or newest_tuned(project, settings, trained=True)
    if tuned is None:
        raise ProjectError("there is no adapter to dial: run `groundtone tune` first")
    curve = sweep(project, settings, run=tuned, strengths=strengths, limit=limit, progress=progress)
    choice = choose(curve, margins)
    write_curve(project.run_path(tuned), curve, choice, margins)
    return curve, choice


def bake(project: Project, settings: Settings, *, run: str, strength: float, choice: Choice | None = None) -> Run:
    """The adapter of `run` at `strength` as a tuning run of its own, proved by replay; `evaluate` takes it next.

    Where the strength was chosen by measuring (`choice`), `evaluate` reports on the half that had no part in it.
    """
    return bake_run(project, settings, run=run, strength=strength, choice=choice)


def evaluate(
    project: Project,
    settings: Settings,
    *,
    tuned: str | None = None,
    limit: int | None = None,
    answers: Path | None = None,
    arm: str = "",
    resume: str | None = None,
    progress: Progress = silent,
) -> Run:
    """The 2x2 with its two honest rows, general skills and the gate; the reports lie in the run's folder.

    `tuned` is the tuning run to measure (default: the newest that is done; the base alone where none is). `limit`
    takes the first items of each kind. `answers` is a file of answers made elsewhere, which are reviewed as `arm`
    instead, and no model is asked. `resume` names a stopped run of the same inputs, which goes on at a batch border.
    """
    problems = rule_problems(settings.eval.gate, settings.eval.margins.model_dump())
    if problems:
        raise ConfigError(problems)
    if answers is not None:
        return _review(
            project, settings, answers, arm=arm or arm_name(answers), limit=limit, resume=resume, progress=progress
        )
    tuned = tuned or (tuned_by(project, resume) if resume else newest_tuned(project, settings))
    with open_index(project, settings) as opened:
        known = Inputs(
            {name: sha256_file(path) for name, path in _question_files(settings)},
            {"index": opened.content_hash()} | ({"tune": tuned} if tuned else {}),
            {"limit": limit},
        )
        with eval_run(project, settings, known, resume=resume) as run:
            summary = evaluate_arms(
                project,
                settings,
                index=opened,
                tuned=tuned,
                run_id=run.id,
                out_dir=run.path,
                limit=limit,
                progress=progress,
            )
            run.finish(verdict=summary["gate"]["verdict"])
    return run


def _review(
    project: Project,
    settings: Settings,
    answers: Path,
    *,
    arm: str,
    limit: int | None,
    resume: str | None,
    progress: Progress,
) -> Run:
    if not answers.is_file():
        raise DataError(f"{answers}: no such file; give a file of JSON lines with question and answer")
    files = [("answers", answers), *_question_files(settings)]
    parents = {}
    with suppress(ProjectError), open_index(project, settings) as opened:  # what rows without contexts are held to
        parents = {"index": opened.content_hash()}
    known = Inputs({name: sha256_file(path) for name, path in files}, parents, {"limit": limit, "answers": arm})
    with eval_run(project, settings, known, resume=resume) as run:
        summary = review_answers(
            project,
            settings,
            answers,
            arm=arm,
            run_id=run.id,
            out_dir=run.path,
            limit=limit,
            progress=progress,
        )
        run.finish(verdict=summary["gate"]["verdict"])
    return run


def gate(project: Project, *, run: str | None = None) -> GateDecision:
    """The verdict of an evaluation (default: the newest that is done), as it was decided by the margins set before."""
    found = _summary(project, run)["gate"]
    checks = (GateCheck(**{**check, "estimate": from_json(check["estimate"])}) for check in found["checks"])
    return GateDecision(found["verdict"], tuple(checks))


def blame(
    project: Project,
    settings: Settings,
    *,
    run: str | None = None,
    again: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """blame.json of an evaluation (default: the newest that is done), made where it is missing or `again` is set."""
    newest = project.latest("eval") if run is None else None
    if run is None and newest is None:
        raise ProjectError(f"no evaluation is done in {project.runs_folder}: run `groundtone eval` first")
    named = run or (newest.id if newest else "")
    if (project.run_path(named) / BLAME).is_file() and not again:
        return read_blame(project.run_path(named))
    with open_index(project, settings) as opened:
        return blame_again(project, settings, run=named, index=opened, progress=progress)


def promote(project: Project, *, run: str) -> None:
    """Serve the tuned model of an evaluation from now on. Raises ProjectError unless its gate says PASS."""
    summary = _summary(project, run)
    if summary["gate"]["verdict"] != "PASS":
        raise ProjectError(f"evaluation {run} says {summary['gate']['verdict']}: only a PASS can be promoted")
    project.set_champion(summary["tuned_run"], evaluation=run)


def loop(
    project: Project,
    settings: Settings,
    *,
    fresh: bool = False,
    progress: Progress = silent,
    say: Callable[[str], object] = str,
) -> Round:
    """Feedback -> rows -> tune -> evaluate -> gate, going on with a round that was stopped; a person promotes."""
    steps = Steps(
        tune=lambda given, resume: tune(project, given, resume=resume, progress=progress, say=say),
        evaluate=lambda run: evaluate(project, settings, tuned=run, progress=progress),
        gate=lambda run: gate(project, run=run),
    )
    return go_round(project, settings, steps=steps, fresh=fresh, say=say)


def assistant(project: Project, settings: Settings, *, arm: str = "champion", check: bool = True) -> Assistant:
    """An assistant to talk to. "champion" is the promoted voice, or the untuned base where none was promoted."""
    champion = project.champion()
    tuned = champion if arm == "champion" else newest_tuned(project, settings) if arm.startswith("tuned/") else None
    if arm == "champion":
        arm = "tuned/rag" if champion else "base/rag"
        arm = arm.replace("/rag", "/closed") if settings.assistant.mode == "closed-book" else arm
        arm = "extractive/rag" if settings.assistant.mode == "quote" else arm
    style = style_of(settings)
    return build_arm(
        arm,
        settings,
        models=load_models(project, settings, tuned=tuned, arm=arm),
        retriever=with_reader(open_index(project, settings), settings) if arm.endswith("/rag") else None,
        style=style,
        check=checker(style) if check else None,
    )


def eval_search(
    project: Project, settings: Settings, *, questions: Path | None = None
) -> tuple[RetrievalEval, Estimate | None, str]:
    """How well the index finds what answers the questions, and the change since the last time, in figures and words.

    The project keeps it. Raises MissingExtraError without ir-measures.
    """
    record = project.folder / retrieval_eval.RECORD
    before = retrieval_eval.read_record(record)
    sought = retrieval_eval.read_sought(questions or settings.path(settings.eval.questions))
    with open_index(project, settings) as opened:
        made = retrieval_eval.evaluate_index(opened, sought)
    retrieval_eval.write_record(record, made)
    difference, verdict = retrieval_eval.compare(before, made) if before else (None, "")
    return made, difference, verdict


def bound(
    project: Project,
    settings: Settings,
    *,
    questions: Path | None = None,
    arm: str = "extractive/rag",
    wrong_costs: float = 1.0,
    progress: Progress = silent,
) -> tuple[Advice, int]:
    """What each `assistant.min_answer` gives on the questions, and which one suits; and how many were left out.

    The project keeps it. `wrong_costs` is what a wrong answer costs, a right one being worth 1.
    """
    asked = read_questions(questions or settings.path(settings.eval.questions))
    tuned = newest_tuned(project, settings) if arm.startswith("tuned/") else None
    models = load_models(project, settings, tuned=tuned, arm=arm)
    with open_index(project, settings) as opened:
        outcomes, left_out = unbounded.ask_unbounded(
            settings, asked, models, index=opened, arm=arm, style=style_of(settings), progress=progress
        )
        content = opened.content_hash()
    advice = advise(outcomes, current=settings.assistant.min_answer, wrong_costs=wrong_costs)
    unbounded.write_advice(project.folder / unbounded.RECORD, advice, arm=arm, index=content)
    return advice, left_out


def demo(project: Project, settings: Settings, *, progress: Progress = silent) -> str:
    """The whole journey on this project; returns the table of the 2x2 as text."""
    from eval.report import console_table

    index(project, settings, progress=progress)
    with suppress(MissingExtraError):  # the page that shows it says how it is measured
        eval_search(project, settings)
    run = tune(project, settings, progress=progress)
    evaluation = evaluate(project, settings, tuned=run.id, progress=progress)
    return console_table(_summary(project, evaluation.id))


def newest_tuned(project: Project, settings: Settings, *, trained: bool = False) -> str | None:
    """The newest tuning run that is done and was made on the configured model; None where there is none.

    `trained` leaves out the runs that were baked or combined from others. A reward model is no voice.
    """
    for manifest in project.runs("tune"):
        made = trained and ("baked_from" in manifest.notes or "combined_from" in manifest.notes)
        if is_voice(manifest, settings) and not made:
            return manifest.id
    return None


_READ = (".jsonl", ".yaml", ".yml")  # what an evaluation reads of a folder


def _question_files(settings: Settings) -> list[tuple[str, Path]]:
    """Every file that an evaluation reads, by the name that it has in the configuration."""
    files: list[tuple[str, Path]] = []
    given = settings.eval
    named = (given.questions, given.general, given.voice, given.style, given.prose, given.harness.tasks)
    for name in (*named, *(rival.answers for rival in given.rivals)):
        path = settings.path(name) if name else None
        if path is None:
            continue
        inside = sorted(p for p in path.glob("*") if p.suffix in _READ) if path.is_dir() else [path] * path.is_file()
        files += [
            (file.relative_to(settings.root).as_posix() if file.is_relative_to(settings.root) else str(file), file)
            for file in inside
        ]
    return files


def _summary(project: Project, run: str | None) -> dict[str, Any]:
    """summary.json of an evaluation run."""
    newest = project.latest("eval") if run is None else None
    if run is None and newest is None:
        raise ProjectError(f"no evaluation is done in {project.runs_folder}: run `groundtone eval` first")
    path = project.run_path(run or (newest.id if newest else ""))
    try:
        return read_summary(path)
    except FileNotFoundError as error:
        raise ProjectError(
            f"{path.name} has no summary: it was stopped; go on with `groundtone eval --resume {path.name}`"
        ) from error

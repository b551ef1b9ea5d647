"""Commands that do the work: index, tune, eval, gate, demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from groundtone.cli.options import JsonOption, ProjectOption, SetOption, find_project, open_project
from groundtone.cli.show import next_step, note, print_json, print_table, progress_bars
from groundtone.errors import ProjectError
from groundtone.project import Project


def index(project: ProjectOption = None, overrides: SetOption = None, as_json: JsonOption = False) -> None:
    """Read the documents into the index; only what changed is read again."""
    from groundtone import pipeline

    where, settings = open_project(project, overrides)
    with progress_bars() as progress:
        report = pipeline.index(where, settings, progress=progress)
    if as_json:
        print_json(report)
        return
    print(
        f"{report.passages} passages; documents: {report.read} read, {report.unchanged} unchanged, "
        f"{report.removed} removed, {len(report.skipped)} skipped, {len(report.failed)} failed"
    )
    for left_out in (*report.skipped, *report.failed):
        note(f"  {left_out.source}: {left_out.reason}")
    next_step('groundtone ask "..."', "ask the documents a question", project=project)


def tune(
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Go on with a run that was stopped, from its last checkpoint.")
    ] = None,
    project: ProjectOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tune the model's voice with LoRA on the pairs in tuning.data."""
    from groundtone import pipeline

    where, settings = open_project(project, overrides)
    with progress_bars() as progress:
        run = pipeline.tune(where, settings, resume=resume, progress=progress)
    if as_json:
        print_json(run.manifest.model_dump(mode="json"))
        return
    print(f"{run.id} is {run.manifest.status}: {run.path}")
    next_step("groundtone eval", "measure what it gained and what it forgot", project=project)


def evaluate(
    tuned: Annotated[
        str | None, typer.Option(metavar="RUN", help="The tuning run to measure. Default: the newest that is done.")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Only the first so many items of each suite: quick, and not for decisions."),
    ] = None,
    project: ProjectOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure base and tuned model, with and without documents, on the same questions."""
    from groundtone import pipeline

    where, settings = open_project(project, overrides)
    with progress_bars() as progress:
        run = pipeline.evaluate(where, settings, tuned=tuned, limit=limit, progress=progress)
    if as_json:
        print_json(run.manifest.model_dump(mode="json"))
        return
    report = run.path / "report.md"
    print(report.read_text(encoding="utf-8") if report.is_file() else f"{run.id} is {run.manifest.status}: {run.path}")
    next_step("groundtone gate", "decide whether the tuned model may be served", project=project)


def gate(
    run: Annotated[
        str | None, typer.Option(metavar="RUN", help="The evaluation to judge. Default: the newest that is done.")
    ] = None,
    promote: Annotated[bool, typer.Option("--promote", help="Serve the tuned model from now on if it passes.")] = False,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge an evaluation by the margins set beforehand. Exits with 0 for PASS, else with 1."""
    from groundtone import pipeline

    where = find_project(project)
    judged = run or newest_evaluation(where)
    decision = pipeline.gate(where, run=judged)
    passed = decision.verdict == "PASS"
    if promote and passed:
        pipeline.promote(where, run=judged)
    if as_json:
        print_json(decision)
    else:
        print(f"{decision.verdict}   {judged}\n")
        print_table(["check", "verdict", "why"], [[c.name, c.verdict, c.why] for c in decision.checks])
        if promote:
            print("\nPromoted." if passed else "\nNot promoted: only a PASS is.")
        _after_gate(passed, promoted=promote and passed, project=project)
    raise typer.Exit(0 if passed else 1)


def newest_evaluation(where: Project) -> str:
    """The id of the newest evaluation that is done. Raises ProjectError where there is none."""
    newest = where.latest("eval")
    if newest is None:
        raise ProjectError(f"no evaluation is done in {where.runs_folder}: run `groundtone eval` first")
    return newest.id


def _after_gate(passed: bool, *, promoted: bool, project: Path | None) -> None:
    if promoted:
        next_step('groundtone ask "..."', "the champion answers", project=project)
    elif passed:
        next_step("groundtone gate --promote", "serve the tuned model", project=project)
    else:
        next_step("groundtone dashboard", "see which answers held it back", project=project)


def demo(project: ProjectOption = None, overrides: SetOption = None) -> None:
    """The whole journey on this project, in a checkout the sample company: index, tune, evaluate, table and verdict."""
    from groundtone import pipeline

    where, settings = open_project(project, overrides)
    with progress_bars() as progress:
        table = pipeline.demo(where, settings, progress=progress)
    print(table)
    next_step("groundtone dashboard", "look at every answer behind these figures", project=project)

"""Commands that do the work: index, tune, demo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundtone.cli.curve_cmd import measure_curve
from groundtone.cli.options import JsonOption, ProjectOption, SetOption, find_project, open_project
from groundtone.cli.show import next_step, note, print_json, print_table, progress_bars
from groundtone.errors import ProjectError
from groundtone.project import Project

if TYPE_CHECKING:
    from groundtone.settings import Settings
    from retrieval.loaders import FailedFile
    from retrieval.update import IndexReport

_NAMED = 3  # files of one reason that are named


def index(
    full: Annotated[
        bool, typer.Option("--full", help="Compare the bytes of every file, not only where size or times differ.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Stay and update whenever the documents change, until Ctrl-C.")
    ] = False,
    adapt: Annotated[
        bool, typer.Option("--adapt", help="Then tune the encoder on these documents; kept if it finds more in others.")
    ] = False,
    generations: Annotated[
        bool, typer.Option("--generations", help="List the states of the index that can be gone back to.")
    ] = False,
    rollback: Annotated[
        str | None,
        typer.Option(metavar="NUMBER", help="Go back to that generation, or to the `previous` one; nothing is read."),
    ] = None,
    project: ProjectOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read the documents into the index; only what changed is read again."""
    from groundtone import pipeline

    if generations or rollback is not None:
        _go_back(find_project(project), rollback, as_json=as_json)
        return
    where, settings = open_project(project, overrides)
    if watch:
        _watch(where, settings, as_json=as_json)
        return
    with progress_bars() as progress:
        report = pipeline.index(where, settings, full=full, progress=progress)
        adapted = pipeline.adapt(where, settings, progress=progress) if adapt else None
    stale = pipeline.stale(where, settings, report)
    if as_json:
        print_json(asdict(report) | {"stale": asdict(stale)} | ({"adapted": asdict(adapted)} if adapted else {}))
        return
    _print_report(report)
    for line in (*stale.lines(), *(adapted.lines() if adapted else ())):
        print(line)
    next_step('groundtone ask "..."', "ask the documents a question", project=project)


def _print_report(report: IndexReport) -> None:
    print(
        f"{report.passages} passages; documents: {report.read} read, {report.unchanged} unchanged, "
        f"{report.removed} removed, {len(report.skipped)} skipped, {len(report.failed)} failed"
    )
    if report.read:
        print(f"generation {report.generation}: {report.embedded} passages embedded, {report.reused} known before")
    for old, new in report.renamed:
        note(f"  {old} is now {new}")
    for group in report.duplicates:
        note(f"  these say the same: {', '.join(group)}")
    for left_out in (*report.partial, *report.failed):
        note(f"  {left_out.source}: {left_out.reason}")
    for reason, sources in _by_reason(report.skipped).items():
        more = f" and {len(sources) - _NAMED} more" if len(sources) > _NAMED else ""
        note(f"  {', '.join(sources[:_NAMED])}{more}: {reason}")


def _by_reason(files: Sequence[FailedFile]) -> dict[str, list[str]]:
    """Sources by why they were not read: a share holds many files of one kind."""
    found: dict[str, list[str]] = {}
    for file in files:
        found.setdefault(file.reason, []).append(file.source)
    return found


def _watch(where: Project, settings: Settings, *, as_json: bool) -> None:
    """Updates until Ctrl-C, which ends it as planned: exit code 0."""
    from groundtone import pipeline

    def show(report: IndexReport) -> None:
        stale = pipeline.stale(where, settings, report)
        if as_json:
            print_json(asdict(report) | {"stale": asdict(stale)})
        else:
            _print_report(report)
            print("\n".join(stale.lines()), end="\n" if stale.lines() else "")
        note("watching; Ctrl-C ends it")

    def failed(error: Exception) -> None:
        note(f"groundtone: {error}; watching goes on")

    try:
        pipeline.watch(where, settings, report=show, failed=failed)
    except KeyboardInterrupt:
        note("\nended; the index is as it was after its last update")


def _go_back(where: Project, rollback: str | None, *, as_json: bool) -> None:
    """List the generations, after going back to one if asked to."""
    from groundtone import pipeline

    if rollback is not None:
        if rollback != "previous" and not rollback.isdecimal():
            raise ProjectError(f"--rollback is {rollback!r}; give a number that --generations lists, or `previous`")
        pipeline.roll_back(where, generation=None if rollback == "previous" else int(rollback))
    kept = pipeline.generations(where)
    if as_json:
        print_json(kept)
        return
    rows = [[str(g.number), g.created[:19], str(g.documents), str(g.passages)] for g in kept]
    print_table(["generation", "made (UTC)", "documents", "passages"], rows)
    if rollback is not None:
        next_step("groundtone index", "go forward again to what lies in the folder", project=None)
    else:
        next_step("groundtone index --rollback previous", "go back by one", project=None)


def tune(
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Go on with a run that was stopped, from its last checkpoint.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only estimate memory and time, from two steps on the longest rows.")
    ] = False,
    launch: Annotated[
        int | None, typer.Option(min=1, help="Train in so many processes, one per GPU. Default: tuning.processes.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="RUN", help="Start from that run's adapter, for data that arrived later."),
    ] = None,
    curve: Annotated[
        str | None,
        typer.Option(metavar="P,P", help="Only say whether more rows would help: tune on these percentages, compare."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="--curve: trainings per percentage.")] = 1,
    project: ProjectOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tune the model on tuning.data by tuning.method."""
    from groundtone import pipeline
    from tuning.processes import leads

    changed = [*(overrides or ()), *([f"tuning.continue_from={start}"] if start else [])]
    where, settings = open_project(project, changed)
    if curve is not None:
        measure_curve(where, settings, curve, seeds=seeds, as_json=as_json, folder=project)
        return
    for line in (*_borrowed(settings), *pipeline.preset_of(settings)) if leads() else ():
        note(line)
    if dry_run:
        needed = pipeline.dry_run(settings)
        if as_json:
            print_json(needed)
        else:
            print("\n".join(needed.lines()))
            next_step("groundtone tune", "start it", project=project)
        return
    from groundtone.joins import launch as several

    processes = launch or settings.tuning.processes
    if processes > 1 and not several.launched():
        again = ["tune", "--project", str(where.root), *(["--resume", resume] if resume else [])]
        again += [part for given in changed for part in ("--set", given)] + (["--json"] if as_json else [])
        raise typer.Exit(several.launch(settings, again, processes=processes))
    with progress_bars() as progress:
        run = pipeline.tune(where, settings, resume=resume, progress=progress, say=note)
    if not leads():
        return
    if as_json:
        print_json(run.manifest.model_dump(mode="json"))
        return
    print(f"{run.id} is {run.manifest.status}: {run.path}")
    command, why = _after(settings.tuning.method, run.id, run.path)
    next_step(command, why, project=project)


def _after(method: str, run: str, path: Path) -> tuple[str, str]:
    """What is done with a run of this method; all but these make a voice, which an evaluation measures."""
    if method in ("classify", "tokens"):
        return f'groundtone classify {run} "..."', "label a text with it"
    if method == "reward":
        return f"groundtone tune --set tuning.method=grpo --set tuning.rewards.model={run}", "let it reward a voice"
    if method == "span":
        return f"groundtone ask '...' --arm extractive/rag --set assistant.reader={path}", "let it read"
    if method == "mlm":
        return (
            f"groundtone tune --set tuning.method=classify --set model.id={path}/encoder",
            "tune the encoder for a task",
        )
    return "groundtone eval", "measure what it gained and what it forgot"


def _borrowed(settings: Settings) -> list[str]:
    """What somebody should know who has documents of their own and no pairs yet."""
    from groundtone.settings import borrowed

    pairs = settings.path(settings.tuning.data)
    if not borrowed(settings, pairs):
        return []
    return [f"learning the sample company's voice ({pairs}): set tuning.data in groundtone.yaml to pairs of yours"]


def demo(project: ProjectOption = None, overrides: SetOption = None) -> None:
    """The whole journey on this project, in a checkout the sample company: index, tune, evaluate, table and verdict."""
    from groundtone import pipeline

    where, settings = open_project(project, overrides)
    with progress_bars() as progress:
        table = pipeline.demo(where, settings, progress=progress)
    print(table)
    next_step("groundtone dashboard", "look at every answer behind these figures", project=project)

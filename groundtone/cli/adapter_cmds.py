"""Commands about adapters: how strong the voice is, which there are, and what other programs get."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundtone.cli.history_cmd import show_history
from groundtone.cli.options import JsonOption, ProjectOption, SetOption, find_project, open_project
from groundtone.cli.show import next_step, print_json, print_table, progress_bars
from groundtone.errors import ProjectError, UserError
from groundtone.project import Project

if TYPE_CHECKING:
    from groundtone.joins.strength_curve import StrengthCurve

NOT_CHOSEN = 1


def strength(
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="The tuning run. Default: the newest that was trained.")
    ] = None,
    at: Annotated[
        str, typer.Option("--at", metavar="X,X", help="Strengths to measure: 0 is the base, 1 as it was tuned.")
    ] = "0,0.25,0.5,0.75,1",
    bake: Annotated[
        bool, typer.Option("--bake", help="Write the chosen strength as a run of its own, for `groundtone eval`.")
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Only the first so many items of each suite: quick, and not for decisions."),
    ] = None,
    project: ProjectOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure the voice at several strengths of its adapter and choose the smallest that speaks as well as the best.

    Held-out prompts, and the half of the questions and general items that is kept for choosing. Exits with 1 when no
    strength fits the margins. A stopped measurement goes on where it was.
    """
    from groundtone import pipeline
    from groundtone.joins.strength_curve import CURVE

    where, settings = open_project(project, overrides)
    wanted = numbers(at, option="--at")
    with progress_bars() as progress:
        curve, choice = pipeline.strength(where, settings, run=run, strengths=wanted, limit=limit, progress=progress)
    baked = None
    if bake and choice.strength is not None:
        baked = pipeline.bake(where, settings, run=curve.run, strength=choice.strength, choice=choice)
    if as_json:
        print_json({"curve": asdict(curve), "choice": asdict(choice), "baked": baked.id if baked else None})
    else:
        _print_curve(curve, settings.eval.margins.model_dump())
        print(f"\n{choice.reason}")
        print(f"{where.run_path(curve.run) / CURVE}")
        if baked is not None:
            print(f"\n{baked.id} is {baked.manifest.status}: {baked.manifest.notes['proof']}")
            next_step("groundtone eval", "measure the baked voice on the other half", project=project)
        elif choice.strength is None:
            next_step("groundtone tune", "other data or settings, then dial again", project=project)
        else:
            next_step(f"groundtone strength {curve.run} --at {at} --bake", "make it a run", project=project)
    raise typer.Exit(NOT_CHOSEN if choice.strength is None else 0)


def numbers(text: str, *, option: str) -> list[float]:
    """Numbers of 0 or more, separated by commas. Raises UserError naming the option."""
    try:
        found = [float(part) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise UserError(f"{option} is {text!r}: give numbers with commas between, such as 0,0.5,1") from error
    if not found or not all(0 <= n < math.inf for n in found):
        raise UserError(f"{option} is {text!r}: give numbers of 0 or more, such as 0,0.5,1")
    return found


def _print_curve(curve: StrengthCurve, margins: dict[str, float]) -> None:
    from eval.estimates import in_words
    from groundtone.joins.strength_curve import budget

    names = ("tone", "format", "correct", "hallucination")
    rows = []
    for point in curve.points:
        forgetting = point.evidence["forgetting"]
        general = f"{forgetting[-1]['verdict']}, {len(forgetting)} rows" if forgetting and point.strength else "-"
        figures = [in_words(point.figures[name]) for name in names]
        rows.append([f"{point.strength:g}", *figures, general, budget(point, margins)[0]])
    print_table(["strength", *names, "general skills", "budget"], rows)


def adapters(
    action: Annotated[str, typer.Argument(metavar="[list|compare|combine|history]", help="What to do.")] = "list",
    named: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ADAPTER]...", help="Run ids or adapter folders; for combine ADAPTER:WEIGHT."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="combine: write there. Default: a new tuning run.")
    ] = None,
    project: ProjectOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the adapters of tuning runs, compare two, sum several with weights, or show the versions behind one."""
    given = list(named or ())
    if action == "list" and not given:
        _list(find_project(project), as_json=as_json, folder=project)
    elif action == "compare" and len(given) == 2:
        _compare(find_project(project), given, as_json=as_json, folder=project)
    elif action == "combine" and len(given) >= 2:
        _combine(given, out, project, overrides, as_json=as_json)
    elif action == "history" and len(given) == 1:
        show_history(find_project(project), given[0], as_json=as_json, folder=project)
    else:
        raise UserError(
            f"adapters {' '.join([action, *given])}: use `adapters`, `adapters compare A B`, "
            "`adapters combine A:0.7 B:0.3` or `adapters history RUN`"
        )


def _list(where: Project, *, as_json: bool, folder: Path | None) -> None:
    from tuning.adapters import list_adapters

    entries, champion = list_adapters(where), where.champion()
    if as_json:
        print_json({"adapters": [asdict(entry) for entry in entries], "champion": champion})
        return
    if not entries:
        print(f"no adapters in {where.runs_folder}")
        next_step("groundtone tune", "make the first one", project=folder)
        return
    rows = [
        [e.run, e.base, e.data, str(e.rank or ""), e.made or e.problem[:80], "champion" if e.run == champion else ""]
        for e in entries
    ]
    print_table(["run", "base", "data", "rank", "made", ""], rows)
    next_step("groundtone strength", "measure how strong the newest voice should be", project=folder)


def _compare(where: Project, given: list[str], *, as_json: bool, folder: Path | None) -> None:
    from groundtone.joins.exports import compare

    found = compare(where, given[0], given[1])
    if as_json:
        print_json(found)
        return
    if found.made:
        print_table(["made of", *given], found.made)
    else:
        print("both are made of the same")
    if found.measured:
        print()
        print_table(["measured", *given], found.measured)
    next_step("groundtone eval --tuned RUN", "measure one that was not measured", project=folder)


def _combine(
    given: list[str], out: Path | None, project: Path | None, overrides: list[str] | None, *, as_json: bool
) -> None:
    from groundtone.joins.exports import combine_run

    where, settings = open_project(project, overrides)
    folder = combine_run(where, settings, [weighted(text) for text in given], out=out)
    if as_json:
        print_json({"folder": str(folder)})
        return
    print(f"combined: {folder}")
    next_step("groundtone eval", "measure what the sum gained and forgot", project=project)


def weighted(text: str) -> tuple[str, float]:
    """("A", 0.7) of "A:0.7". Raises UserError for anything else."""
    name, colon, weight = text.rpartition(":")
    try:
        value = float(weight)
    except ValueError:
        value = math.nan
    if not colon or not name or not math.isfinite(value):
        raise UserError(f"{text!r} names no adapter with its weight: write ADAPTER:WEIGHT, such as {text or 'RUN'}:0.5")
    return name, value


def export(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="merged, ollama, vllm, openai or card.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder (merged) or file to write.")],
    run: Annotated[
        str | None, typer.Option(metavar="RUN", help="The tuning run. Default: the champion, else the newest.")
    ] = None,
    project: ProjectOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the voice for other programs: merged weights with a replay proof, a Modelfile, a command, rows, a card."""
    from groundtone import pipeline
    from groundtone.joins.exports import EXPORTS
    from groundtone.joins.exports import export as write

    if what not in EXPORTS:
        raise UserError(f"there is no export {what!r}: choose one of {', '.join(EXPORTS)}")
    where, settings = open_project(project, overrides)
    chosen = run or where.champion() or pipeline.newest_tuned(where, settings)
    if chosen is None:
        raise ProjectError("there is no adapter to export: run `groundtone tune` first")
    said = write(where, settings, what, out, run=chosen)
    if as_json:
        print_json({"run": chosen, "what": what, "out": str(out), "said": said})
        return
    print(f"{out}: {what} of {chosen}\n{said}")
    next_step("groundtone adapters", "see every adapter and what it was made from", project=project)

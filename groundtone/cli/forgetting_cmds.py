"""Commands about what tuning cost: forgetting over one or several adapters, and general items at size."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from groundtone.cli.options import JsonOption, ProjectOption, SetOption, open_project
from groundtone.cli.show import next_step, print_json, progress_bars
from groundtone.errors import DataError, ProjectError, UserError


def forgetting(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN...", help="Tuning runs in the order of their training. Default: the newest."),
    ] = None,
    harness: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Also the lm-evaluation-harness tasks there. Default: eval.harness.tasks."),
    ] = None,
    learned: Annotated[
        list[str] | None,
        typer.Option(metavar="SUITE=RUN", help="That run taught this suite; others count as the base's skills."),
    ] = None,
    controls: Annotated[
        bool, typer.Option("--controls", help="Also the base again, a no-op adapter and a damaged one.")
    ] = False,
    foreign: Annotated[
        bool, typer.Option("--foreign", help="Also questions over another company's documents (eval.foreign).")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the first so many items of each suite: quick, not for decisions.")
    ] = None,
    project: ProjectOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure what adapters cost on general skills: suites, early warnings, safety, and BWT over a sequence."""
    import json

    from groundtone import pipeline
    from groundtone.joins.forgetting_chain import measure_forgetting

    where, settings = open_project(project, [*(overrides or ()), *harness_setting(harness)])
    newest = pipeline.newest_tuned(where, settings)
    if not runs and newest is None:
        raise ProjectError("nothing is tuned: run `groundtone tune` first")
    with progress_bars() as progress:
        run = measure_forgetting(
            where,
            settings,
            runs or [newest or ""],
            controls=controls,
            foreign=foreign,
            learned=dict(_pair(given) for given in learned or ()),
            limit=limit,
            progress=progress,
        )
    if as_json:
        print_json(json.loads((run.path / "forgetting.json").read_text(encoding="utf-8")))
        return
    print((run.path / "forgetting.md").read_text(encoding="utf-8"))
    next_step("groundtone strength", "dial an adapter down where it costs too much", project=project)


def harness_setting(folder: Path | None) -> list[str]:
    """The override that --harness is: the folder as named from where the command runs."""
    return [] if folder is None else [f"eval.harness.tasks={folder.resolve()}"]


def _pair(given: str) -> tuple[str, str]:
    suite, equals, run = given.partition("=")
    if not (suite and equals and run):
        raise UserError(f"--learned is {given!r}; write SUITE=RUN, such as orders=tune-20260101-120000-ab12")
    return suite, run


def general(
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="The file of items to write; never an existing one.")
    ],
    items: Annotated[int, typer.Option(min=1, help="How many in all, evenly over the suites.")] = 900,
    seed: Annotated[int, typer.Option(help="The same seed makes the same items.")] = 0,
    suites: Annotated[str, typer.Option(metavar="A,B", help="Only these suites. Default: every one.")] = "",
    project: ProjectOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make general items at size: sums, copying, instructions and reading, none of them in the training rows."""
    from groundtone.joins.general_items import write_general

    _, settings = open_project(project, overrides)
    if out.exists():
        raise DataError(f"--out is {out}, which exists: name a new file, so that nothing is overwritten")
    made = write_general(settings, out, items=items, seed=seed, suites=[s for s in suites.split(",") if s])
    if as_json:
        print_json({"out": str(out), **made})
        return
    print(f"{out}: {made['items']} items, {', '.join(f'{n} {suite}' for suite, n in made['suites'].items())}")
    print(
        f"kept apart from {made['training_prompts']} training prompts; a difference of {made['margin']:g} takes about"
    )
    print(f"{made['needed']} items for 80 % power when a tenth of the answers flip")
    next_step(f"groundtone forgetting --set eval.general={out}", "measure with them", project=project)

"""`groundtone reproduce`: the whole journey with a model of one's own, on the sample company."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from groundtone.cli.options import JsonOption, SetOption
from groundtone.cli.show import next_step, note, print_json, progress_bars


def reproduce(
    model: Annotated[
        str, typer.Argument(help="An instruct model: a Hugging Face id, the folder of one, or `starter`.")
    ] = "starter",
    into: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The scratch project. Default: reproduce/<model> here.")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Only the first so many items of each suite: quick, and not for decisions."),
    ] = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """From pairs to a verdict with a real model: index, tune by its size, choose a strength, evaluate, judge.

    Works on the sample company in a project of its own. Exits with 0 for PASS, else with 1.
    """
    from groundtone.reproduce import REPORT
    from groundtone.reproduce import reproduce as walk

    folder = into or Path("reproduce") / re.sub(r"[^\w.-]+", "-", model).strip("-.")
    with progress_bars() as progress:
        done = walk(model, folder, overrides=tuple(overrides or ()), limit=limit, progress=progress, say=note)
    if as_json:
        print_json(asdict(done))
    else:
        print(done.markdown())
        print(folder / REPORT)
        next_step("groundtone dashboard", "read every answer behind these figures", project=folder)
    raise typer.Exit(0 if done.verdict == "PASS" else 1)

"""The command that says where an assistant should refuse."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundtone.cli.options import JsonOption, ProjectOption, SetOption, open_project
from groundtone.cli.show import next_step, print_json, print_table, progress_bars

if TYPE_CHECKING:
    from eval.bound import Advice, Point

NOT_CHOSEN = 1


def bound(
    questions: Annotated[
        Path | None,
        typer.Option(
            "--questions",
            metavar="FILE",
            help="Questions with and without an answer, as eval.questions has them: a JSON-lines file or a folder.",
        ),
    ] = None,
    wrong_costs: Annotated[
        float,
        typer.Option(min=0.01, max=100, help="What a wrong answer costs, a right one being worth 1 and a refusal 0."),
    ] = 1.0,
    arm: Annotated[
        str, typer.Option("--arm", help="Whose answers: extractive/rag (quotations, quick), base/rag or tuned/rag.")
    ] = "extractive/rag",
    project: ProjectOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Choose where to refuse: what each assistant.min_answer gives on your own questions, and which one suits.

    Asks every question without a bound, so that one run tells about all of them. Exits with 1 when nothing can be
    chosen.
    """
    from groundtone import pipeline

    where, settings = open_project(project, overrides)
    with progress_bars() as progress:
        advice, left_out = pipeline.bound(
            where, settings, questions=questions, arm=arm, wrong_costs=wrong_costs, progress=progress
        )
    if as_json:
        print_json({"arm": arm, "left_out": left_out, **advice.as_json()})
    else:
        _print(advice, left_out=left_out)
        if advice.suited is not None and advice.beats:
            print(f"\nin groundtone.yaml:\nassistant:\n  min_answer: {advice.suited.bound:.1f}")
            next_step("groundtone eval", "measure every arm with it", project=project)
    raise typer.Exit(NOT_CHOSEN if advice.suited is None else 0)


def _print(advice: Advice, *, left_out: int) -> None:
    from eval.estimates import short

    named: dict[float, str] = {advice.current.bound: "in use"}
    points = [*advice.points, advice.current]
    if advice.suited is not None:
        named[advice.suited.bound] = "suits"
        points.append(advice.suited)

    def row(point: Point) -> list[str]:
        shares = (point.right, point.wrongly_refused, point.rightly_refused, point.wrong)
        return [f"{point.bound:.1f}", *map(short, shares), named.get(point.bound, "")]

    columns = ["min_answer", "right", "wrongly refused", "rightly refused", "wrong of all", ""]
    shown = {f"{point.bound:.1f}": point for point in sorted(points, key=lambda p: p.bound in named)}
    print_table(columns, [row(point) for point in sorted(shown.values(), key=lambda p: p.bound)])
    current = advice.current
    apart = f"; {left_out} left out: about changed documents, or for several things at once" if left_out else ""
    print(
        f"\n{current.right.n} questions with an answer, {current.rightly_refused.n} without{apart}. "
        f"A wrong answer costs {advice.wrong_costs:g}, a right one is worth 1.\n{advice.reason}"
    )

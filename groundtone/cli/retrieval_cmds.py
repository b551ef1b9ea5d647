"""Commands that measure search alone, without any model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundtone.cli.options import JsonOption, ProjectOption, SetOption, open_project
from groundtone.cli.show import next_step, note, print_json, print_table

if TYPE_CHECKING:
    from groundtone.joins.retrieval_eval import RetrievalEval


def eval_search(
    questions: Annotated[
        Path | None,
        typer.Option(
            "--questions",
            metavar="FILE",
            help="JSON lines with a question and its quotes or sources, or a folder of such files. "
            "Default: eval.questions.",
        ),
    ] = None,
    per_stage: Annotated[
        bool, typer.Option("--per-stage", help="Also words alone, vectors alone, and what orders them again.")
    ] = False,
    project: ProjectOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure search: recall, MRR and nDCG with intervals, and whether the index became worse since the last time."""
    from eval.estimates import as_json as as_plain
    from groundtone import pipeline
    from groundtone.joins.retrieval_eval import FINAL

    where, settings = open_project(project, overrides)
    made, difference, verdict = pipeline.eval_search(where, settings, questions=questions)
    if as_json:
        stages = made.table() if per_stage else {FINAL: made.table()[FINAL]}
        print_json(
            {
                "index": made.index,
                "stages": {name: {m: as_plain(e) for m, e in row.items()} for name, row in stages.items()},
                "difference": as_plain(difference) if difference else None,
                "verdict": verdict,
            }
        )
        return
    _print(made, per_stage=per_stage)
    if verdict:
        note(verdict)
    next_step("groundtone eval", "measure the answers that rest on these passages", project=project)


def _print(made: RetrievalEval, *, per_stage: bool) -> None:
    from eval.estimates import short
    from groundtone.joins.retrieval_eval import FINAL, MEASURES

    rows = [
        [stage, *(short(measures[m]) for m in MEASURES)]
        for stage, measures in made.table().items()
        if per_stage or stage == FINAL
    ]
    print_table(["stage", *MEASURES], rows)
    counted = made.estimate(FINAL, MEASURES[0])
    left_out = f"; {counted.missing} left out: their quotes are not in the index" if counted.missing else ""
    print(f"\n{counted.n} questions, index {made.index}{left_out}")

"""`groundtone tune --curve`: whether more rows would help."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from groundtone.cli.show import next_step, note, print_json, print_table, progress_bars
from groundtone.errors import UserError
from groundtone.project import Project

if TYPE_CHECKING:
    from groundtone.settings import Settings

__all__ = ["measure_curve", "percentages"]


def measure_curve(
    where: Project, settings: Settings, given: str, *, seeds: int, as_json: bool, folder: Path | None
) -> None:
    """Tune on the percentages in `given`, print the table and what follows."""
    from eval.estimates import in_words
    from groundtone.joins.learning_curve import CURVE
    from groundtone.joins.learning_curve import measure_curve as measure
    from groundtone.joins.methods.work import Work

    shares = percentages(given)
    with progress_bars() as progress:
        made = measure(Work(where, settings, progress=progress, say=note), shares=shares, seeds=seeds)
    if as_json:
        print_json(asdict(made))
        return
    rows = [[str(m.rows), in_words(m.loss), in_words(m.format)] for m in made.measured]
    print_table(["rows", "held-out loss (nats per token)", "in the house's format"], rows)
    print(f"\n{made.curve.lines()[len(made.measured)]}")
    if made.curve.advice:
        print(made.curve.advice)
    print(where.run_path(made.run) / CURVE)
    next_step("groundtone tune", "tune on all of the rows", project=folder)


def percentages(text: str) -> list[float]:
    """[0.25, 1.0] of "25,100". Raises UserError unless they rise, two or more, above 0 and up to 100."""
    try:
        found = [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        found = []
    if len(found) < 2 or found != sorted(set(found)) or not (found[0] > 0 and found[-1] <= 100):
        raise UserError(f"--curve is {text!r}: give two or more rising percentages, such as 25,50,100")
    return [percent / 100 for percent in found]

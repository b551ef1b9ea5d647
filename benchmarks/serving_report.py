"""The table of `make bench-serving`: what was measured, its figure, what was asked for, and how long it took."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

BEGIN = "<!-- written by `make bench-serving`: change benchmarks/serving.py, not this table -->"
END = "<!-- end of what is written -->"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `reached` is None where nothing was asked for."""

    what: str
    figure: str
    target: str = ""
    reached: bool | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the run with its rows and its duration."""

    name: str
    rows: tuple[Row, ...]
    took_s: float


def table(parts: Sequence[Part], about: str) -> str:
    """The section as Markdown: the machine, one row per figure, how long each part took."""
    lines = ["| what | figure | asked for |", "|---|---|---|"]
    for row in (row for part in parts for row in part.rows):
        verdict = {None: "", True: ": reached", False: ": **missed**"}[row.reached]
        lines.append(f"| {row.what} | {row.figure} | {row.target}{verdict} |")
    times = ", ".join(f"{part.name} {part.took_s:.0f} s" for part in parts)
    return "\n".join([f"`make bench-serving`, {about}", "", *lines, "", f"It took: {times}."])


def replaced(page: str, section: str) -> str:
    """The page with the section between its two marks. Raises ValueError for a page without them."""
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page lacks the lines {BEGIN!r} and {END!r}, between which the table is written")
    return f"{head}{begin}\n{section}\n{end}{tail}"


def spread(values: Sequence[float], *, digits: int = 0) -> str:
    """The median with the smallest and the largest, and how many there are."""
    low, mid, high = min(values), statistics.median(values), max(values)
    return f"{mid:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}] (n={len(values)})"


def percentiles(values: Sequence[float], *, unit: str) -> str:
    """p50, p95 and p99 of n values; none is larger than the largest that was seen."""
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return f"p50 {cuts[49]:.2f}, p95 {cuts[94]:.2f}, p99 {cuts[98]:.2f} {unit} (n={len(values)})"

"""Forest plots as tables: a row per estimate with its interval drawn on one common scale and its figures beside it.

Plain HTML: names, intervals and n stay text that can be read aloud, copied and printed, the rows of several groups
share a scale, and nothing waits for a chart library. No Streamlit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from dashboard.measures import percent, points
from groundtone.types import Estimate

__all__ = ["Line", "Scale", "forest_html", "legend_html", "shares"]

_TICKS = 6  # about so many on a scale
_TRAILING = re.compile(r"\.0\b(?!\d)")  # a tick of 5 points is "+5", not "+5.0"; "1.00" stays
_ROOM = 0.05  # of the scale beside the outermost figure


@dataclass(frozen=True, slots=True)
class Line:
    """One estimate: its name, what stands under it, a loss that was allowed, and further columns as HTML."""

    name: str
    value: Estimate
    detail: str = ""
    margin: float | None = None
    cells: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scale:
    """What an axis measures: `at` is where nothing differs, `ends` its fixed ends, `write` how a figure is written."""

    label: str
    at: float = 0.0
    ends: tuple[float, float] | None = None
    write: Callable[[float], str] = points

    def figures(self, value: Estimate) -> str:
        """The estimate with its interval, as it is written beside the plot."""
        if value.mean is None:
            return "–"
        if value.low is None or value.high is None:
            return f"{self.write(value.mean)}<small>no interval</small>"
        return f"{self.write(value.mean)}<small>{self.write(value.low)} to {self.write(value.high)}</small>"

    def clear(self, value: Estimate) -> bool:
        """Whether the interval leaves `at` out."""
        return value.low is not None and value.high is not None and not value.low <= self.at <= value.high


def shares(label: str, *, at: float = 0.5) -> Scale:
    """A scale from 0 to 100 %."""
    return Scale(label, at, (0.0, 1.0), percent)


def forest_html(
    groups: Mapping[str, Sequence[Line]],
    scale: Scale,
    *,
    leads: Mapping[str, str] | None = None,
    columns: Sequence[str] = (),
) -> str:
    """The lines of each group under its name ("" for none), all on one scale; `columns` head the lines' own cells."""
    drawn = [line for lines in groups.values() for line in lines if line.value.mean is not None]
    if not drawn:
        return ""
    low, high = _ends(drawn, scale)
    ticks = _ticks(low, high)

    def at(value: float) -> float:
        return 100 * (value - low) / (high - low)

    grid = "".join(f'<i class="gt-tick" style="left:{at(tick):.2f}%"></i>' for tick in ticks)
    grid += f'<i class="gt-even" style="left:{at(scale.at):.2f}%"></i>'
    body = []
    for name, lines in groups.items():
        if name:
            lead = escape((leads or {}).get(name, ""))
            wide = 4 + len(columns)
            body.append(
                f'<tr class="gt-group"><th colspan="{wide}">{escape(name)}{lead and f"<small>{lead}</small>"}</th></tr>'
            )
        body += [_row(line, scale, at, grid) for line in lines if line.value.mean is not None]
    written = [(at(tick), _TRAILING.sub("", scale.write(tick)).replace("±", "")) for tick in ticks]
    marks = "".join(f'<span style="left:{where:.2f}%">{text}</span>' for where, text in written)
    axis = f'<div class="gt-axis-marks" aria-hidden="true">{marks}</div>'
    heads = "".join(f"<th>{escape(c)}</th>" for c in ("Estimate", "n", *columns))
    head = f'<tr><th></th><th class="gt-plot">{escape(scale.label)}</th>{heads}</tr>'
    foot = f'<tr><td></td><td class="gt-plot">{axis}</td><td colspan="{2 + len(columns)}"></td></tr>'
    return (
        f'<table class="gt-table gt-forest"><thead>{head}</thead><tbody>{"".join(body)}</tbody>'
        f"<tfoot>{foot}</tfoot></table>"
    )


def _row(line: Line, scale: Scale, at: Callable[[float], float], grid: str) -> str:
    value = line.value
    mean = value.mean or 0.0
    low, high = (mean if end is None else end for end in (value.low, value.high))
    band = ""
    if line.margin:
        left = at(scale.at - abs(line.margin))
        band = f'<i class="gt-band" style="left:{left:.2f}%;width:{at(scale.at) - left:.2f}%"></i>'
    bar = f'<i class="gt-interval" style="left:{at(low):.2f}%;width:{at(high) - at(low):.2f}%"></i>'
    dot = f'<b class="gt-point{"" if scale.clear(value) else " gt-open"}" style="left:{at(mean):.2f}%"></b>'
    detail = f"<small>{escape(line.detail)}</small>" if line.detail else ""
    own = "".join(f"<td>{cell}</td>" for cell in line.cells)
    return (
        f'<tr><th scope="row">{escape(line.name)}{detail}</th><td class="gt-plot" aria-hidden="true">'
        f'<div class="gt-lane">{grid}{band}{bar}{dot}</div></td>'
        f"<td>{scale.figures(value)}</td><td>{value.n}</td>{own}</tr>"
    )


def _ends(lines: Sequence[Line], scale: Scale) -> tuple[float, float]:
    if scale.ends is not None:
        return scale.ends
    known = [v for line in lines for v in (line.value.mean, line.value.low, line.value.high) if v is not None]
    known += [scale.at, *(scale.at - abs(line.margin) for line in lines if line.margin)]
    room = _ROOM * (max(known) - min(known)) or 0.01
    return min(known) - room, max(known) + room


def _ticks(low: float, high: float) -> list[float]:
    """Round figures within the scale: steps of 1, 2 or 5 times a power of ten."""
    raw = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(s * power for s in (1, 2, 5, 10) if s * power >= raw * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]


def legend_html(*, at: str = "zero", margin: bool = False) -> str:
    """What filled and open points, and the band, mean."""
    band = '<span><i class="gt-key-band"></i>loss allowed beforehand</span>' if margin else ""
    return (
        '<div class="gt-legend"><span><b class="gt-point"></b>95 % interval leaves '
        f'{at} out</span><span><b class="gt-point gt-open"></b>may be {at}</span>{band}</div>'
    )

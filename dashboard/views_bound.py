"""What each bound below which the assistant refuses gives, as `groundtone bound` measured it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dashboard.palette import DASHES, GREY, PALETTE
from groundtone.errors import IntegrityError
from groundtone.joins.bound import read_advice

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

SHARES: Mapping[str, str] = {
    "right": "right, of the answerable",
    "wrongly_refused": "refused, of the answerable",
    "rightly_refused": "refused, of the unanswerable",
    "wrong": "wrong, of all",
}
_COLUMNS = ["Share", "Bound", "Mean", "Low", "High", "n"]


def advice(path: Path) -> dict[str, Any] | None:
    """What was measured last; None where nothing was, or nothing that can be read."""
    try:
        return read_advice(path)
    except IntegrityError:
        return None


def bound_table(found: Mapping[str, Any]) -> pd.DataFrame:
    """One row per bound and share, with its interval over documents; the bound in use and the one that suits too."""
    import pandas as pd

    points = {point["bound"]: point for point in [*found["points"], found["current"], found["suited"]] if point}
    rows = [
        (label, bound, point[name]["mean"], point[name]["low"], point[name]["high"], point[name]["n"])
        for bound, point in sorted(points.items())
        for name, label in SHARES.items()
        if point[name]["mean"] is not None
    ]
    return pd.DataFrame(rows, columns=_COLUMNS)


def bound_chart(table: pd.DataFrame, found: Mapping[str, Any]) -> alt.LayerChart:
    """The shares against the bound, with their intervals; upright lines mark the one in use and the one that suits."""
    import altair as alt
    import pandas as pd

    names = list(SHARES.values())
    colours = alt.Scale(domain=names, range=[PALETTE[n % len(PALETTE)] for n in range(len(names))])
    dashes = alt.Scale(domain=names, range=[DASHES[n % len(DASHES)] for n in range(len(names))])
    legend = alt.Legend(orient="top", title=None, symbolOpacity=1, symbolType="circle", symbolStrokeWidth=0, columns=2)
    scale = alt.Scale(domain=[0.0, 1.0])
    base = alt.Chart(table).encode(
        x=alt.X("Bound:Q", title="assistant.min_answer", axis=alt.Axis(grid=False, tickCount=9)),
        color=alt.Color("Share:N", scale=colours, legend=legend),
    )
    line = base.mark_line(point=True, strokeWidth=2).encode(
        y=alt.Y("Mean:Q", title="share of questions", scale=scale, axis=alt.Axis(format="%", domain=False)),
        strokeDash=alt.StrokeDash("Share:N", scale=dashes, legend=None),
        tooltip=["Share:N", "Bound:Q", alt.Tooltip("Mean:Q", format=".1%"), "n:Q"],
    )
    bars = base.mark_rule(opacity=0.35).encode(y=alt.Y("Low:Q", scale=scale), y2="High:Q")
    marked = [("in use", found["current"]["bound"])]
    marked += [("suits", found["suited"]["bound"])] if found["suited"] else []
    places = alt.Chart(pd.DataFrame(marked, columns=["Mark", "Bound"])).encode(x="Bound:Q")
    upright = places.mark_rule(strokeDash=[2, 3], color=GREY)
    words = places.mark_text(baseline="bottom", y=-2, color=GREY).encode(text="Mark:N")
    return alt.layer(bars, line, upright, words).properties(height=300)


def bound_line(found: Mapping[str, Any]) -> str:
    """What was asked of whom, and what came of it, in words."""
    current = found["current"]
    counted = f"{current['right']['n']} questions with an answer, {current['rightly_refused']['n']} without"
    day = str(found["created"])[:10]
    return (
        f"{counted}, asked of {found['arm']} on {day}. A wrong answer costs {found['wrong_costs']:g}, a right one is "
        f"worth 1. {str(found['reason']).capitalize()}."
    )

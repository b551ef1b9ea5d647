"""Tables of differences and their forest plot: a summary.json in, pandas tables and Altair charts out. No Streamlit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dashboard.measures import percent, points
from dashboard.runs import estimate, items, number
from groundtone.types import Estimate

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

GREY = "#8a94a3"  # readable on both themes
COLUMNS = ("Name", "Detail", "Points", "Low", "High", "n", "Clear", "Label")


def differences_table(summary: Mapping[str, Any], metric: str) -> pd.DataFrame:
    """The paired differences of one metric, in percentage points."""
    rows = [
        (str(row.get("name")), f"{row.get('a')} − {row.get('b')}", estimate(row.get("estimate")))
        for row in items(summary.get("differences"))
        if row.get("metric") == metric
    ]
    return _interval_table([(name, detail, value) for name, detail, value in rows if value])


def forgetting_table(summary: Mapping[str, Any]) -> pd.DataFrame:
    """Tuned minus base per suite in percentage points, with what the comparison concluded."""
    import pandas as pd

    rows: list[tuple[str, str, Estimate]] = []
    more: list[dict[str, str | float]] = []
    for row in items(summary.get("forgetting")):
        value = estimate(row.get("difference"))
        if value is None:
            continue
        base, tuned = estimate(row.get("base")), estimate(row.get("tuned"))
        needs = row.get("needs")
        detail = (
            f"needs about {needs} items" if needs else f"{row.get('broken', 0)} broken, {row.get('fixed', 0)} fixed"
        )
        rows.append((str(row.get("suite", "")).replace("_", " "), detail, value))
        more.append(
            {
                "Base": percent(base.mean if base else None),
                "Tuned": percent(tuned.mean if tuned else None),
                "Verdict": str(row.get("verdict", "")),
                "Margin": -100 * abs(number(row.get("margin")) or 0),
            }
        )
    table = _interval_table(rows)
    for column in ("Base", "Tuned", "Verdict", "Margin"):
        table[column] = pd.Series([entry[column] for entry in more], dtype="float" if column == "Margin" else "object")
    return table


def _interval_table(rows: Sequence[tuple[str, str, Estimate]]) -> pd.DataFrame:
    import pandas as pd

    records = []
    for name, detail, value in rows:
        mean = value.mean or 0.0
        low = mean if value.low is None else value.low
        high = mean if value.high is None else value.high
        clear = "clear" if not low <= 0 <= high else "may be zero"
        label = f"{points(mean)}  [{points(low)}, {points(high)}]"
        records.append((name, detail, 100 * mean, 100 * low, 100 * high, value.n, clear, label))
    return pd.DataFrame(records, columns=list(COLUMNS))


def forest_chart(table: pd.DataFrame, *, title: str, accent: str, surface: str, margin: bool = False) -> alt.LayerChart:
    """A forest plot: one row per name, point and 95 % interval, a line at zero; filled points leave zero out.

    With `margin` the column Margin is drawn as a band, the loss that was allowed beforehand; else each row carries its
    figures.
    """
    import altair as alt

    base = alt.Chart(table)
    names = alt.Axis(labelLimit=180, labelFontSize=13, ticks=False, domain=False, labelPadding=12)
    rows = alt.Y("Name:N", sort=None, title=None, axis=names)
    edges = [0.0, *table["Low"], *table["High"], *(table["Margin"] if margin else ())]
    room = max(2.0, 0.08 * (max(edges) - min(edges)))
    scale = alt.Scale(domain=[min(edges) - room, max(edges) + room], nice=False)
    across = alt.X("Points:Q", title=title, scale=scale, axis=alt.Axis(tickCount=5, domain=False, grid=True))
    zero = alt.Chart().mark_rule(color=GREY, strokeWidth=1.5).encode(x=alt.datum(0))
    bars = base.mark_rule(color=accent, strokeWidth=2.5, strokeCap="round").encode(x="Low:Q", x2="High:Q", y=rows)
    dots = base.mark_point(size=95, color=accent, strokeWidth=2.5, filled=True, opacity=1).encode(
        x=across,
        y=rows,
        fill=alt.condition("datum.Clear == 'clear'", alt.value(accent), alt.value(surface)),
        stroke=alt.value(accent),
        tooltip=[alt.Tooltip(column) for column in ("Name", "Detail", "Label", "n")],
    )
    if margin:  # the band from the loss allowed up to no loss
        extra = base.mark_bar(color=GREY, opacity=0.28, height=22).encode(
            x="Margin:Q", x2=alt.datum(0), y=rows, tooltip=[alt.Tooltip("Margin:Q", title="loss allowed, points")]
        )
    else:
        extra = base.mark_text(dy=-15, fontSize=11, color=GREY).encode(x="Points:Q", y=rows, text="Label:N")
    height = max(140, (52 if margin else 62) * len(table) + 46)
    return alt.layer(zero, extra, bars, dots, data=table).properties(height=height).configure_view(strokeWidth=0)

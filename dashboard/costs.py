"""What tuning cost, as tables and charts: suites, retention against tone, checkpoints, a chain. No Streamlit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from dashboard.forest import Line
from dashboard.measures import percent, points
from dashboard.palette import DASHES, GREY, PALETTE
from dashboard.runs import estimate, items, number
from eval.forgetting import ALL_SUITES
from eval.safety import SUITES as SAFETY
from groundtone.project import Manifest

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

GROUPS = {
    "all": ("All suites with a skill to lose", "pooled, safety apart: the headline of what was lost"),
    "general": ("General skills", "arithmetic, instructions, conversation and whatever else the suites ask"),
    "safety": ("Safety and refusing", "does it still refuse what it should, and only that"),
    "grounded": ("Grounded skills", "uses the context, resists a distractor, admits what is missing, cites"),
}


def group_of(suite: str) -> str:
    """all, general, safety or grounded."""
    if suite == ALL_SUITES:
        return "all"
    if suite.startswith("grounded"):
        return "grounded"
    return "safety" if suite in SAFETY or suite.startswith(("safety", "refus", "harm")) else "general"


HOW = (
    "Intervals are of paired differences. McNemar's p is the mid-p on broken and fixed items, adjusted over the suites "
    "(Holm). A suite is forgotten where its interval lies below zero and p agrees, retained where the loss allowed is "
    "ruled out; else it is inconclusive."
)
COLUMNS = ("Base → tuned", "Broken", "Fixed", "McNemar p", "Verdict")
VERDICTS = {"retained": ("supported", "✓"), "forgotten": ("contradicted", "✕"), "inconclusive": ("unsupported", "?")}


def suite_lines(summary: Mapping[str, Any]) -> dict[str, list[Line]]:
    """Tuned minus base per suite, by group, with the counts behind McNemar's p (mid-p, Holm over the suites)."""
    found: dict[str, list[Line]] = {group: [] for group in GROUPS}
    for row in items(summary.get("forgetting")):
        suite, value = str(row.get("suite", "")), estimate(row.get("difference"))
        if value is not None:
            margin = number(row.get("margin"))
            found[group_of(suite)].append(Line(suite.replace("_", " "), value, margin=margin, cells=_counts(row)))
    return {GROUPS[group][0]: lines for group, lines in found.items() if lines}


def _counts(row: Mapping[str, Any]) -> tuple[str, ...]:
    base, tuned, p = estimate(row.get("base")), estimate(row.get("tuned")), number(row.get("p"))
    broken, fixed = int(number(row.get("broken")) or 0), int(number(row.get("fixed")) or 0)
    needs, verdict = number(row.get("needs")), str(row.get("verdict", ""))
    css, icon = VERDICTS.get(verdict, ("unchecked", "–"))
    more = f"<small>needs about {needs:.0f} more</small>" if needs else ""
    return (
        f"{percent(base.mean if base else None)} → {percent(tuned.mean if tuned else None)}",
        f"✕ {broken}",
        f"✓ {fixed}",
        "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}",
        f'<span class="gt-chip gt-{css}"><b aria-hidden="true">{icon}</b>{escape(verdict)}</span>{more}',
    )


def broken_in(row: Mapping[str, Any]) -> int:
    """How many items of a suite are broken."""
    return int(number(row.get("broken")) or 0)


def retention_table(curve: Mapping[str, Any]) -> pd.DataFrame:
    """One row per strength of strength.json: tone in per cent; all suites against the base in points, with interval."""
    import pandas as pd

    rows = []
    for point in items(curve.get("points")):
        figures, evidence = point.get("figures"), point.get("evidence")
        if not isinstance(figures, dict) or not isinstance(evidence, dict):
            continue
        suites = {row.get("suite"): row for row in items(evidence.get("forgetting"))}
        tone, kept = estimate(figures.get("tone")), estimate((suites.get(ALL_SUITES) or {}).get("difference"))
        if tone is None or kept is None or tone.mean is None or kept.mean is None:  # not measured is no point
            continue
        rows.append(
            {
                "Point": f"strength {number(point.get('strength')) or 0:g}",
                "Tone": 100 * tone.mean,
                "Kept": 100 * kept.mean,
                "Low": 100 * (kept.mean if kept.low is None else kept.low),
                "High": 100 * (kept.mean if kept.high is None else kept.high),
                "n": kept.n,
            }
        )
    return pd.DataFrame(rows, columns=["Point", "Tone", "Kept", "Low", "High", "n"])


def retention_chart(table: pd.DataFrame, *, accent: str) -> alt.LayerChart:
    """Retention over tone: one labelled point per strength with the interval of its retention."""
    import altair as alt

    base = alt.Chart(table).encode(x=alt.X("Tone:Q", title="tone, %", scale=alt.Scale(zero=False)))
    kept = alt.Y("Kept:Q", title="general skills against base, points", scale=alt.Scale(zero=False))
    bars = base.mark_rule(color=accent, strokeWidth=2).encode(y="Low:Q", y2="High:Q")
    dots = base.mark_point(filled=True, size=90, color=accent, opacity=1).encode(
        y=kept, tooltip=["Point", "Tone", "Kept", "Low", "High", "n"]
    )
    names = base.mark_text(align="left", dx=10, color=GREY, fontSize=12).encode(y=kept, text="Point:N")
    zero = alt.Chart().mark_rule(color=GREY, strokeDash=[4, 4]).encode(y=alt.datum(0))
    return alt.layer(zero, bars, dots, names, data=table).properties(height=300).configure_view(strokeWidth=0)


def looks_table(lines: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """guard.jsonl: per step and suite the difference from the base in percentage points, with its interval and n."""
    import pandas as pd

    rows = []
    for line in lines:
        step, difference = number(line.get("step")), number(line.get("difference"))
        if step is None or difference is None or "suite" not in line:
            continue
        low, high = number(line.get("low")), number(line.get("high"))
        rows.append(
            {
                "Step": int(step),
                "Suite": str(line["suite"]).replace("_", " "),
                "Points": 100 * difference,
                "Low": 100 * (difference if low is None else low),
                "High": 100 * (difference if high is None else high),
                "n": int(number(line.get("n")) or 0),
            }
        )
    return pd.DataFrame(rows, columns=["Step", "Suite", "Points", "Low", "High", "n"])


def looks_chart(table: pd.DataFrame) -> alt.LayerChart:
    """The guard's looks during training: a line per suite with its interval; suites differ by colour, dash and mark."""
    import altair as alt

    suites = list(dict.fromkeys(table["Suite"]))
    colours = alt.Scale(domain=suites, range=[PALETTE[n % len(PALETTE)] for n in range(len(suites))])
    dashes = alt.Scale(domain=suites, range=[DASHES[n % len(DASHES)] for n in range(len(suites))])
    colour = alt.Color("Suite:N", scale=colours, legend=alt.Legend(orient="top", title=None, symbolOpacity=1))
    base = alt.Chart(table).encode(x=alt.X("Step:Q", title="training step", axis=alt.Axis(grid=False)), color=colour)
    up = alt.Y("Points:Q", title="points against base", axis=alt.Axis(domain=False, tickCount=5))
    bars = base.mark_rule(opacity=0.35).encode(y="Low:Q", y2="High:Q")
    line = base.mark_line(strokeWidth=2).encode(y=up, strokeDash=alt.StrokeDash("Suite:N", scale=dashes, legend=None))
    dots = base.mark_point(filled=True, size=60).encode(
        y=up, shape=alt.Shape("Suite:N", legend=None), tooltip=["Step", "Suite", "Points", "Low", "High", "n"]
    )
    zero = alt.Chart().mark_rule(color=GREY, strokeDash=[4, 4]).encode(y=alt.datum(0))
    return alt.layer(zero, bars, line, dots, data=table).properties(height=280).configure_view(strokeWidth=0)


def chain_html(report: Mapping[str, Any]) -> str:
    """The heat map of forgetting.json: a row per stage, a column per suite, each cell with its interval and n."""
    chain = report.get("chain")
    if not isinstance(chain, dict):
        return ""
    named = chain.get("stages")
    stages = [str(stage) for stage in named] if isinstance(named, list) else []
    columns = items(chain.get("suites"))
    matrix = chain.get("matrix")
    if not stages or not columns or not isinstance(matrix, dict):
        return ""
    head = "".join(f"<th>{escape(str(c.get('suite', '')).replace('_', ' '))}</th>" for c in columns)
    body = []
    for at, stage in enumerate(stages):
        cells = [_chain_cell(matrix.get(str(c.get("suite"))), at) for c in columns]
        body.append(f"<tr><td>{at}. {escape(stage)}</td>{''.join(cells)}</tr>")
    bwt = estimate(chain.get("bwt"))
    said = escape(str(chain.get("why") or ""))
    if bwt is not None and bwt.mean is not None:
        ends = "" if bwt.low is None or bwt.high is None else f" [{points(bwt.low)}, {points(bwt.high)}]"
        said = f"Backward transfer {points(bwt.mean)} points{ends}, n {bwt.n}."
    table = (
        f'<table class="gt-table gt-chain"><thead><tr><th>Stage</th>{head}</tr></thead><tbody>{"".join(body)}</tbody>'
    )
    return f'{table}</table><p class="gt-note">{said}</p>'


def _chain_cell(values: Any, at: int) -> str:
    value = estimate(values[at]) if isinstance(values, list) and at < len(values) else None
    if value is None or value.mean is None:
        return "<td>–</td>"
    ends = "" if value.low is None or value.high is None else f"{100 * value.low:.0f} – {100 * value.high:.0f} %"
    depth = round(100 * min(max(value.mean, 0), 1))
    return f'<td style="--depth:{depth}%">{percent(value.mean)}<small>{ends} · n {value.n}</small></td>'


def chain_of(manifests: Sequence[Manifest], candidate: str) -> Manifest | None:
    """The newest finished `groundtone forgetting` run that this tuning run is part of."""
    return next((m for m in manifests if m.status == "done" and candidate in m.parents.values()), None)

"""How far the detector can be trusted, from people's verdicts: confusion matrix and reliability. No Streamlit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from dashboard.charts import GREY
from dashboard.claims import Claims
from dashboard.measures import interval, percent
from groundtone.feedback import JudgedClaim
from groundtone.stats import wilson_interval

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

BINS = 5  # of equal width; with tens of verdicts more would hold one or two each
CHECKED = ("supported", "unsupported", "contradicted")
Pair = tuple[bool, bool, float]  # flagged by the detector, wrong to people, the detector's risk


def pairs(claims: Claims, judged: Sequence[JudgedClaim]) -> list[Pair]:
    """One pair per verdict that says something, on a claim that the detector checked.

    "true elsewhere" counts as not carried: the passages that were shown do not hold it.
    """
    found = claims.among(one.verdict.claim_key for one in judged)
    known = [(found.get(one.verdict.claim_key), one.verdict.value) for one in judged]
    return [
        (entry.verdict != "supported", said != "supported", entry.risk)
        for entry, said in known
        if entry is not None and entry.verdict in CHECKED and said != "unsure"
    ]


def confusion_html(found: Sequence[Pair]) -> str:
    """The confusion matrix with each row's share right, its interval and n."""
    rows = []
    for flagged, name in ((True, "Detector: not carried"), (False, "Detector: supported")):
        own = [wrong for f, wrong, _ in found if f == flagged]
        right = wilson_interval(sum(w == flagged for w in own), len(own))
        share = f"{percent(right.mean)} right<small>{interval(right)} · n {len(own)}</small>" if own else "none judged"
        marks = [("✓" if flagged == wrong else "✕", own.count(wrong)) for wrong in (True, False)]
        cells = "".join(f"<td>{icon} {count}</td>" for icon, count in marks)
        rows.append(f"<tr><td>{name}</td>{cells}<td>{share}</td></tr>")
    head = "".join(f"<th>{h}</th>" for h in ("", "People: not carried", "People: supported", "Right"))
    return f'<table class="gt-table"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def reliability_table(found: Sequence[Pair]) -> pd.DataFrame:
    """Per bin of risk: the mean risk and the share that people found not carried, in per cent, with interval and n."""
    import pandas as pd

    rows = []
    for at in range(BINS):
        own = [(wrong, risk) for _, wrong, risk in found if min(int(risk * BINS), BINS - 1) == at]
        if not own:
            continue
        share = wilson_interval(sum(wrong for wrong, _ in own), len(own))
        risk = sum(r for _, r in own) / len(own)
        low, mean, high = (100 * (v or 0.0) for v in (share.low, share.mean, share.high))
        rows.append({"Risk": 100 * risk, "Wrong": mean, "Low": low, "High": high, "n": len(own)})
    return pd.DataFrame(rows, columns=["Risk", "Wrong", "Low", "High", "n"])


def reliability_chart(table: pd.DataFrame, *, accent: str) -> alt.LayerChart:
    """Claims that people found not carried over the detector's risk; on the dashed line the risk is a probability."""
    import altair as alt
    import pandas as pd

    whole = alt.Scale(domain=[0, 100])
    base = alt.Chart(table).encode(x=alt.X("Risk:Q", title="detector's risk, %", scale=whole))
    bars = base.mark_rule(color=accent, strokeWidth=2).encode(y=alt.Y("Low:Q", scale=whole), y2="High:Q")
    dots = base.mark_point(filled=True, size=90, color=accent, opacity=1).encode(
        y=alt.Y("Wrong:Q", title="not carried, say people, %", scale=whole),
        tooltip=["Risk", "Wrong", "Low", "High", "n"],
    )
    counts = base.mark_text(dx=14, color=GREY, align="left").encode(y="Wrong:Q", text=alt.Text("n:Q", format="d"))
    ideal = alt.Chart(pd.DataFrame({"Risk": [0, 100], "Wrong": [0, 100]}))
    line = ideal.mark_line(color=GREY, strokeDash=[4, 4]).encode(x="Risk:Q", y="Wrong:Q")
    return alt.layer(line, bars, dots, counts).properties(height=260).configure_view(strokeWidth=0)


def why_html(span: Mapping[str, Any], note: str) -> str:
    """Why a claim was made, as blame found it: cause, what retrieval did, what to do, the rows that taught it."""
    rows = []
    for row in span.get("rows") or ():
        if isinstance(row, dict):
            said = f"{escape(str(row.get('prompt', '')))} → {escape(str(row.get('reply', '')))}"
            rows.append(f'<li dir="auto"><code>{escape(str(row.get("where", "")))}</code> {said}</li>')
    rows_why = f'<p class="gt-note">No training rows are named: {escape(str(span.get("rows_why")))}</p>'
    listed = f'<ul class="gt-rows">{"".join(rows)}</ul>' if rows else rows_why if span.get("rows_why") else ""
    parts = (("Cause", "cause", "why"), ("Retrieval", "trace", "trace_why"))
    facts = "".join(
        f"<p><b>{name}: {escape(str(span.get(key, '')))}</b> {escape(str(span.get(why, '')))}</p>"
        for name, key, why in parts
    )
    fix = f"<p><b>What to do</b> {escape(str(span.get('fix', '')))}</p>"
    return f'<div class="gt-blame">{facts}{fix}{listed}<p class="gt-note">{escape(note)}</p></div>'

"""Why something was said that the documents do not carry: what blame found, as HTML. No Streamlit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from dashboard.closed import Seen, hidden_html
from dashboard.measures import interval, percent
from dashboard.runs import estimate
from groundtone.types import Estimate

__all__ = ["MEANINGS", "causes", "causes_html", "why_html"]

MEANINGS: Mapping[str, str] = {
    "documents": "copied or misread from a passage that was shown",
    "learned in tuning": "the training rows taught the words",
    "voice": "the house voice says it of its own",
    "base prior": "the base said it before any tuning",
    "unclear": "the signals disagree",
}


def causes(blame: Mapping[str, Any], arm: str = "all") -> list[tuple[str, Estimate]]:
    """The causes of doubted claims, largest share first; none where blame found nothing to blame."""
    arms = blame.get("arms")
    own = arms.get(arm) if isinstance(arms, dict) else None
    shares = own.get("causes") if isinstance(own, dict) else None
    found = [(str(name), estimate(value)) for name, value in (shares or {}).items()]
    return sorted(((n, e) for n, e in found if e is not None), key=lambda row: -(row[1].mean or 0))


def causes_html(found: Sequence[tuple[str, Estimate]]) -> str:
    """One bar per cause with its share, interval and n."""
    return "".join(
        f'<div class="gt-bar"><span>{escape(name)}<small>{MEANINGS.get(name, "")}</small></span><div>'
        f'<i style="width:{100 * (value.mean or 0):.1f}%"></i></div>'
        f"<b>{percent(value.mean)}</b><small>{interval(value)} · n {value.n}</small></div>"
        for name, value in found
    )


def why_html(span: Mapping[str, Any], note: str, *, seen: Seen | None = None) -> str:
    """Why a claim was made, as blame found it: cause, what retrieval did, what to do, the rows that taught it.

    Where anything is closed to whoever looks, only those of the rows that they may see.
    """
    rows, hidden = [], 0
    for row in span.get("rows") or ():
        if isinstance(row, dict):
            if seen is not None and not seen.says(str(row.get("prompt", "")), str(row.get("reply", ""))):
                hidden += 1
                continue
            said = f"{escape(str(row.get('prompt', '')))} → {escape(str(row.get('reply', '')))}"
            rows.append(f'<li dir="auto"><code>{escape(str(row.get("where", "")))}</code> {said}</li>')
    rows_why = f'<p class="gt-note">No training rows are named: {escape(str(span.get("rows_why")))}</p>'
    listed = f'<ul class="gt-rows">{"".join(rows)}</ul>' if rows else rows_why if span.get("rows_why") else ""
    listed += hidden_html(hidden)
    parts = (("Cause", "cause", "why"), ("Retrieval", "trace", "trace_why"))
    facts = "".join(
        f"<p><b>{name}: {escape(str(span.get(key, '')))}</b> {escape(str(span.get(why, '')))}</p>"
        for name, key, why in parts
    )
    fix = f"<p><b>What to do</b> {escape(str(span.get('fix', '')))}</p>"
    return f'<div class="gt-blame">{facts}{fix}{listed}<p class="gt-note">{escape(note)}</p></div>'

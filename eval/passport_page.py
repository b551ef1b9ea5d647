"""The passport's page and its two charts, as inline SVG: shares with their intervals, and differences around zero."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from eval.estimates import in_words
from groundtone.types import Estimate

__all__ = ["PAGE", "bars", "forest"]

_WIDTH, _LABEL, _ROW = 720, 230, 26  # units of the drawing; an SVG scales

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --ink: #1c2126; --dim: #5b6670; --page: #fff; --line: #d9dee3;
  --mark: #1f6feb; --pass: #116b33; --fail: #b3261e; --unsure: #8a5a00; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: #e6eaee; --dim: #9aa5af; --page: #14181c; --line: #323a42; --mark: #6cb0ff;
    --pass: #58c27d; --fail: #ff8a80; --unsure: #e0b050; }}
}}
body {{ margin: 0 auto; padding: 2rem 1rem; max-width: 60rem; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }}
h1 {{ font-size: 1.5rem; margin: 0; }} h2 {{ font-size: 1.15rem; margin: 2.2rem 0 .6rem; }}
.verdict {{ font-size: 2.2rem; font-weight: 700; margin: .3rem 0; }}
.pass {{ color: var(--pass); }} .fail {{ color: var(--fail); }} .unsure {{ color: var(--unsure); }}
.about {{ color: var(--dim); }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; width: 100%; margin: .6rem 0; font-variant-numeric: tabular-nums; }}
th, td {{ text-align: left; vertical-align: top; padding: .3rem .7rem .3rem 0; border-bottom: 1px solid var(--line);
  overflow-wrap: anywhere; }}
thead th {{ color: var(--dim); font-weight: 500; }} tbody th {{ font-weight: 500; }}
pre {{ padding: .8rem; border: 1px solid var(--line); overflow-x: auto; white-space: pre-wrap; }}
svg {{ width: 100%; height: auto; display: block; margin: .6rem 0; }}
svg text {{ fill: var(--ink); font: 12px system-ui, sans-serif; }} svg .note {{ fill: var(--dim); }}
svg .axis {{ stroke: var(--line); }} svg .mark {{ stroke: var(--mark); fill: var(--mark); stroke-width: 2; }}
@media print {{
  :root {{ --ink: #000; --dim: #444; --page: #fff; --line: #bbb; --mark: #000; }}
  body {{ padding: 0; max-width: none; font-size: 11px; }}
  tr, svg {{ break-inside: avoid; }} h2 {{ break-after: avoid; }} details > * {{ display: revert; }}
}}
</style>
</head>
<body>
<header>
<h1>{title}</h1>
<p class="verdict {state}">{verdict}</p>
<p class="about">{about}</p>
</header>
{body}
<footer><p class="about">Intervals are 95 %, bootstrapped over documents; n counts the items that have a value.
What could not be measured is said, and never counts as zero.</p></footer>
</body>
</html>
"""


def bars(title: str, values: Sequence[tuple[str, Estimate | None]]) -> str:
    """A dot and an interval per arm on the scale from 0 to 1; an arm without a value says so."""
    return _chart(title, values, low=0.0, high=1.0, signed=False)


def forest(values: Sequence[tuple[str, Estimate | None]]) -> str:
    """Differences around 0, on a scale that holds every interval; nothing for no values."""
    reach = [abs(v) for _, e in values if e is not None for v in (e.mean, e.low, e.high) if v is not None]
    if not reach:
        return ""
    most = max(0.05, *reach)
    return _chart("paired differences", values, low=-most, high=most, signed=True)


def _chart(title: str, values: Sequence[tuple[str, Estimate | None]], *, low: float, high: float, signed: bool) -> str:
    right = _WIDTH - 190  # the numbers stand behind
    height = _ROW * (len(values) + 1) + 8

    def x(value: float) -> float:
        return round(_LABEL + (min(high, max(low, value)) - low) / (high - low) * (right - _LABEL), 1)

    zero = x(0.0)
    parts = [f'<text class="note" x="0" y="16">{escape(title)}</text>']
    parts.append(f'<line class="axis" x1="{zero}" x2="{zero}" y1="{_ROW - 4}" y2="{height}"/>')
    for row, (label, estimate) in enumerate(values, 1):
        y = row * _ROW + 10
        parts.append(f'<text x="0" y="{y + 4}">{escape(_cut(label))}</text>')
        parts.append(
            f'<text class="note" x="{right + 10}" y="{y + 4}">{escape(in_words(estimate, signed=signed))}</text>'
        )
        if estimate is None or estimate.mean is None:
            continue
        if estimate.low is not None and estimate.high is not None:
            parts.append(f'<line class="mark" x1="{x(estimate.low)}" x2="{x(estimate.high)}" y1="{y}" y2="{y}"/>')
        parts.append(f'<circle class="mark" cx="{x(estimate.mean)}" cy="{y}" r="4"/>')
    drawing = "".join(parts)
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(title)}">{drawing}</svg>'


def _cut(label: str) -> str:
    return label if len(label) <= 38 else f"{label[:37]}…"

"""What the Overview shows, as pure functions: a summary.json in, HTML strings out (tables and charts: `charts`).

Nothing is averaged here: figures come as the evaluation wrote them, with their interval and n.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from dashboard.claims import Claims, Flip
from dashboard.forest import Line
from dashboard.measures import Metric, arm_name, change_word, interval, percent, points
from dashboard.runs import Problem, estimate, items, number
from groundtone.types import Estimate

Summary = Mapping[str, Any]
GATE = {  # verdict -> CSS class, icon, what it means
    "PASS": ("supported", "✓", "Every check passed. This run can be promoted."),
    "HOLD": ("contradicted", "✕", "At least one check failed. Do not promote this run."),
    "CANNOT TELL": ("unsupported", "?", "No check failed, but the evidence does not settle all of them."),
}
CHECK = {"pass": "supported", "fail": "contradicted", "cannot tell": "unsupported"}
CHECK_ICON = {"pass": "✓", "fail": "✕", "cannot tell": "?"}
REPLY_CHARS = 2000  # of an answer in a list of many; the review shows the whole
TILES = ("hallucination", "correct", "refused_right", "tone")
GRID = (("closed-book", "closed"), ("with documents", "rag"))
# How the gate writes an estimate: "tuned against base +0.01 [-0.02, +0.03] n=140: worse by 0.05 is ruled out".
_FIGURES = re.compile(r"^(?P<lead>.*?) [+-]\d[\d.]* \[[^\]]*\] n=\d+(?P<rest>.*)$", re.DOTALL)
_CODE = re.compile(r"`([^`]+)`")


def gate_verdict(summary: Summary) -> str:
    """The gate's verdict; a summary without a known one cannot tell."""
    gate = summary.get("gate")
    verdict = str(gate.get("verdict")) if isinstance(gate, dict) else ""
    return verdict if verdict in GATE else "CANNOT TELL"


def checks(summary: Summary) -> list[dict[str, Any]]:
    """The gate's checks, failed ones first, then those that cannot tell."""
    gate = summary.get("gate")
    order = {"fail": 0, "cannot tell": 1, "pass": 2}
    found = items(gate.get("checks")) if isinstance(gate, dict) else []
    return sorted(found, key=lambda check: order.get(str(check.get("verdict")), 1))


def badge_html(verdict: str) -> str:
    """The gate's verdict as a badge."""
    css, icon, _ = GATE[verdict]
    return f'<span class="gt-badge gt-{css}"><b aria-hidden="true">{icon}</b>{verdict}</span>'


def banner_html(summary: Summary) -> str:
    """The verdict in large type, what it means, and the checks that stand in the way."""
    verdict = gate_verdict(summary)
    css, icon, meaning = GATE[verdict]
    open_checks = [check for check in checks(summary) if check.get("verdict") != "pass"]
    listed = "".join(check_html(check) for check in open_checks)
    passed = len(checks(summary)) - len(open_checks)
    count = f"{passed} of {len(checks(summary))} checks passed" if checks(summary) else "no checks were recorded"
    return (
        f'<section class="gt-banner gt-{css}"><div class="gt-banner-icon" aria-hidden="true">{icon}</div>'
        f'<div class="gt-banner-body"><div class="gt-banner-title">{verdict}<span>{count}</span></div>'
        f"<p>{meaning}</p>{f'<ul>{listed}</ul>' if listed else ''}</div></section>"
    )


def check_html(check: Mapping[str, Any]) -> str:
    """One check of the gate as a list item."""
    verdict = str(check.get("verdict", "cannot tell"))
    css, icon = CHECK.get(verdict, "unsupported"), CHECK_ICON.get(verdict, "?")
    name = escape(str(check.get("name", "check")).replace("_", " "))
    why = escape(_why(check))
    return (
        f'<li><span class="gt-chip gt-{css}"><b aria-hidden="true">{icon}</b>{escape(verdict)}</span>'
        f"<strong>{name}</strong><span>{why}</span></li>"
    )


def _why(check: Mapping[str, Any]) -> str:
    """A check's reason with its shares in percentage points, as everywhere else on the page."""
    why, found = str(check.get("why", "")), _FIGURES.search(str(check.get("why", "")))
    value, margin = estimate(check.get("estimate")), number(check.get("margin"))
    if found is None or value is None or value.mean is None:
        return why
    conclusion = found["rest"].replace(f"{margin:g}", f"{100 * margin:g} points") if margin else found["rest"]
    return f"{found['lead']} {points(value.mean)} points{_range(value)}, n {value.n}{conclusion}"


def failures(summary: Summary) -> list[str]:
    """One line for each arm under which questions failed: they are missing from its figures."""
    coverage = summary.get("coverage")
    found = []
    for arm, counts in coverage.items() if isinstance(coverage, dict) else ():
        errors = number(counts.get("errors")) if isinstance(counts, dict) else None
        if errors:
            asked, first = counts.get("asked", "?"), str(counts.get("first_error", ""))
            found.append(f"{arm_name(str(arm))}: {errors:.0f} of {asked} questions failed. First error: {first}")
    return found


def cell_estimate(summary: Summary, arm: str, metric: str) -> Estimate | None:
    """One arm's figure; None where it was not measured."""
    return estimate((summary["arms"].get(arm) or {}).get(metric))


def cell_html(summary: Summary, arm: str, metric: Metric, *, name: str = "", wide: bool = False) -> str:
    """One cell of the heat map: value, interval, n; the deeper the tint, the larger the share."""
    value = cell_estimate(summary, arm, metric.key)
    kind = "gt-cell-wide" if wide else "gt-cell"
    label = f'<span class="gt-cell-name">{escape(name)}</span>' if name else ""
    if value is None or value.mean is None:
        return f'<div class="{kind} gt-empty">{label}<span class="gt-value">–</span><span>not measured</span></div>'
    depth = round(100 * min(max(value.mean, 0), 1))
    tone = "gt-heat-bad" if metric.better == "lower" else "gt-heat-good"
    missing = f" · {value.missing} not applicable" if value.missing and not wide else ""
    return (
        f'<div class="{kind} {tone}" style="--depth:{depth}%">{label}'
        f'<span class="gt-value">{percent(value.mean)}</span>'
        f"<span>{interval(value)}</span><span>n {value.n}{missing}</span></div>"
    )


def difference(summary: Summary, name: str, metric: str) -> Estimate | None:
    """A paired difference by its name."""
    for row in items(summary.get("differences")):
        if row.get("name") == name and row.get("metric") == metric:
            return estimate(row.get("estimate"))
    return None


def tile_html(summary: Summary, metric: Metric, *, baseline: Summary | None = None) -> str:
    """One of the four figures of the tuned arm with documents, its paired change against base, and against another run.

    Of another run only the summary is at hand: that change is taken as one of independent samples (`unpaired`).
    """
    value = cell_estimate(summary, "tuned/rag", metric.key)
    change = difference(summary, "tuning given RAG", metric.key)
    if value is None:
        return tile(metric.label, "–", "not measured for the tuned model", meaning=metric.meaning)
    note = f"{interval(value)} · n {value.n}"
    more = _change_html(metric, change, "base")
    if baseline is not None:
        more += _change_html(metric, unpaired(value, cell_estimate(baseline, "tuned/rag", metric.key)), "baseline run")
    return tile(metric.label, percent(value.mean), note, more=more, meaning=metric.meaning)


def unpaired(new: Estimate | None, old: Estimate | None) -> Estimate | None:
    """New minus old with an interval from both intervals, as of independent samples: too wide where items are shared.

    The square-and-add interval (Newcombe 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I).
    """
    ends = [v for e in (new, old) if e is not None for v in (e.mean, e.low, e.high)]
    if new is None or old is None or None in ends:
        return None
    (m, low, high), (m0, low0, high0) = [[float(v or 0) for v in ends[at : at + 3]] for at in (0, 3)]
    down, up = math.hypot(m - low, high0 - m0), math.hypot(high - m, m0 - low0)
    return Estimate(m - m0, m - m0 - down, m - m0 + up, min(new.n, old.n))


def tile(label: str, value: str, note: str, *, more: str = "", meaning: str = "", quiet: bool = False) -> str:
    """One figure in a frame, with what it rests on."""
    return (
        f'<div class="gt-tile"><div class="gt-tile-label" title="{escape(meaning)}">{escape(label)}</div>'
        f'<div class="gt-tile-value{" gt-quiet" if quiet else ""}">{escape(value)}</div>'
        f'<div class="gt-tile-note">{escape(note)}</div>{more}</div>'
    )


def _change_html(metric: Metric, change: Estimate | None, against: str) -> str:
    if change is None or change.mean is None:
        return f'<div class="gt-change gt-unchecked">no comparison with {against}</div>'
    word = change_word(metric, change)
    css = {"better": "supported", "worse": "contradicted"}.get(word, "unchecked")
    arrow = {"better": "✓", "worse": "✕"}.get(word, "≈")
    return (
        f'<div class="gt-change gt-{css}"><b aria-hidden="true">{arrow}</b>'
        f"{points(change.mean)} points vs {against}<span>{word}{_range(change)}, n {change.n}</span></div>"
    )


DIFFERENCES = {  # how the evaluation calls a comparison -> how people do
    "tuning given RAG": "Tuning, with documents",
    "RAG given tuned": "Documents, once tuned",
    "interaction": "Interaction of the two",
    "tuned vs prompted": "Tuning against a prompt",
    "held-out: tuned vs base": "Held-out: against base",
    "held-out: tuned vs prompted": "Held-out: against a prompt",
}


def difference_lines(summary: Summary, metric: str) -> list[Line]:
    """The paired differences of one metric, each with what was taken from what."""
    lines = []
    for row in items(summary.get("differences")):
        value = estimate(row.get("estimate")) if row.get("metric") == metric else None
        if value is not None:
            name, (a, b) = str(row.get("name")), (str(row.get(side)) for side in "ab")
            detail = f"({a}) − ({b})" if " - " in a else f"{a} − {b}"
            lines.append(Line(DIFFERENCES.get(name, name), value, detail.replace(" - ", " − ")))
    return lines


def _range(value: Estimate) -> str:
    return "" if value.low is None or value.high is None else f" [{points(value.low)}, {points(value.high)}]"


def pair_rows(flips: Sequence[Flip], before: Claims, after: Claims) -> list[dict[str, str]]:
    """Both answers of items that changed; a record that is gone meanwhile shows as no answer."""
    rows = []
    for flip in flips:
        old, new = before.record(flip.before), after.record(flip.after)
        question = ((new or old) or {}).get("question") or {}
        rows.append(
            {
                "id": flip.item,
                "question": str(question.get("text", "")),
                "before": _answer_text(old),
                "after": _answer_text(new),
            }
        )
    return rows


def flips(before: Claims, arm_before: str, after: Claims, arm_after: str) -> dict[str, list[Flip]]:
    """Items that were answered wrongly and are now right (fixed), and the other way round (broken)."""
    old, new = before.correct(arm_before), after.correct(arm_after)
    found: dict[str, list[Flip]] = {"broken": [], "fixed": []}
    for item in sorted(old.keys() & new.keys()):
        (was, line), (now, later) = old[item], new[item]
        if was != now:
            found["fixed" if now > was else "broken"].append(Flip(item, line, later))
    return found


def _answer_text(record: Mapping[str, Any] | None) -> str:
    answer = (record or {}).get("answer")
    return str(answer.get("text", "")) if isinstance(answer, dict) else ""


def changed_html(rows: Sequence[Mapping[str, str]], names: tuple[str, str] = ("Base", "Tuned")) -> str:
    """Items that changed, the older answer above the newer."""
    return "".join(
        f'<div class="gt-pair"><div class="gt-pair-question" dir="auto">{escape(row["question"] or row["id"])}</div>'
        f"{_reply(names[0], row['before'])}{_reply(names[1], row['after'])}</div>"
        for row in rows
    )


def _reply(name: str, text: str) -> str:
    text = text if len(text) <= REPLY_CHARS else f"{text[:REPLY_CHARS]}… ({len(text):,} characters)"
    return f'<div class="gt-pair-row"><span>{name}</span><div dir="auto">{escape(text or "no answer")}</div></div>'


def _as_code(match: re.Match[str]) -> str:
    return f"<code>{match.group(1)}</code>"


def problem_html(problem: Problem) -> str:
    """What is missing or broken, and the exact command that mends it."""
    run = (
        f'<div class="gt-command"><span>Run</span><code>{escape(problem.command)}</code></div>'
        if problem.command
        else ""
    )
    return (
        f'<section class="gt-problem"><div class="gt-problem-title">{escape(problem.title)}</div>'
        f"<p>{_CODE.sub(_as_code, escape(problem.why))}</p>{run}</section>"
    )

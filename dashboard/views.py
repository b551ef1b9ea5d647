"""What the Overview shows, as pure functions: a summary.json in, HTML strings out (tables and charts: `charts`).

Nothing is averaged here: figures come as the evaluation wrote them, with their interval and n.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from dashboard.measures import Metric, arm_name, change_word, interval, percent, points
from dashboard.runs import Problem, estimate, items, number
from groundtone.feedback import Agreement
from groundtone.types import Estimate

if TYPE_CHECKING:
    import pandas as pd

Summary = Mapping[str, Any]
GATE = {  # verdict -> CSS class, icon, what it means
    "PASS": ("supported", "✓", "Every check passed. This run can be promoted."),
    "HOLD": ("contradicted", "✕", "At least one check failed. Do not promote this run."),
    "CANNOT TELL": ("unsupported", "?", "No check failed, but the evidence does not settle all of them."),
}
CHECK = {"pass": "supported", "fail": "contradicted", "cannot tell": "unsupported"}
CHECK_ICON = {"pass": "✓", "fail": "✕", "cannot tell": "?"}
TILES = ("hallucination", "correct", "refused_right", "tone")
GRID = (("closed-book", "closed"), ("with documents", "rag"))
_CODE = re.compile(r"`([^`]+)`")
MIN_VERDICTS = 25  # below this many judged claims kappa's interval spans most of its range


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
    why = escape(str(check.get("why", "")))
    return (
        f'<li><span class="gt-chip gt-{css}"><b aria-hidden="true">{icon}</b>{escape(verdict)}</span>'
        f"<strong>{name}</strong><span>{why}</span></li>"
    )


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


def tile_html(summary: Summary, metric: Metric) -> str:
    """One of the four figures of the tuned arm with documents, and its paired change against base."""
    value = cell_estimate(summary, "tuned/rag", metric.key)
    change = difference(summary, "tuning given RAG", metric.key)
    if value is None:
        return _tile(metric.label, "–", "not measured for the tuned model", meaning=metric.meaning)
    note = f"{interval(value)} · n {value.n}"
    return _tile(metric.label, percent(value.mean), note, more=_change_html(metric, change), meaning=metric.meaning)


def _tile(label: str, value: str, note: str, *, more: str = "", meaning: str = "", quiet: bool = False) -> str:
    return (
        f'<div class="gt-tile"><div class="gt-tile-label" title="{escape(meaning)}">{escape(label)}</div>'
        f'<div class="gt-tile-value{" gt-quiet" if quiet else ""}">{escape(value)}</div>'
        f'<div class="gt-tile-note">{escape(note)}</div>{more}</div>'
    )


def _change_html(metric: Metric, change: Estimate | None) -> str:
    if change is None or change.mean is None:
        return '<div class="gt-change gt-unchecked">no comparison with base</div>'
    word = change_word(metric, change)
    css = {"better": "supported", "worse": "contradicted"}.get(word, "unchecked")
    arrow = {"better": "✓", "worse": "✕"}.get(word, "≈")
    return (
        f'<div class="gt-change gt-{css}"><b aria-hidden="true">{arrow}</b>'
        f"{points(change.mean)} points vs base<span>{word}</span></div>"
    )


def forgetting_html(table: pd.DataFrame) -> str:
    """The suites as a table with a chip for each verdict."""
    css = {"retained": "supported", "forgotten": "contradicted", "inconclusive": "unsupported"}
    icon = {"retained": "✓", "forgotten": "✕", "inconclusive": "?"}
    body = "".join(
        f"<tr><td>{escape(row['Name'])}<small>n {row['n']}</small></td><td>{row['Base']} → {row['Tuned']}</td>"
        f"<td>{escape(row['Label'])}</td>"
        f'<td><span class="gt-chip gt-{css.get(row["Verdict"], "unchecked")}"><b aria-hidden="true">'
        f"{icon.get(row['Verdict'], '–')}</b>{escape(row['Verdict'])}</span>"
        f"<small>{escape(row['Detail'])}</small></td></tr>"
        for row in table.to_dict("records")
    )
    head = "".join(f"<th>{name}</th>" for name in ("Suite", "Base → tuned", "Change, points", "Verdict"))
    return f'<table class="gt-table"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def agreement_html(found: Agreement) -> str:
    """How far the detector can be trusted: kappa on n verdicts, or that nobody has judged yet."""
    label = "Detector against people"
    if found.n == 0:
        note = (
            "0 human verdicts: unverified. The figures above rest on the detector alone until people judge its claims."
        )
        return _tile(label, "unverified", note, quiet=True)
    kappa = "undefined" if found.kappa is None else f"κ {found.kappa:.2f}".replace("-", "−")
    verdicts = f"{found.n} human verdict{'s' if found.n != 1 else ''}"
    notes = [f"Cohen's kappa on {verdicts} · {found.agreed} agree."]
    if found.kappa is None:
        notes.append("Detector and people used a single class only.")
    if found.n < MIN_VERDICTS:
        notes.append(f"Too few to rely on: judge at least {MIN_VERDICTS}.")
    return _tile(label, kappa, " ".join(notes), quiet=found.kappa is None)


def changed_items(summary: Summary, records: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, str]]]:
    """Fixed and broken items with the question and both answers (tuned and base, with documents)."""
    answers = {(str(r["item_id"]), r["arm"]): r for r in records}
    changed = summary.get("changed")
    found: dict[str, list[dict[str, str]]] = {}
    for kind in ("fixed", "broken"):
        ids = changed.get(kind) if isinstance(changed, dict) else None
        found[kind] = [
            {
                "id": str(item),
                "question": str((answers.get((str(item), "tuned/rag")) or {}).get("question", {}).get("text", "")),
                "base": _answer_text(answers.get((str(item), "base/rag"))),
                "tuned": _answer_text(answers.get((str(item), "tuned/rag"))),
            }
            for item in (ids if isinstance(ids, list) else [])
        ]
    return found


def _answer_text(record: Mapping[str, Any] | None) -> str:
    answer = (record or {}).get("answer")
    return str(answer.get("text", "")) if isinstance(answer, dict) else ""


def changed_html(rows: Sequence[Mapping[str, str]]) -> str:
    """Items that changed, base above tuned."""
    return "".join(
        f'<div class="gt-pair"><div class="gt-pair-question" dir="auto">{escape(row["question"] or row["id"])}</div>'
        f"{_reply('Base', row['base'])}{_reply('Tuned', row['tuned'])}</div>"
        for row in rows
    )


def _reply(name: str, text: str) -> str:
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

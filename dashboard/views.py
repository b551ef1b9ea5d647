"""What the Overview shows, as pure functions: a summary.json in, HTML strings out (tables and charts: `charts`).

Nothing is averaged here: figures come as the evaluation wrote them, with their interval and n.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from dashboard.claims import Claims, Flip
from dashboard.measures import Metric, arm_name, change_word, interval, percent, points
from dashboard.review import MIN_VERDICTS
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


def tile_html(summary: Summary, metric: Metric, *, baseline: Summary | None = None) -> str:
    """One of the four figures of the tuned arm with documents, its paired change against base, and against another run.

    Of another run only the summary is at hand: that change is taken as one of independent samples (`unpaired`).
    """
    value = cell_estimate(summary, "tuned/rag", metric.key)
    change = difference(summary, "tuning given RAG", metric.key)
    if value is None:
        return _tile(metric.label, "–", "not measured for the tuned model", meaning=metric.meaning)
    note = f"{interval(value)} · n {value.n}"
    more = _change_html(metric, change, "base")
    if baseline is not None:
        more += _change_html(metric, unpaired(value, cell_estimate(baseline, "tuned/rag", metric.key)), "baseline run")
    return _tile(metric.label, percent(value.mean), note, more=more, meaning=metric.meaning)


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


def _tile(label: str, value: str, note: str, *, more: str = "", meaning: str = "", quiet: bool = False) -> str:
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


def _range(value: Estimate) -> str:
    return "" if value.low is None or value.high is None else f" [{points(value.low)}, {points(value.high)}]"


NO_CARD = (
    '<p class="gt-note">No detector card: the evaluation found too few verdicts. Judge claims, then evaluate again to '
    "have precision, recall and a corrected rate.</p>"
)
CARD = (
    ("precision", "Precision"),
    ("recall", "Recall"),
    ("f1", "F1"),
    ("auroc", "AUROC"),
    ("ece", "Calibration error"),
)


def card_html(card: Mapping[str, Any]) -> str:
    """The detector card's figures, each with its interval and n; one that could not be measured says so."""
    cells = []
    for name, label in CARD:
        value = estimate(card.get(name))
        figure = f"{value.mean:.2f}" if value and value.mean is not None else "–"
        note = "not measured" if value is None else f"{interval(value)} · n {value.n}"
        cells.append(f"<div><span>{label}</span>{figure}<span>{note}</span></div>")
    note = escape(str(card.get("note", "")))
    return f'<div class="gt-facts gt-card">{"".join(cells)}</div><p class="gt-note">{note}</p>'


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
        f'<div class="gt-bar"><span>{escape(name)}</span><div>'
        f'<i style="width:{100 * (value.mean or 0):.1f}%"></i></div>'
        f"<b>{percent(value.mean)}</b><small>{interval(value)} · n {value.n}</small></div>"
        for name, value in found
    )


def changed_html(rows: Sequence[Mapping[str, str]], names: tuple[str, str] = ("Base", "Tuned")) -> str:
    """Items that changed, the older answer above the newer."""
    return "".join(
        f'<div class="gt-pair"><div class="gt-pair-question" dir="auto">{escape(row["question"] or row["id"])}</div>'
        f"{_reply(names[0], row['before'])}{_reply(names[1], row['after'])}</div>"
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

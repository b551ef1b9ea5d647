"""The summary as people read it: a Markdown report and a table for the terminal. Every number has n and an interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.answer_judge import judge_section
from eval.blame_report import in_markdown
from eval.estimates import from_json, in_words, short
from eval.forgetting_report import SUITE_HEADER, drift_section, harness_section, safety_section, suite_rows
from eval.leak import canary_words
from eval.metrics import LOWER_IS_BETTER, METRICS, RETRIEVAL_METRICS
from eval.report_parts import LABELS, causes_section, repeats_section, side_by_side_section, table, timing_markdown
from eval.robustness import robustness_section
from eval.summary import split_timing, summarise, write_summary
from eval.voice import left_out_section, voice_section
from groundtone.files import write_atomic

__all__ = ["LABELS", "REPORT", "TIMING_REPORT", "console_table", "summarise", "to_markdown", "write_reports"]

REPORT, TIMING_REPORT = "report.md", "timing.md"

_SQUARE = ("base/closed", "tuned/closed", "base/rag", "tuned/rag")


def to_markdown(summary: Mapping[str, Any]) -> str:
    """The whole report. A number that is not there reads "could not be measured"."""
    parts = [
        "# Evaluation" + (f" {summary['run']}" if summary.get("run") else ""),
        _origin(summary),
        _gate(summary["gate"]),
        _arms(summary),
        _differences(summary["differences"]),
        _forgetting(summary["forgetting"]),
        *_beside_the_suites(summary),
        _leak(summary.get("leak")),
        voice_section(summary.get("voice")),
        robustness_section(summary.get("robustness")),
        judge_section(summary.get("answer_judge")),
        left_out_section(summary.get("left_out")),
        _detector_card(summary.get("detector_card")),
        in_markdown(summary.get("blame")),
        _retrieval(summary["retrieval"]),
        causes_section(summary.get("error_causes") or {}),
        side_by_side_section(summary.get("side_by_side") or []),
        repeats_section(summary.get("repeats") or {}),
        _changed(summary["changed"]),
        "Intervals are 95 %, bootstrapped over documents; n counts the items that have a value. A refusal has no "
        "claims and is scored on its own axis. Claims are judged by a detector: it can err, and the "
        "detector card says how far.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def write_reports(folder: Path, summary: Mapping[str, Any]) -> None:
    """summary.json and report.md, which repeat byte by byte; timing.json and timing.md, which cannot."""
    still, timed = split_timing(summary)
    write_summary(folder, summary)
    write_atomic(folder / REPORT, to_markdown(still))
    write_atomic(folder / TIMING_REPORT, timing_markdown(timed))


def console_table(summary: Mapping[str, Any]) -> str:
    """The 2x2 as plain text with the honest rows below it, then the gate's verdict."""
    arms = summary["arms"]
    blocks = [_text_table(arms, [arm for arm in _SQUARE if arm in arms])]
    others = [arm for arm in arms if arm not in _SQUARE]
    if others:
        blocks.append(_text_table(arms, others))
    gate = summary["gate"]
    lines = [f"model: {summary['model']}"] if summary["model"] else []
    lines += [f"gate: {gate['verdict']}"]
    lines += [f"  {check['verdict']:<12} {check['name']}: {check['why']}" for check in gate["checks"]]
    return "\n\n".join([block for block in blocks if block] + ["\n".join(lines)])


def _text_table(arms: Mapping[str, Any], names: Sequence[str]) -> str:
    if not names:
        return ""
    rows = [["", *names]]
    for metric in METRICS:
        cells = [short(from_json(arms[name].get(metric))) for name in names]
        if any(cell != "-" for cell in cells):
            rows.append([LABELS[metric] + (" (lower is better)" if metric == "hallucination" else ""), *cells])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _origin(summary: Mapping[str, Any]) -> str:
    facts = (
        ("tuned run", summary["tuned_run"]),
        ("model", summary["model"]),
        ("index", summary["index"]),
        ("created", summary.get("created")),
    )
    lines = [f"- {name}: {value}" for name, value in facts if value]
    for arm, coverage in summary["coverage"].items():
        if coverage["errors"]:
            share = f"{coverage['errors']} of {coverage['asked']}"
            first = " ".join(coverage["first_error"].split())
            lines.append(f"- **{arm}: {share} questions failed** (first: {first})")
        if coverage.get("empty"):
            lines.append(f"- **{arm}: {coverage['empty']} of {coverage['asked']} replies are empty**")
    return "\n".join(lines)


def _gate(gate: Mapping[str, Any]) -> str:
    rows = [[check["name"], check["verdict"], check["why"]] for check in gate["checks"]]
    return f"## Gate: {gate['verdict']}\n\n" + table(["check", "verdict", "why"], rows)


def _arms(summary: Mapping[str, Any]) -> str:
    arms = summary["arms"]
    if not arms:
        return "## Arms\n\nNo question was asked."
    rows = []
    for metric in (m for m in METRICS if any(m in arms[arm] for arm in arms)):
        label = LABELS[metric] + (" (lower is better)" if metric in LOWER_IS_BETTER else "")
        rows.append([label, *(in_words(from_json(arms[arm].get(metric))) for arm in arms)])
    return "## Arms\n\n" + table(["", *arms], rows)


def _differences(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return "## Paired differences\n\nNo two arms to compare."
    names = list(dict.fromkeys(row["name"] for row in rows))
    cells = {(row["metric"], row["name"]): in_words(from_json(row["estimate"]), signed=True) for row in rows}
    lines = [
        [LABELS[metric], *(cells.get((metric, name), "could not be measured") for name in names)]
        for metric in METRICS
        if any((metric, name) in cells for name in names)
    ]
    note = "Interaction: what tuning changes with retrieval, less what it changes without."
    return "## Paired differences\n\n" + table(["", *names], lines) + f"\n\n{note}"


def _forgetting(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return "## Forgetting\n\nCould not be measured: no general items under both base and tuned."
    note = "Retained: a loss of the margin is ruled out. p is McNemar's mid-p, not adjusted in the last row."
    return "## Forgetting\n\n" + table(SUITE_HEADER, suite_rows(rows)) + f"\n\n{note}"


def _beside_the_suites(summary: Mapping[str, Any]) -> list[str]:
    """Early warnings, safety and what the harness could not measure; nothing in a summary from before they were."""
    if "drift" not in summary:
        return []
    return [
        drift_section(summary["drift"]),
        safety_section(summary["safety"]),
        harness_section(summary["harness"]),
    ]


def _leak(leak: Mapping[str, Any] | None) -> str:
    """Training values without documents; nothing for a summary from before there was such a test."""
    if leak is None:
        return ""
    head = "## Training values without documents\n\n"
    if not leak["rows"]:
        return head + ("Nothing to leak: " if leak["nothing"] else "Could not be measured: ") + f"{leak['why']}."
    rows = [
        ["base", in_words(from_json(leak["base"]))],
        ["tuned", in_words(from_json(leak["tuned"]))],
        ["difference", in_words(from_json(leak["difference"]), signed=True)],
    ]
    named = ", ".join(f"{row['value']} ({row['item']})" for row in leak["recited"])
    more = leak["recited_in_all"] - len(leak["recited"])
    canaries = canary_words(leak)
    lines = [
        f"The prompts of {leak['rows']} training rows from {leak['sources']} sources, asked without passages.",
        f"Said by tuned and not by base ({leak['recited_in_all']}): {named or 'none'}"
        + (f" and {more} more" if more else ""),
        *([canaries] if canaries else []),
    ]
    return head + table(["", "values of the replies that are recited"], rows) + "\n\n" + "\n\n".join(lines)


_CARD = {
    "prevalence": "claims that people found not carried",
    "precision": "precision of its flags",
    "recall": "recall",
    "f1": "F1",
    "always_positive_f1": "F1 of flagging every claim",
    "auroc": "AUROC",
    "ece": "calibration error, cross-validated",
    "kappa": "kappa with people",
}


def _detector_card(card: Mapping[str, Any] | None) -> str:
    """How far the detector agrees with people here, and the rates that this allows to be shown."""
    if card is None:
        return ""
    told = f"{card['detector']}, judged by {card['people']} people on {card['n']} claims"
    agreement = table([told, ""], [[label, in_words(from_json(card[name]))] for name, label in _CARD.items()])
    rates = []
    for arm, rate in card["rates"].items():
        headline = from_json(rate["headline"])
        provisional = f"{in_words(from_json(rate['provisional']))} (provisional, unverified)"
        rates.append([arm, in_words(headline) if headline else provisional, rate["why"] or "corrected by verdicts"])
    shown = table(["arm", "claims not carried", ""], rates) if rates else "No claims were checked."
    return f"## Detector card\n\n{agreement}\n\n{shown}\n\n{card['note']}"


def _retrieval(retrieval: Mapping[str, Any]) -> str:
    rows = [[LABELS[m], in_words(from_json(retrieval.get(m)))] for m in RETRIEVAL_METRICS]
    return "## Retrieval\n\n" + table(["", "all questions with gold"], rows)


def _changed(changed: Mapping[str, Any]) -> str:
    return "\n".join(
        [
            "## What the tuning changed",
            "",
            f"- fixed ({len(changed['fixed'])}): {', '.join(changed['fixed']) or 'none'}",
            f"- broken ({len(changed['broken'])}): {', '.join(changed['broken']) or 'none'}",
        ]
    )

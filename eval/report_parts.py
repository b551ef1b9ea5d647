"""Sections of the report on where errors come from, on rivals side by side, on repeats, and on what the clock says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eval.estimates import from_json, in_words
from eval.side_by_side import COST

__all__ = ["LABELS", "causes_section", "repeats_section", "side_by_side_section", "table", "timing_markdown"]

LABELS = {
    "hallucination": "claims not supported",
    "correct": "answered correctly",
    "complete": "gold values said",
    "content_f1": "F1 of content words against gold",
    "refused_right": "refused, rightly",
    "refused_wrong": "refused, wrongly",
    "citation_precision": "citations that support",
    "citation_recall": "claims well cited",
    "tone": "in the house's tone",
    "format": "in the house's format",
    "follows_change": "follows a changed document",
    "restyled": "said in its own words (strict)",
    "reply_tokens": "tokens written",
    "prompt_tokens": "tokens read",
    "latency_s": "seconds",
    "recall@1": "gold quote in hit 1",
    "recall@5": "gold quote in 5 hits",
    "mrr": "mean reciprocal rank",
}
_VERDICTS = {
    "as good": "does what {b} does, as far as was measured",
    "worse": "does not do what {b} does",
    "cannot tell": "cannot be told from {b} with so few items",
}


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; a "|" in a cell is escaped, and a line break becomes a space."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def causes_section(causes: Mapping[str, Any]) -> str:
    """Wrong answers by what went wrong: the search, or what was made of it."""
    if not causes:
        return ""
    kinds = next(iter(causes.values()))["causes"]
    rows = [
        [
            arm,
            f"{found['traced']} of {found['wrong']}",
            *(in_words(from_json(found["causes"][kind]["share"])) for kind in kinds),
        ]
        for arm, found in causes.items()
    ]
    note = (
        "Shares of the wrong answers whose gold quote is known. Up to `retrieved, not shown` the search is at fault, "
        "from there the model. A wrong answer without a gold quote cannot be traced."
    )
    return "## Where wrong answers went wrong\n\n" + table(["", "wrong, traced", *kinds], rows) + f"\n\n{note}"


def side_by_side_section(tables: Sequence[Mapping[str, Any]]) -> str:
    """One table per pair of arms; rows that nobody measured are left out, unless they say why."""
    return "\n\n".join(_pair(one) for one in tables)


def _pair(one: Mapping[str, Any]) -> str:
    a, b = one["a"], one["b"]
    parts = [f"## {a} beside {b}"]
    if "verdict" in one:
        parts.append(f"**{a} {_VERDICTS[one['verdict']].format(b=b)}.**")
    rows, reasons = [], []
    for row in one["rows"]:
        cells = [in_words(from_json(row[side])) for side in ("a", "b")]
        if row["why"]:
            reasons.append(f"{_label(row)}: {row['why']}.")
        if any(cell != "could not be measured" for cell in cells):
            rows.append([_label(row), *cells, in_words(from_json(row["difference"]), signed=True)])
    held = one.get("weights_bytes", {})
    reasons += [f"The weights of {arm} take {held[arm] / 1e6:,.1f} MB." for arm in held if held[arm] is not None]
    if one.get("weights_why"):
        reasons.append(f"Memory: {one['weights_why']}.")
    parts.append(table(["", a, b, f"{a} - {b}"], rows) if rows else "Nothing was measured under both.")
    parts += [f"- {check['verdict']}: {check['name']}: {check['why']}" for check in one.get("checks", ())]
    return "\n\n".join([*parts[:3], "\n".join(parts[3:]), "\n".join(f"- {r}" for r in reasons)]).strip()


def _label(row: Mapping[str, Any]) -> str:
    return str(row["unit"]) if row["measure"] == COST else LABELS[row["measure"]]


def repeats_section(repeats: Mapping[str, Any]) -> str:
    """How far each arm's means move between repeats, beside the interval over items."""
    if not repeats:
        return ""
    rows = []
    for arm, found in repeats.items():
        for metric, moved in found["metrics"].items():
            low, high = min(moved["means"]), max(moved["means"])
            off = "-" if moved["deviation"] is None else f"{moved['deviation']:.3f}"
            rows.append([arm, LABELS[metric], f"{low:.3f} to {high:.3f}", off, str(found["repeats"])])
    changed = [
        f"- {arm}: share of items with another text at least once {in_words(from_json(found['changed']))}; failed: "
        + ", ".join(map(str, found["errors"]))
        for arm, found in repeats.items()
    ]
    header = ["", "measure", "means of the repeats", "standard deviation", "repeats"]
    note = "The first time is what is scored. This spread is chance in the model; intervals are chance in the items."
    return "\n\n".join(["## Asked again", table(header, rows), "\n".join(changed), note])


def timing_markdown(timing: Mapping[str, Any]) -> str:
    """What the clock says: it differs from run to run, and so stands apart from the report."""
    rows = [[arm, *(in_words(from_json(e)) for e in found.values())] for arm, found in timing["arms"].items()]
    parts = [f"# Timing of {timing['run']}", f"- created: {timing['created']}", table(["", "seconds per answer"], rows)]
    parts += [_pair(one) for one in timing["side_by_side"]]
    return "\n\n".join(parts) + "\n"

"""forgetting.json as people read it: a Markdown page with the suites, the warnings, the controls and the heat map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eval.estimates import from_json, in_words
from eval.report_parts import table

__all__ = ["SUITE_HEADER", "drift_section", "harness_section", "safety_section", "suite_rows", "to_markdown"]

SUITE_HEADER = ("suite", "base", "tuned", "difference", "fixed / broken", "p (Holm)", "margin", "verdict")


def to_markdown(report: Mapping[str, Any]) -> str:
    """The whole page. A number that is not there reads "could not be measured"."""
    parts = ["# Forgetting", _chain(report["chain"])]
    for adapter in report["adapters"]:
        rows = suite_rows(adapter["suites"])
        parts += [f"## {adapter['run']} against the base", table(SUITE_HEADER, rows) if rows else "No suite was asked."]
        parts += [
            drift_section(adapter["drift"]),
            safety_section(adapter["safety"]),
            harness_section(adapter["harness"]),
        ]
        parts.append(_foreign(adapter["foreign"]))
    parts.append(_controls(report.get("controls")))
    parts.append(
        "Intervals are 95 %, bootstrapped over items, those over the same passages together. Retained: a loss of the "
        "margin is ruled out. Bits per byte and KL are early warnings: they never decide."
    )
    return "\n\n".join(part for part in parts if part) + "\n"


def suite_rows(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """One line of cells per suite, as `SUITE_HEADER` names them."""
    return [
        [
            row["suite"],
            in_words(from_json(row["base"])),
            in_words(from_json(row["tuned"])),
            in_words(from_json(row["difference"]), signed=True),
            f"{row['fixed']} / {row['broken']}",
            "-" if row["p"] is None else f"{row['p']:.3f}",
            f"{row['margin']:g}",
            row["verdict"] + (f" (needs {row['needs']} more)" if row["needs"] else ""),
        ]
        for row in rows
    ]


def drift_section(drift: Mapping[str, Any]) -> str:
    """The early warnings."""
    if not drift["rows"]:
        return f"### Early warnings\n\nCould not be measured: {drift['why']}."
    rows = [
        [
            row["measure"],
            _precise(row["base"]) if row["base"] else "-",
            _precise(row["tuned"]),
            _precise(row["difference"]),
            "drifted" if row["warns"] else "quiet",
        ]
        for row in drift["rows"]
    ]
    return "### Early warnings, no verdicts\n\n" + table(("measure", "base", "tuned", "difference", ""), rows)


def safety_section(rows: Sequence[Mapping[str, Any]]) -> str:
    """How often base and tuned decline."""
    if not rows:
        return ""
    header = ("", "base", "tuned", "difference")
    return "### Harmful requests and harmless look-alikes\n\n" + table(header, [_compared("what", row) for row in rows])


def harness_section(harness: Mapping[str, Any]) -> str:
    """Tasks that could not be measured, and warnings; those that were measured are suites like any other."""
    lines = [f"- {task} could not be measured: {why}" for task, why in sorted(harness["unmeasured"].items())]
    lines += [f"- **{warning}**" for warning in harness["warnings"]]
    return "### Harness tasks\n\n" + "\n".join(lines) if lines else ""


def _precise(data: Mapping[str, Any]) -> str:
    """Three decimals: drift is small long before it matters."""
    if data["mean"] is None:
        return "could not be measured"
    interval = "" if data["low"] is None else f" [{data['low']:.3f}, {data['high']:.3f}]"
    return f"{data['mean']:.3f}{interval} n={data['n']}"


def _foreign(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    header = ("", "base/rag", "tuned/rag", "difference")
    return "### Another company's documents\n\n" + table(header, [_compared("metric", row) for row in rows])


def _compared(name: str, row: Mapping[str, Any]) -> list[str]:
    arms = [in_words(from_json(row[arm])) for arm in ("base", "tuned")]
    return [row[name], *arms, in_words(from_json(row["difference"]), signed=True)]


def _chain(chain: Mapping[str, Any]) -> str:
    rows = [
        [suite["suite"] + ("" if suite["counted"] else " (not counted)"), *map(_cell, chain["matrix"][suite["suite"]])]
        for suite in chain["suites"]
    ]
    lines = ["## Suites by adapter", "", table(("suite", *chain["stages"]), rows), ""]
    if chain["bwt"] is None:
        lines.append(f"BWT is not reported: {chain['why']}.")
    else:
        lines += [
            f"Backward transfer (BWT): {in_words(from_json(chain['bwt']), signed=True)}",
            "",
            f"Forgetting, from the best stage: {in_words(from_json(chain['forgetting']), signed=True)}",
        ]
    return "\n".join(lines)


def _cell(data: Mapping[str, Any]) -> str:
    return in_words(from_json(data))


def _controls(controls: Mapping[str, Any] | None) -> str:
    if controls is None:
        return ""
    if "why" in controls:
        return f"## Controls\n\nCould not be run: {controls['why']}."
    rows = []
    for name, control in controls.items():
        row = control.get("row")
        if row is None:
            rows.append([name, control.get("why") or "no suite with a skill to lose", "", ""])
            continue
        changed = f"{control['changed']} of {control['replies']}"
        rows.append([name, in_words(from_json(row["difference"]), signed=True), changed, row["verdict"]])
    return "## Controls\n\n" + table(("", "difference over all suites", "replies changed", "verdict"), rows)

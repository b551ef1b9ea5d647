"""The data report and the facts in tone data as tables, and which rows a finding is about. No Streamlit."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dashboard.access import Readable
from dashboard.closed import Seen
from dashboard.edits import Decision, Row
from dashboard.runs import items
from groundtone.errors import ProjectError

if TYPE_CHECKING:
    import pandas as pd

TIMEOUT_S = 300.0
ALL_ROWS = "all rows"
FACTS = "facts"
LEVELS = {"refuse": "✕ refuses to train", "report": "! reported"}
_LINE = re.compile(r":(\d+)(?=\s|$|,)")
_DECIDED = {"keep": "✓ keep", "drop": "✕ drop", "edit": "✎ edited"}


def report_command(root: Path, what: str) -> list[str]:
    """`groundtone data report` (without weights: as text only) or `groundtone data check` as a process."""
    assert what in ("report", "check"), what
    extra = ["--text-only"] if what == "report" else []
    return [sys.executable, "-P", "-m", "groundtone.cli.main", "data", what, *extra, "--json", "--project", str(root)]


def run_report(command: Sequence[str]) -> dict[str, Any]:
    """The JSON that the process printed; 1 is its word for "would refuse". Raises ProjectError with its last lines."""
    try:
        done = subprocess.run(
            list(command), capture_output=True, text=True, encoding="utf-8", timeout=TIMEOUT_S, check=False
        )
        found = json.loads(done.stdout) if done.returncode in (0, 1) else None
    except subprocess.TimeoutExpired as error:
        raise ProjectError(f"the check took longer than {TIMEOUT_S:.0f} s and was stopped") from error
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ProjectError(" ".join(done.stderr.strip().splitlines()[-3:]) or f"exit code {done.returncode}")
    return found


def issues_table(report: Mapping[str, Any]) -> pd.DataFrame:
    """One row per finding of a data report, those that refuse to train first."""
    import pandas as pd

    levels = report.get("levels") if isinstance(report.get("levels"), dict) else {}
    rows = [
        {
            "Check": str(finding.get("check", "")),
            "Weight": LEVELS.get(str((levels or {}).get(finding.get("check"))), "noted"),
            "Cases": len(finding.get("where") or ()),
            "What": str(finding.get("why", "")),
            "What to do": str(finding.get("fix", "")),
        }
        for finding in items(report.get("findings"))
    ]
    order = list(LEVELS.values())
    rows.sort(key=lambda row: order.index(str(row["Weight"])) if row["Weight"] in order else len(order))
    return pd.DataFrame(rows, columns=["Check", "Weight", "Cases", "What", "What to do"])


def issues_html(table: pd.DataFrame) -> str:
    """The findings with their whole text."""
    rows = "".join(
        f'<tr><th scope="row">{escape(row["Check"].replace("_", " "))}</th><td>{escape(row["Weight"])}</td>'
        f'<td>{row["Cases"]}</td><td class="gt-long">{escape(row["What"])}</td>'
        f'<td class="gt-long">{escape(row["What to do"])}</td></tr>'
        for row in table.to_dict("records")
    )
    head = "".join(f"<th>{escape(name)}</th>" for name in table.columns)
    return f'<table class="gt-table"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


def context_html(context: Any) -> str:
    """The passages that a row's reply rests on."""
    shown = [str(passage) for passage in context] if isinstance(context, list) else []
    return "".join(f'<p class="gt-note" dir="auto">[{n}] {escape(passage)}</p>' for n, passage in enumerate(shown, 1))


def decided(row: Row, decision: Decision | None) -> Mapping[str, Any]:
    """The row as it will be exported: an edited one as somebody edited it last."""
    edited = decision is not None and decision.word == "edit"
    return dict(json.loads(decision.text)) if decision is not None and edited else row.data


def no_rows_html(report: Mapping[str, Any], check: str, *, looked: bool, hidden: int) -> str:
    """Why a check lists no rows, and what it is about instead: not told where rows are hidden, for it names sources."""
    if check == FACTS:
        said = "No row that can be shown teaches a fact." if looked else "Nobody has looked for facts yet: see above."
        return f'<p class="gt-note">{said}</p>'
    findings = [finding for finding in items(report.get("findings")) if finding.get("check") == check]
    about = [str(place) for finding in findings for place in finding.get("where") or ()]
    if hidden or not about:
        said = "This check names no row that can be shown: it is about groups, another file or what is hidden."
        return f'<p class="gt-note">{said}</p>'
    listed = "".join(f'<li dir="auto">{escape(one)}</li>' for one in about)
    return f'<p class="gt-note">This check names no single row. It is about</p><ul class="gt-rows">{listed}</ul>'


def lines_of(report: Mapping[str, Any], check: str, *, file: str) -> list[int]:
    """The line numbers of `file` that a check found, in its order, each once."""
    numbers: dict[int, None] = {}
    for finding in items(report.get("findings")):
        for place in finding.get("where") or () if finding.get("check") == check else ():
            for part in str(place).split(" = "):
                match = re.search(_LINE, part) if file in part else None
                if match:
                    numbers[int(match[1])] = None
    return list(numbers)


def facts_table(checked: Mapping[str, Any], seen: Seen, *, readable: Readable = None) -> pd.DataFrame:
    """Facts that replies would teach: line, kind, value, where the documents say it.

    Those of hidden rows are left out, and documents that may not be read are not named.
    """
    import pandas as pd

    facts, rows, shown = checked.get("facts"), seen.everything, {row.number for row in seen.shown}
    found = []
    for finding in items(facts.get("findings") if isinstance(facts, dict) else None):
        at = finding.get("row")
        line = rows[at].number if isinstance(at, int) and 0 <= at < len(rows) else None
        if seen.hidden and line not in shown:
            continue
        where, source = finding.get("where"), finding.get("source")
        if readable is not None and where == "document" and source not in readable:
            source = "closed to you"
        found.append((line, finding.get("kind"), finding.get("text"), where, source))
    return pd.DataFrame(found, columns=["Line", "Kind", "Value", "Where it stands", "Source"])


def rows_table(rows: Sequence[Row], decisions: Mapping[str, Decision]) -> pd.DataFrame:
    """Rows with what was decided on each."""
    import pandas as pd

    shown = []
    for row in rows:
        decision = decisions.get(row.key)
        data = decided(row, decision)
        shown.append(
            (
                row.number,
                _DECIDED[decision.word] if decision else "",
                str(data.get("prompt", "")),
                str(data.get("reply", "")),
                str(data.get("source", "")),
            )
        )
    return pd.DataFrame(shown, columns=["Line", "Decision", "Prompt", "Reply", "Source"])

"""Evaluation runs as the dashboard reads them: plain data from the run folders; what cannot be shown is said why.

Nothing here raises for what lies in a project folder: a missing, half-written, foreign or newer run becomes a `Problem`
with the command that mends it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from groundtone.project import Manifest, Project
from groundtone.types import Estimate

SUMMARY_SCHEMA = 1
NOT_TUNED = "not tuned"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that cannot be shown: what it is, why, and the command that mends it ("" where none does)."""

    title: str
    why: str
    command: str = ""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One readable evaluation: its folder, its summary.json, and the tuning run that it judged."""

    id: str
    path: Path
    created: str
    candidate: str
    summary: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Evaluations:
    """Readable evaluations, newest first, and a problem for each run that is not among them."""

    runs: tuple[Evaluation, ...] = ()
    problems: tuple[Problem, ...] = ()

    def candidates(self) -> list[str]:
        """The tuning runs that were evaluated, the latest evaluated first."""
        return list(dict.fromkeys(run.candidate for run in self.runs))

    def of(self, candidate: str) -> list[Evaluation]:
        """The evaluations of one tuning run, newest first."""
        return [run for run in self.runs if run.candidate == candidate]


@dataclass(frozen=True, slots=True)
class Records:
    """The readable lines of a records.jsonl and how many were not readable."""

    rows: tuple[Mapping[str, Any], ...] = field(default=())
    skipped: int = 0


def project_problem(root: Path) -> Problem | None:
    """Why `root` cannot be opened as a project; None where it can."""
    if not root.is_dir():
        return Problem(
            "There is no such folder",
            f"{root} does not exist or is not a folder.",
            "groundtone dashboard --project DIR",
        )
    project = Project(root)
    if not project.config_path.is_file() and not project.folder.is_dir():
        return Problem(
            "This folder is not a project yet",
            f"{root} holds neither {project.config_path.name} nor a {project.folder.name} folder.",
            "groundtone demo",
        )
    return None


def load_evaluations(root: Path) -> Evaluations:
    """Every evaluation under `root`, readable or explained."""
    project = Project(root)
    runs: list[Evaluation] = []
    problems = [Problem("A run folder cannot be read", text, "groundtone runs") for text in project.run_problems()]
    for manifest in project.runs("eval"):
        path = project.runs_folder / manifest.id
        found = _load(manifest, path)
        if isinstance(found, Problem):
            problems.append(found)
        else:
            runs.append(found)
    return Evaluations(tuple(runs), tuple(problems))


def _load(manifest: Manifest, path: Path) -> Evaluation | Problem:
    state = manifest.state()
    if state != "done":
        return _unfinished(manifest, state)
    try:
        summary = json.loads((path / "summary.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Problem(f"{manifest.id} has no summary", "Its summary.json is missing.", "groundtone eval")
    except (OSError, ValueError) as error:
        return Problem(f"{manifest.id} cannot be read", f"summary.json is not valid JSON: {error}", "groundtone eval")
    why = summary_problem(summary)
    if why:
        return Problem(f"{manifest.id} cannot be shown", why, "groundtone eval")
    candidate = str(summary.get("tuned_run") or manifest.parents.get("tuned") or NOT_TUNED)
    return Evaluation(manifest.id, path, str(summary.get("created") or manifest.created), candidate, summary)


def _unfinished(manifest: Manifest, state: str) -> Problem:
    if state == "running":
        return Problem(
            f"{manifest.id} is still running", f"Started {manifest.created}; its figures appear here when it is done."
        )
    reason = str(manifest.notes.get("reason", "")) or "Its process ended before it wrote a summary."
    return Problem(f"{manifest.id} {'failed' if state == 'failed' else 'was interrupted'}", reason, "groundtone eval")


def summary_problem(summary: Any) -> str:
    """Why a summary.json is not one that this version shows; "" where it is."""
    if not isinstance(summary, dict):
        return f"summary.json holds {type(summary).__name__}, not an object."
    schema = summary.get("schema")
    if schema != SUMMARY_SCHEMA:
        newer = isinstance(schema, int) and schema > SUMMARY_SCHEMA
        hint = "it was written by a newer groundtone: upgrade this one." if newer else "evaluate again."
        return f"summary.json has schema {schema!r}, this version shows {SUMMARY_SCHEMA}: {hint}"
    arms = summary.get("arms")
    if not isinstance(arms, dict) or not all(isinstance(metrics, dict) for metrics in arms.values()):
        return "summary.json has no table of arms; it is incomplete."
    return ""


def read_records(path: Path) -> Records:
    """The records of one evaluation; a line that is cut off or foreign is counted, not fatal."""
    rows: list[Mapping[str, Any]] = []
    skipped = 0
    try:
        with (path / "records.jsonl").open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                row = read_record(line)
                if row is not None:
                    rows.append(row)
                elif line.strip():
                    skipped += 1
    except OSError:
        return Records()
    return Records(tuple(rows), skipped)


def read_record(line: str) -> Mapping[str, Any] | None:
    """One line of a records.jsonl; None where it is cut off or foreign."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    whole = isinstance(row, dict) and isinstance(row.get("question"), dict) and isinstance(row.get("arm"), str)
    return row if whole and "item_id" in row else None


def read_object(path: Path) -> Mapping[str, Any] | None:
    """A file's JSON object; None where it is missing, cut off or no object."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The JSON objects of a file of lines; lines that are cut off are left out."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    found = []
    for line in text.splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:  # the last line of a run that still writes
            continue
    return items(found)


def estimate(value: Any) -> Estimate | None:
    """An `Estimate` from its JSON form; None where there is none or it holds no figure."""
    if not isinstance(value, dict):
        return None
    mean, low, high = (number(value.get(key)) for key in ("mean", "low", "high"))
    n, missing = number(value.get("n")), number(value.get("missing"))
    if mean is None or not n:
        return None
    return Estimate(mean, low, high, int(n), int(missing or 0))


def number(value: Any) -> float | None:
    """A finite number, or None for anything else."""
    ok = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if ok else None


def items(value: Any) -> list[dict[str, Any]]:
    """The objects of a JSON list; anything else in its place is left out."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []

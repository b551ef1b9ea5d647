"""Work that runs beside the dashboard, as a page shows it: which commands it may start, how far the running one is."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from dashboard.views_training import last_step
from groundtone.jobs import Job, Jobs, Progress, progress_in
from groundtone.project import Project

# The whole list of what a page can start: fixed words, so that nothing typed into a page becomes a command.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "index": ("Index the documents", "reads what changed since the last time"),
    "tune": ("Tune", "teaches the voice with the settings in groundtone.yaml"),
    "eval": ("Evaluate", "base and tuned model, with and without documents"),
}
WORDS = {
    "running": ("◐", "running"),
    "done": ("✓", "done"),
    "failed": ("✕", "failed"),
    "cancelled": ("■", "cancelled"),
    "interrupted": ("?", "interrupted"),
}
LOG_LINES = 200


def jobs_of(root: Path) -> Jobs:
    """The project's jobs."""
    return Jobs(Project(root).folder / "jobs")


def command_of(kind: str, root: Path) -> list[str]:
    """The command line behind one of COMMANDS."""
    assert kind in COMMANDS, kind
    return [sys.executable, "-P", "-m", "groundtone.cli.main", kind, "--project", str(root)]


def progress_of(job: Job, log: str, root: Path) -> Progress | None:
    """How far a job is: the steps of the tuning run that its process writes, else the log's last counted stage."""
    if job.kind == "tune" and job.worker:
        project = Project(root)
        process = f"{platform.node()}:{job.worker}"
        for manifest in project.runs("tune")[:5]:
            if manifest.process == process:
                step = last_step(project.runs_folder / manifest.id)
                return Progress("training", step.step, step.steps) if step else None
    return progress_in(log)


def tail(log: str, lines: int = LOG_LINES) -> str:
    """The last lines of a log."""
    return "\n".join(log.rstrip().splitlines()[-lines:])


def job_html(job: Job, progress: Progress | None, *, stopping: bool = False) -> str:
    """One line on a job: icon, what, state; while it runs, how far, and whether it was asked to stop."""
    icon, words = WORDS[job.state]
    if stopping and job.state == "running":
        words = "stopping; it finishes what it is writing"
    label = COMMANDS.get(job.kind, (job.kind, ""))[0]
    far = f" · {escape(progress.stage)} {progress.done}/{progress.total}" if progress and job.state == "running" else ""
    code = f" (exit code {job.code})" if job.state == "failed" else ""
    return f'<p class="gt-note"><b><span aria-hidden="true">{icon}</span> {escape(label)}</b><br>{words}{code}{far}</p>'


def shown_command(command: Sequence[str]) -> str:
    """A job's command as a person would type it."""
    words = list(command)
    at = words.index("groundtone.cli.main") if "groundtone.cli.main" in words else -1
    return " ".join(["groundtone", *words[at + 1 :]] if at >= 0 else words)

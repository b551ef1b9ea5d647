"""The thin Streamlit layer under the pages: what was read from a run folder is kept until its files change."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from dashboard import review, runs
from dashboard.worker import ChatWorker, chat_command
from groundtone.feedback import Feedback
from groundtone.project import Project

Stamp = tuple[tuple[str, int], ...]


def evaluations(root: Path) -> runs.Evaluations:
    """The project's evaluations, read again when a manifest or summary changes."""
    folder = Project(root).runs_folder
    watched = [*folder.glob("*/manifest.json"), *folder.glob("*/summary.json")] if folder.is_dir() else []
    return _evaluations(str(root), _stamp(watched))


def records(run: runs.Evaluation) -> runs.Records:
    """An evaluation's records, read again when the file changes."""
    return _records(str(run.path), _stamp([run.path / "records.jsonl"]))


def queue(run: runs.Evaluation) -> list[review.Row]:
    """Every claim of an evaluation, riskiest first."""
    return _queue(str(run.path), _stamp([run.path / "records.jsonl"]))


def feedback(root: Path) -> Feedback:
    """The project's store of human verdicts and votes."""
    return Feedback(Project(root).feedback_path)


def _stamp(paths: list[Path]) -> Stamp:
    return tuple(sorted((str(path), path.stat().st_mtime_ns) for path in paths if path.exists()))


@st.cache_resource(show_spinner=False, max_entries=4, ttl=60)  # a run that died unnoticed changes no file
def _evaluations(root: str, stamp: Stamp) -> runs.Evaluations:
    return runs.load_evaluations(Path(root))


@st.cache_resource(show_spinner="Reading the records…", max_entries=4)
def _records(path: str, stamp: Stamp) -> runs.Records:
    return runs.read_records(Path(path))


@st.cache_resource(show_spinner=False, max_entries=4)
def _queue(path: str, stamp: Stamp) -> list[review.Row]:
    return review.queue(_records(path, stamp).rows)


def _alive(worker: ChatWorker) -> bool:
    return worker.alive


def _close(worker: ChatWorker) -> None:
    worker.close()


@st.cache_resource(show_spinner=False, max_entries=1, validate=_alive, on_release=_close)
def chat_worker(root: Path) -> ChatWorker:
    """The project's chat process: started once for all sessions, again where it died, closed at exit."""
    return ChatWorker(chat_command(root))

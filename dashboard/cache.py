"""The thin Streamlit layer under the pages: what was read from a run folder is kept until its files change."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard import runs, views
from dashboard.claims import Claims, Flip
from dashboard.worker import ChatWorker, chat_command
from groundtone.feedback import Feedback
from groundtone.project import Manifest, Project

Stamp = tuple[tuple[str, int], ...]


def evaluations(root: Path) -> runs.Evaluations:
    """The project's evaluations, read again when a manifest or summary changes."""
    folder = Project(root).runs_folder
    watched = [*folder.glob("*/manifest.json"), *folder.glob("*/summary.json")] if folder.is_dir() else []
    return _evaluations(str(root), _stamp(watched))


def chains(root: Path) -> list[Manifest]:
    """The project's runs of `groundtone forgetting`, newest first, read again when one changes."""
    return _chains(str(root), _stamp(list(Project(root).runs_folder.glob("forgetting-*/manifest.json"))))


def records(run: runs.Evaluation) -> runs.Records:
    """An evaluation's records, read again when the file changes."""
    return _records(str(run.path), _stamp([run.path / "records.jsonl"]))


def claims(run: runs.Evaluation) -> Claims:
    """An evaluation's claims and scores, from the file beside its records."""
    return _claims(str(run.path), _stamp([run.path / "records.jsonl"]))


def flips(before: runs.Evaluation, arm: str, after: runs.Evaluation) -> dict[str, list[Flip]]:
    """Items that the tuned model with documents answers otherwise than that arm of another, or the same, evaluation."""
    stamp = _stamp([run.path / "records.jsonl" for run in (before, after)])
    return _flips(str(before.path), arm, str(after.path), stamp)


def blame(run: runs.Evaluation) -> Mapping[str, Any] | None:
    """blame.json of an evaluation; None where there is none that can be read."""
    return document(run.path / "blame.json")


def document(path: Path) -> Mapping[str, Any] | None:
    """A JSON object of a run's folder, read again when it changes; None where it is missing, cut off or no object."""
    return _document(str(path), _stamp([path]))


def feedback(root: Path) -> Feedback:
    """The project's store of human verdicts and votes."""
    return Feedback(Project(root).feedback_path)


def _stamp(paths: list[Path]) -> Stamp:
    return tuple(sorted((str(path), path.stat().st_mtime_ns) for path in paths if path.exists()))


@st.cache_resource(show_spinner=False, max_entries=4, ttl=60)  # a run that died unnoticed changes no file
def _evaluations(root: str, stamp: Stamp) -> runs.Evaluations:
    return runs.load_evaluations(Path(root))


@st.cache_resource(show_spinner="Reading the records…", max_entries=1)
def _records(path: str, stamp: Stamp) -> runs.Records:
    return runs.read_records(Path(path))


@st.cache_resource(show_spinner=False, max_entries=8)
def _flips(before: str, arm: str, after: str, stamp: Stamp) -> dict[str, list[Flip]]:
    old, new = ([Path(path) / "records.jsonl"] for path in (before, after))
    return views.flips(_claims(before, _stamp(old)), arm, _claims(after, _stamp(new)), "tuned/rag")


@st.cache_resource(show_spinner=False, max_entries=4)
def _chains(root: str, stamp: Stamp) -> list[Manifest]:
    return Project(Path(root)).runs("forgetting") if stamp else []


@st.cache_resource(show_spinner="Listing the claims…", max_entries=16)
def _claims(path: str, stamp: Stamp) -> Claims:
    return Claims(Path(path))


@st.cache_resource(show_spinner=False, max_entries=32)
def _document(path: str, stamp: Stamp) -> Mapping[str, Any] | None:
    return runs.read_object(Path(path))


def _alive(worker: ChatWorker) -> bool:
    return worker.alive


def _close(worker: ChatWorker) -> None:
    worker.close()


@st.cache_resource(show_spinner=False, max_entries=1, validate=_alive, on_release=_close)
def chat_worker(root: Path) -> ChatWorker:
    """The project's chat process: started once for all sessions, again where it died, closed at exit."""
    return ChatWorker(chat_command(root))

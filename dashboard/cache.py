"""The thin Streamlit layer under the pages: what was read from a run folder is kept until its files change."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard import edits, login, runs, views, views_retrieval
from dashboard.access import readable_sources
from dashboard.claims import Claims, Flip
from dashboard.closed import Closed, Seen, closed_to
from dashboard.config import overrides, project_folder, set_flags
from dashboard.worker import ChatWorker, chat_command
from groundtone.errors import GroundtoneError
from groundtone.feedback import Feedback
from groundtone.joins.feedback_rows import EvaluationSet, evaluation_set
from groundtone.project import Manifest, Project
from groundtone.settings import load_settings

Stamp = tuple[tuple[str, int], ...]


def evaluations(root: Path) -> runs.Evaluations:
    """The project's evaluations, read again when a manifest or summary changes."""
    folder = Project(root).runs_folder
    watched = [*folder.glob("*/manifest.json"), *folder.glob("*/summary.json")] if folder.is_dir() else []
    return _evaluations(str(root), _stamp(watched))


def chains(root: Path) -> list[Manifest]:
    """The project's runs of `groundtone forgetting`, newest first, read again when one changes."""
    return _chains(str(root), _stamp(list(Project(root).runs_folder.glob("forgetting-*/manifest.json"))))


def claims(run: runs.Evaluation) -> Claims:
    """An evaluation's claims and scores, from the file beside its records."""
    return _claims(str(run.path), _stamp([run.path / "records.jsonl"]), readable())


def flips(before: runs.Evaluation, arm: str, after: runs.Evaluation) -> dict[str, list[Flip]]:
    """Items that the tuned model with documents answers otherwise than that arm of another, or the same, evaluation."""
    stamp = _stamp([run.path / "records.jsonl" for run in (before, after)])
    return _flips(str(before.path), arm, str(after.path), stamp, readable())


def readable() -> frozenset[str] | None:
    """The documents that whoever looks may read; None for all."""
    index, stamp = _index()
    return _readable(index, login.viewer().groups, login.guarded(), stamp)


def seen(path: Path) -> Seen:
    """The rows of a JSON-lines file, and which whoever looks may see. Raises DataError as `edits.read_rows` does."""
    return _seen(str(path), _stamp([path]), *_index(), readable())


def taught(root: Path) -> Seen | None:
    """The rows of the project's own training data; None where nothing is closed to whoever looks."""
    index, stamp = _index()
    if _closed(index, stamp, readable()) is None:
        return None
    try:
        return seen(root / load_settings(root, overrides(sys.argv[1:])).tuning.data)
    except GroundtoneError:
        return Seen()


def blame(run: runs.Evaluation) -> Mapping[str, Any] | None:
    """blame.json of an evaluation; None where there is none that can be read."""
    return document(run.path / "blame.json")


def document(path: Path) -> Mapping[str, Any] | None:
    """A JSON object of a run's folder, read again when it changes; None where it is missing, cut off or no object."""
    return _document(str(path), _stamp([path]))


def search(root: Path, asked: Sequence[str]) -> list[dict[str, Any]]:
    """What a search found, in a process of its own (`views_retrieval.command`); again when the index changes."""
    return _search(tuple(asked), _stamp([Project(root).index_path]))


def asked(root: Path) -> EvaluationSet:
    """The questions that the project's evaluation asks: what people say of them is not trained on."""
    return _asked(str(root), overrides(sys.argv[1:]))


def feedback(root: Path) -> Feedback:
    """The project's store of human verdicts and votes."""
    return Feedback(Project(root).feedback_path)


def _index() -> tuple[str, Stamp]:
    path = Project(project_folder(sys.argv[1:])).index_path
    return str(path), _stamp([path, path.with_name(f"{path.name}-wal")])


def _stamp(paths: list[Path]) -> Stamp:
    return tuple(sorted((str(path), path.stat().st_mtime_ns) for path in paths if path.exists()))


@st.cache_resource(show_spinner=False, max_entries=4, ttl=60)  # a run that died unnoticed changes no file
def _evaluations(root: str, stamp: Stamp) -> runs.Evaluations:
    return runs.load_evaluations(Path(root))


@st.cache_data(show_spinner=False, max_entries=32)
def _readable(index: str, groups: tuple[str, ...], guarded: bool, stamp: Stamp) -> frozenset[str] | None:
    return readable_sources(Path(index), groups, guarded=guarded)


@st.cache_resource(show_spinner=False, max_entries=4)
def _closed(index: str, stamp: Stamp, readable: frozenset[str] | None) -> Closed | None:
    return closed_to(Path(index), readable)


@st.cache_resource(show_spinner=False, max_entries=4)
def _seen(path: str, own: Stamp, index: str, stamp: Stamp, readable: frozenset[str] | None) -> Seen:
    rows = tuple(edits.read_rows(Path(path)))
    closed = _closed(index, stamp, readable)
    return Seen(rows, rows if closed is None else tuple(row for row in rows if closed.may_show(row.data)))


@st.cache_resource(show_spinner=False, max_entries=4, ttl=60)  # its files may be anywhere
def _asked(root: str, given: tuple[str, ...]) -> EvaluationSet:
    try:
        return evaluation_set(load_settings(Path(root), given))
    except GroundtoneError:  # the page that needs the file says so
        return EvaluationSet(frozenset(), frozenset())


@st.cache_data(show_spinner=False, max_entries=200)
def _search(asked: tuple[str, ...], stamp: Stamp) -> list[dict[str, Any]]:
    return views_retrieval.explain(asked)


@st.cache_resource(show_spinner=False, max_entries=8)
def _flips(before: str, arm: str, after: str, stamp: Stamp, readable: frozenset[str] | None) -> dict[str, list[Flip]]:
    old, new = (_claims(path, _stamp([Path(path) / "records.jsonl"]), readable) for path in (before, after))
    return views.flips(old, arm, new, "tuned/rag")


@st.cache_resource(show_spinner=False, max_entries=4)
def _chains(root: str, stamp: Stamp) -> list[Manifest]:
    return Project(Path(root)).runs("forgetting") if stamp else []


@st.cache_resource(show_spinner="Listing the claims…", max_entries=16)
def _claims(path: str, stamp: Stamp, readable: frozenset[str] | None) -> Claims:
    return Claims(Path(path), readable=readable)


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
    return ChatWorker([*chat_command(root), *set_flags(sys.argv[1:])])

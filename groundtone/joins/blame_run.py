"""blame.json of an evaluation's folder: written by the evaluation, or later from what it kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.blame_report import SCHEMA, arms_of, blame_json
from eval.records import read_records
from eval.runner import RECORDS
from groundtone.errors import IntegrityError, ProjectError
from groundtone.files import write_atomic
from groundtone.joins.arms import Models, load_models
from groundtone.joins.blame import blame_spans, flagged
from groundtone.joins.blame_rows import RowIndex, training_rows
from groundtone.joins.material import read_material
from groundtone.joins.retrievers import Edit
from groundtone.project import Project
from groundtone.settings import Settings
from groundtone.types import EvalRecord
from retrieval.interface import SearchableIndex

__all__ = ["BLAME", "blame_again", "blame_records", "read_blame"]

BLAME = "blame.json"
Progress = Callable[[str, int, int], None]


def blame_records(
    project: Project,
    settings: Settings,
    records: Sequence[EvalRecord],
    *,
    index: SearchableIndex,
    models: Models,
    edits: Mapping[str, Edit],
    tuned: str | None,
    out_dir: Path,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Blames every doubted claim of the records, writes blame.json into `out_dir`, returns its shares per arm."""
    rows, why = training_rows(project, settings, tuned=tuned) if tuned else ([], "nothing of this project was tuned")
    spans = blame_spans(
        flagged(records, settings),
        settings,
        index=index,
        models=models,
        rows=RowIndex(rows),
        rows_why=why,
        edits=edits,
        progress=progress,
    )
    given = settings.eval
    text = blame_json(spans, run=out_dir.name, tuned_run=tuned, resamples=given.resamples, seed=given.seed)
    write_atomic(out_dir / BLAME, text)
    return arms_of(spans, resamples=given.resamples, seed=given.seed)


def blame_again(
    project: Project, settings: Settings, *, run: str, index: SearchableIndex, progress: Progress | None = None
) -> dict[str, Any]:
    """The content of blame.json, made anew from the records of an evaluation that is done.

    Raises ProjectError where the run is no evaluation, or where the index is not the one any more that it searched.
    """
    done = project.run(run)
    path = done.path / RECORDS
    if done.manifest.kind != "eval" or not path.is_file():
        raise ProjectError(
            f"{run} is no evaluation with records: `groundtone runs` lists them, `groundtone eval` makes one"
        )
    searched = done.manifest.parents.get("index")
    if searched != index.content_hash():
        raise ProjectError(
            f"{run} searched index {searched}, but the project's is {index.content_hash()} now: evaluate again, "
            "or go back with `groundtone index --rollback`"
        )
    tuned = done.manifest.parents.get("tune")
    blame_records(
        project,
        settings,
        read_records(path),
        index=index,
        models=load_models(project, settings, tuned=tuned),
        edits=read_material(settings).edits,
        tuned=tuned,
        out_dir=done.path,
        progress=progress,
    )
    return read_blame(done.path)


def read_blame(folder: Path) -> dict[str, Any]:
    """blame.json of a run's folder. Raises ProjectError where there is none, IntegrityError where it is damaged."""
    path = folder / BLAME
    if not path.is_file():
        raise ProjectError(f"{folder.name} has no {BLAME}: run `groundtone blame {folder.name}`")
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise IntegrityError(f"{path} is damaged ({error}): remove it and blame again") from error
    if data.get("schema") != SCHEMA:
        raise IntegrityError(f"{path} has schema {data.get('schema')!r}; this version reads {SCHEMA}: blame again")
    return data

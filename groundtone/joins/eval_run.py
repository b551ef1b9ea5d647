"""The run of an evaluation: a new one, or a stopped one that goes on because nothing it depends on has changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from groundtone.errors import ProjectError
from groundtone.joins.runs import start_run
from groundtone.manifest import mask_secrets
from groundtone.project import Project, Run
from groundtone.settings import Settings

__all__ = ["Inputs", "differing", "eval_run", "tuned_by"]

_ELSEWHERE = ("dashboard", "server")  # sections that no evaluation reads


@dataclass(frozen=True, slots=True)
class Inputs:
    """What an evaluation depends on besides its configuration: hashes of files, parents, and the caller's options."""

    files: Mapping[str, str]
    parents: Mapping[str, str]
    options: Mapping[str, Any]


def eval_run(project: Project, settings: Settings, known: Inputs, *, resume: str | None) -> Run:
    """A new run, or `resume`, whose records of whole batches are kept.

    Raises ProjectError, naming what differs, where the stopped run had another configuration or other inputs.
    """
    if resume is None:
        return start_run(
            project,
            settings,
            "eval",
            seed=settings.eval.seed,
            inputs=known.files,
            parents=known.parents,
            notes=known.options,
        )
    before = project.run(resume).manifest
    if before.kind != "eval":
        raise ProjectError(f"{resume} is a run of {before.kind}, not an evaluation: `groundtone runs` lists those")
    then = {"files": before.inputs, "parents": before.parents, "options": _kept(before.notes, known.options)}
    now = {"files": dict(known.files), "parents": dict(known.parents), "options": dict(known.options)}
    changed = differing(
        _read_by_eval(before.resolved) | then, _read_by_eval(mask_secrets(dict(settings.resolved))) | now
    )
    if changed:
        what = "; ".join(f"{key} was {old!r}, is {new!r}" for key, old, new in changed[:3])
        raise ProjectError(f"{resume} cannot go on, for its inputs are not the same any more ({what}): start a new run")
    return project.resume_run(resume)


def tuned_by(project: Project, run: str) -> str | None:
    """The tuning run that an evaluation measures."""
    return project.run(run).manifest.parents.get("tune")


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Every key, dotted, whose value differs, with both values; None for one that is missing."""
    found: list[tuple[str, Any, Any]] = []
    for key in sorted({*before, *after}):
        old, new = before.get(key), after.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += [(f"{key}.{inner}", a, b) for inner, a, b in differing(old, new)]
        elif old != new:
            found.append((key, old, new))
    return found


def _read_by_eval(resolved: Mapping[str, Any]) -> dict[str, Any]:
    return {name: section for name, section in resolved.items() if name not in _ELSEWHERE}


def _kept(notes: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: notes.get(name) for name in options}

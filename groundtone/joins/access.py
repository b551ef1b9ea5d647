"""Who may be served by an adapter: callers who are in all of the groups whose documents went into it.

Rows inherit the groups of the documents that they quote (`joins.facts`); the run notes them, the adapter's card carries
them along when the folder leaves the project, and whatever is made from the adapter needs them all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from groundtone.errors import UserError
from groundtone.files import write_atomic
from groundtone.joins.history import lineage
from groundtone.models.adapter import CARD, read_card
from groundtone.project import Manifest, Project
from tuning.run_folder import MODEL

__all__ = ["groups_of_base", "groups_of_folder", "groups_of_run", "stamp", "union"]


def union(*some: Iterable[str]) -> tuple[str, ...]:
    """All groups that are named, sorted, each once."""
    return tuple(sorted({group for groups in some for group in groups}))


def groups_of_run(project: Project, run: str) -> tuple[str, ...]:
    """The groups of a tuning run: its own, those of every run that went into it, and those on its card."""
    noted = (_noted(manifest) for manifest in lineage(project, run))
    return union(*noted, *(_on_card(project.run_path(run) / name) for name in ("adapter", MODEL)))


def groups_of_folder(project: Project, folder: Path) -> tuple[str, ...]:
    """The groups of an adapter by its folder; of the run as well where the folder lies in one of the project's runs."""
    inside = folder.resolve()
    run = next((p.name for p in inside.parents if p.parent == project.runs_folder.resolve()), None)
    return union(_on_card(inside), groups_of_run(project, run) if run else ())


def groups_of_base(model: str) -> tuple[str, ...]:
    """The groups of a model folder that an adapter was merged into; none for any other model."""
    folder = Path(model).expanduser()
    return _on_card(folder) if folder.is_dir() else ()


def stamp(folder: Path, groups: Sequence[str]) -> None:
    """Write the groups onto the card in `folder`, beside those that it has. Raises UserError where there is none."""
    if not groups:
        return
    card = read_card(folder)
    if card is None:
        raise UserError(f"{folder} has no {CARD}, which must say that it is only for {', '.join(groups)}")
    write_atomic(folder / CARD, replace(card, groups=union(card.groups, groups)).to_json())


def _noted(manifest: Manifest) -> tuple[str, ...]:
    return union(*(map(str, manifest.notes.get(key, ())) for key in ("groups", "start_groups")))


def _on_card(folder: Path) -> tuple[str, ...]:
    card = read_card(folder)
    return card.groups if card is not None else ()

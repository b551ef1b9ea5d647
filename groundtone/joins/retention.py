"""Forgetting a person, and forgetting what is old: what they said, the rows made of it, lines of training files.

What an adapter has learned cannot be taken out of it: those that saw the rows are named, to be trained again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from pathlib import Path

from groundtone.errors import DataError
from groundtone.feedback import Export, Feedback, Removed, TrainingRows
from groundtone.files import sha256_file, write_atomic
from groundtone.joins.freshness import StaleItem
from groundtone.joins.history import lineage
from groundtone.joins.methods.preference import VOTES
from groundtone.keys import KeyFile
from groundtone.manifest import Manifest
from groundtone.project import Project
from groundtone.settings import Settings

__all__ = ["TakenOut", "expire", "forget_person"]


@dataclass(frozen=True, slots=True)
class TakenOut:
    """What went, or in a dry run would go. `files` maps training files to lines, `adapters` learned from them.

    `changed` are training files that somebody edited since they were written: they were left alone. `keys` are access
    keys under the person's name, which stay valid until they are revoked.
    """

    whose: str
    done: bool
    removed: Removed
    files: dict[str, int]
    changed: tuple[str, ...]
    adapters: tuple[StaleItem, ...]
    keys: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """For the terminal."""
        went = "went" if self.done else "would go"
        r = self.removed
        shown = [f"{self.whose}: {r.verdicts} verdicts, {r.votes} votes and {len(r.rows)} rows {went}"]
        if len(r.seen) > len(r.rows):
            shown.append(f"  {len(r.seen) - len(r.rows)} rows stay without the name, for others said the same")
        if r.renamed:
            shown.append(f"  {r.renamed} reviews stay without the reviewer's name")
        shown += [f"  {name}: {count} lines {went}" for name, count in self.files.items()]
        shown += [f"left alone, mend it yourself: {name} changed since it was written" for name in self.changed]
        shown += [f"must be trained again: {item.location} ({item.why})" for item in self.adapters]
        shown += [f"still valid: the key {name}; `groundtone serve keys revoke` ends it" for name in self.keys]
        return shown


def forget_person(project: Project, person: str, *, really: bool = False) -> TakenOut:
    """What a person said, decided and caused. Raises DataError for a name under which nobody said anything."""
    feedback = Feedback(project.feedback_path)
    known = feedback.people()
    if person not in known:
        near = get_close_matches(person, known, n=3, cutoff=0.5)
        raise DataError(
            f"nobody called {person!r} has said anything"
            + (f"; did you mean {' or '.join(near)}?" if near else f" in {project.feedback_path}")
        )
    voted = [vote.time for vote in feedback.votes() if vote.person == person]
    taken = _take_out(project, feedback, really=really, person=person, voted=min(voted, default=""))
    keys = tuple(key.name for key in KeyFile(project.keys_path).listed() if key.name == person and not key.revoked)
    return TakenOut(person, really, *taken, keys)


def expire(
    project: Project, settings: Settings, *, days: int | None = None, now: datetime | None = None, really: bool = True
) -> TakenOut | None:
    """What was said more than `days` (default: feedback.retention_days) ago; None where no time is set."""
    limit = settings.feedback.retention_days if days is None else days
    if limit is None:
        return None
    before = (now or datetime.now(UTC)) - timedelta(days=limit)
    feedback = Feedback(project.feedback_path)
    taken = _take_out(project, feedback, really=really, before=before)
    return TakenOut(f"older than {limit} days", really, *taken)


def _take_out(
    project: Project,
    feedback: Feedback,
    *,
    really: bool,
    person: str | None = None,
    before: datetime | None = None,
    voted: str = "",
) -> tuple[Removed, dict[str, int], tuple[str, ...], tuple[StaleItem, ...]]:
    """Files first, for the store tells which lines are whose: a removal that was stopped can be run again."""
    would = feedback.remove(person=person, before=before, dry_run=True)
    store = TrainingRows(feedback)
    adapters = tuple(_learned(project, store.exports(), set(would.seen), voted=voted))
    files, changed = dict[str, int](), list[str]()
    for export in _newest(store.exports()):
        count = sum(line in would.rows for line in export.lines)
        path = project.root / export.path
        if not count or not path.is_file():
            continue
        if sha256_file(path) != export.sha256:
            changed.append(export.path)
            continue
        files[export.path] = count
        if really:
            _cut(store, export, path, gone=set(would.rows))
    if really:
        would = feedback.remove(person=person, before=before)
    return would, files, tuple(changed), adapters


def _newest(exports: Collection[Export]) -> list[Export]:
    """The last that was written to each path."""
    return list({export.path: export for export in exports}.values())


def _cut(store: TrainingRows, export: Export, path: Path, *, gone: Collection[str]) -> None:
    """Write the file without those rows, and remember it as it is now."""
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) == len(export.lines), "the hash is that of the file with these lines"
    left = [(line, row) for line, row in zip(lines, export.lines, strict=True) if row not in gone]
    write_atomic(path, b"".join(line for line, _ in left))
    store.record_export(sha256_file(path), export.path, lines=[row for _, row in left])


def _learned(
    project: Project, exports: Collection[Export], rows: Collection[str], *, voted: str
) -> Iterator[StaleItem]:
    """Tuning runs that read a file with such rows, or all votes since the person's first, and runs made from them."""
    held = {export.sha256: sum(line in rows for line in export.lines) for export in exports}
    why: dict[str, str] = {}
    tuned = project.runs("tune")
    for manifest in tuned:
        count = max((held.get(sha256, 0) for sha256 in manifest.inputs.values()), default=0)
        if count:
            why[manifest.id] = f"trained on {count} rows of it"
        elif voted and VOTES in manifest.inputs and _later(manifest, voted):
            why[manifest.id] = "trained on all votes"
    for manifest in tuned:
        parents = [m.id for m in lineage(project, manifest.id) if m.id in why]
        if parents:
            told = why.get(manifest.id, f"made from {parents[0]}")
            yield StaleItem(manifest.id, "feedback", told)


def _later(manifest: Manifest, voted: str) -> bool:
    return datetime.fromisoformat(manifest.created) >= datetime.fromisoformat(voted)

"""Accepted rows as files that `tuning.data` takes: pairs, preferences, thumbs; each person's share is capped."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from groundtone.errors import DataError
from groundtone.feedback import Feedback, RowKind, TrainingRow, TrainingRows
from groundtone.files import sha256_text, write_atomic
from groundtone.project import Project
from groundtone.types import VoicePair
from tuning.fact_rows import to_json_lines

__all__ = [
    "FILES",
    "Capped",
    "FileKind",
    "Written",
    "beyond_share",
    "capped",
    "pairs_of",
    "write_accepted",
    "write_rows",
]

FileKind = Literal["pairs", "preferences", "thumbs"]
FILES: dict[FileKind, tuple[RowKind, ...]] = {
    "pairs": ("grounding", "sft"),  # method sft
    "preferences": ("preference",),  # methods dpo, orpo, reward
    "thumbs": ("preference", "thumb"),  # method kto: a preference is a thumb up and a thumb down
}


@dataclass(frozen=True, slots=True)
class Capped:
    """Rows within everybody's share, and rows beyond it with the person they count for."""

    kept: tuple[TrainingRow, ...]
    excess: tuple[tuple[str, TrainingRow], ...]


@dataclass(frozen=True, slots=True)
class Written:
    """A file of rows; `beyond` maps a person to the accepted rows that were left out for their share."""

    path: Path
    sha256: str
    rows: tuple[str, ...]  # ids
    lines: int
    beyond: Mapping[str, int]


def capped(rows: Sequence[TrainingRow], share: float) -> Capped:
    """At most `share` of what is kept counts for any one person; each person's oldest rows are kept.

    A row that several people said counts for the one of them who said least. The bound m is the largest with
    m <= share x (sum over people of min(their rows, m)), so that it holds for what is left, not for what was given.
    """
    owners: list[str] = []
    counts: Counter[str] = Counter()
    for row in rows:
        owner = min(row.people, key=lambda person: counts[person])
        owners.append(owner)
        counts[owner] += 1
    most = max(counts.values(), default=0)
    while most and most > share * sum(min(count, most) for count in counts.values()) + 1e-9:
        most -= 1
    taken: Counter[str] = Counter()
    kept, excess = list[TrainingRow](), list[tuple[str, TrainingRow]]()
    for owner, row in zip(owners, rows, strict=True):
        taken[owner] += 1
        if taken[owner] <= most:
            kept.append(row)
        else:
            excess.append((owner, row))
    return Capped(tuple(kept), tuple(excess))


def beyond_share(rows: Iterable[TrainingRow], share: float) -> Counter[str]:
    """Person -> accepted rows that no file would take because of their share, counted in the file where it is most."""
    accepted = [row for row in rows if row.state == "accepted"]
    most: Counter[str] = Counter()
    for kinds in FILES.values():
        most |= Counter(person for person, _ in capped([r for r in accepted if r.kind in kinds], share).excess)
    return most


def pairs_of(rows: Iterable[TrainingRow]) -> tuple[VoicePair, ...]:
    """Grounding and SFT rows as voice pairs."""
    return tuple(
        VoicePair(r.row["prompt"], r.row["reply"], r.row["source"], tuple(r.row["context"]), (r.kind,)) for r in rows
    )


def write_rows(
    project: Project, path: Path, kind: FileKind, *, share: float, before: Sequence[VoicePair] = ()
) -> Written | None:
    """Write the accepted rows as one file; None, and no file, where there are none.

    `before` are voice pairs of the project that stand first in a file of pairs. The file is remembered in the store
    with its hash and its rows. Raises DataError where the cap leaves none of what was accepted.
    """
    store = TrainingRows(Feedback(project.feedback_path))
    accepted = [row for row in store.listed("accepted") if row.kind in FILES[kind]]
    found = capped(accepted, share)
    if not accepted:
        return None
    if not found.kept:
        people = len({person for row in accepted for person in row.people})
        raise DataError(
            f"{len(accepted)} rows are accepted, but they come from {people} people and feedback.person_share is "
            f"{share:g}: wait for others to say something, or raise it (1 is no limit)"
        )
    if kind == "pairs":
        lines = to_json_lines((*before, *pairs_of(found.kept))).splitlines()
        ids = [*([""] * len(before)), *(row.id for row in found.kept)]
    else:
        made = _preferences(found.kept) if kind == "preferences" else _thumbs(found.kept)
        lines, ids = [json.dumps(row, ensure_ascii=False) for row, _ in made], [key for _, key in made]
    text = "".join(f"{line}\n" for line in lines)
    write_atomic(path, text)
    sha256 = sha256_text(text)
    store.record_export(sha256, place(project, path), lines=ids)
    beyond = dict(Counter(person for person, _ in found.excess))
    return Written(path, sha256, tuple(key for key in dict.fromkeys(ids) if key), len(lines), beyond)


def write_accepted(
    project: Project, path: Path, kind: FileKind, *, share: float, method: str, before: Sequence[VoicePair] = ()
) -> Written:
    """`write_rows` for a training by this method: raises DataError where nobody has accepted a row for it."""
    written = write_rows(project, path, kind, share=share, before=before)
    if written is None:
        waiting = len(TrainingRows(Feedback(project.feedback_path)).listed("waiting"))
        raise DataError(
            f"no row for method {method} is accepted, {waiting} rows wait: `groundtone data review-rows` lists them, a "
            "named person accepts them"
        )
    return written


def place(project: Project, path: Path) -> str:
    """The path as it is written down: from the project's root where it lies inside."""
    whole = path.resolve()
    return whole.relative_to(project.root).as_posix() if whole.is_relative_to(project.root) else str(whole)


def _preferences(rows: Iterable[TrainingRow]) -> list[tuple[dict[str, Any], str]]:
    return [(dict(row.row), row.id) for row in rows]


def _thumbs(rows: Sequence[TrainingRow]) -> list[tuple[dict[str, Any], str]]:
    """Every row as thumbs, each once; a reply that is wanted here and unwanted there is left out on both sides."""
    thumbs: dict[tuple[str, ...], dict[bool, tuple[dict[str, Any], str]]] = {}
    for row in rows:
        sides = ((row.row["chosen"], True), (row.row["rejected"], False)) if row.kind == "preference" else ()
        for reply, good in sides or ((row.row["reply"], bool(row.row["label"])),):
            key = (row.row["prompt"], *row.row["context"], " ".join(reply.split()))
            made = {name: row.row[name] for name in ("prompt", "context")} | {"reply": reply, "label": good}
            thumbs.setdefault(key, {}).setdefault(good, (made, row.id))
    return [next(iter(labels.values())) for labels in thumbs.values() if len(labels) == 1]

"""The rows that were made of feedback: they wait in the store for a named reviewer, and who decided what is kept."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

from groundtone.errors import UserError
from groundtone.feedback.lines import dump, insert
from groundtone.feedback.nouns import FORGOTTEN, Decision, Export, Origin, RowState, TrainingRow
from groundtone.feedback.store import Feedback, now
from groundtone.types import short_hash

__all__ = ["Synced", "TrainingRows", "row_id"]

_LIST = """
SELECT t.id, t.kind, t.row, t.reason, t.origins, t.notes, r.decision, r.reviewer, r.row, r.time
FROM training_rows t LEFT JOIN latest_reviews r ON r.row_id = t.id ORDER BY t.rowid"""


@dataclass(frozen=True, slots=True)
class Synced:
    """Rows that are new, that were there before, and that are gone because nobody says so any more."""

    new: int
    kept: int
    withdrawn: int


def row_id(kind: str, row: Mapping[str, Any]) -> str:
    """The identity of a row: its kind and its text, so that the same thing said again is the same row."""
    return short_hash(kind, json.dumps(row, sort_keys=True, ensure_ascii=False))


class TrainingRows:
    """The rows of a store, with their reviews and the files that were written of them."""

    def __init__(self, feedback: Feedback) -> None:
        self._feedback = feedback

    def sync(self, candidates: Iterable[TrainingRow]) -> Synced:
        """Make the rows those candidates, oldest first; reviews of rows that stay are kept."""
        wanted = {row.id: row for row in candidates}
        with self._feedback.writing() as connection:
            known = {key for (key,) in connection.execute("SELECT id FROM training_rows")}
            for row in wanted.values():
                origins, notes = [asdict(origin) for origin in row.origins], list(row.notes)
                if row.id in known:
                    connection.execute(
                        "UPDATE training_rows SET reason = ?, origins = ?, notes = ? WHERE id = ?",
                        (row.reason, dump(origins), dump(notes), row.id),
                    )
                else:
                    insert(
                        connection,
                        "row",
                        id=row.id,
                        row_kind=row.kind,
                        row=dict(row.row),
                        reason=row.reason,
                        origins=origins,
                        notes=notes,
                    )
            gone = [(key,) for key in known - set(wanted)]
            connection.executemany("DELETE FROM training_rows WHERE id = ?", gone)
            connection.executemany("DELETE FROM reviews WHERE row_id = ?", gone)
        return Synced(len(set(wanted) - known), len(known & set(wanted)), len(gone))

    def listed(self, state: RowState | None = None) -> list[TrainingRow]:
        """Rows in the order in which they were made."""
        rows = [_row(found) for found in self._feedback.read(_LIST)]
        return [row for row in rows if state in (None, row.state)]

    def named(self, prefix: str) -> TrainingRow:
        """The row whose id begins so. Raises UserError where none or several do."""
        found = [row for row in self.listed() if prefix and row.id.startswith(prefix)]
        if len(found) == 1:
            return found[0]
        told = "no row has" if not found else f"{len(found)} rows have"
        raise UserError(f"{told} an id that begins with {prefix!r}: `groundtone data review-rows` lists them")

    def review(
        self,
        prefix: str,
        decision: Decision,
        *,
        reviewer: str,
        row: Mapping[str, Any] | None = None,
        why: str = "",
        own: bool = False,
    ) -> TrainingRow:
        """Accept or reject a row, in the name of a reviewer; `row` is what an edit made of it.

        The last review counts, each is kept. Raises UserError without a name, and where somebody would accept what
        nobody but they said, unless `own` allows it.
        """
        name = " ".join(reviewer.split())
        if not name or name == FORGOTTEN:
            raise UserError(f"the reviewer is {reviewer!r}: name the person who decides")
        found = self.named(prefix)
        said = {person.casefold() for person in found.people}
        if decision == "accepted" and not own and said == {name.casefold()}:
            raise UserError(
                f"row {found.id} was made only of what {name} said: let another person review it, or set "
                "feedback.review_own to true"
            )
        with self._feedback.writing() as connection:
            insert(
                connection,
                "review",
                row_id=found.id,
                reviewer=name,
                decision=decision,
                row=dict(row) if row is not None else None,
                why=why,
                time=now(),
            )
        return self.named(found.id)

    def record_export(self, sha256: str, path: str, *, lines: Sequence[str]) -> None:
        """Remember which rows a file holds, so that adapters that read it can be found."""
        with self._feedback.writing() as connection:
            insert(connection, "file", sha256=sha256, path=path, lines=list(lines), time=now())

    def exports(self) -> list[Export]:
        """Every file of rows that was written, oldest first."""
        rows = self._feedback.read("SELECT sha256, path, lines, time FROM exports ORDER BY rowid")
        return [Export(sha256, path, tuple(json.loads(lines)), when) for sha256, path, lines, when in rows]


def _row(found: tuple[Any, ...]) -> TrainingRow:
    key, kind, row, reason, origins, notes, decision, reviewer, edited, reviewed = found
    changed = json.loads(edited) if edited else None
    return TrainingRow(
        key,
        kind,
        changed if changed is not None else json.loads(row),
        reason,
        tuple(Origin(**origin) for origin in json.loads(origins)),
        tuple(json.loads(notes)),
        cast(RowState, decision or "waiting"),
        reviewer or "",
        reviewed or "",
    )

"""What the feedback store holds: votes, judged claims, rows made for training, reviews of them, files of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from groundtone.types import Preference, Verdict

__all__ = ["Counts", "Export", "JudgedClaim", "Loaded", "Origin", "Outcome", "Removed", "Review", "TrainingRow", "Vote"]

Outcome = Literal["chosen", "tie", "both bad"]
RowKind = Literal["preference", "grounding", "sft", "thumb"]
RowState = Literal["waiting", "accepted", "rejected"]
Decision = Literal["accepted", "rejected"]
FORGOTTEN = "(forgotten)"  # stands for a reviewer who was forgotten; nobody can say anything under this name


@dataclass(frozen=True, slots=True)
class JudgedClaim:
    """A verdict and what it is about (run, arm, item, question, claim, evidence, detector: what the writer knew)."""

    verdict: Verdict
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Vote:
    """A person's choice between two replies; for a tie or "both bad" chosen and rejected carry no order.

    A correction is a vote for the corrected reply whose `about` says {"kind": "correction"}.
    """

    preference: Preference
    person: str
    outcome: Outcome = "chosen"
    time: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Counts:
    """How much there is: `verdicts` and `corrections` count the latest per (claim, person)."""

    verdicts: int = 0
    claims: int = 0
    people: int = 0
    corrections: int = 0
    votes: int = 0


@dataclass(frozen=True, slots=True)
class Origin:
    """One thing that a person said and that a row was made of."""

    person: str
    time: str


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """A candidate for training: it waits until a reviewer accepts it.

    `id` is a hash of the kind and of the row as it was made; `row` is as last edited. `notes` are for the reviewer.
    `reviewer` and `reviewed` are "" while it waits.
    """

    id: str
    kind: RowKind
    row: Mapping[str, Any]
    reason: str
    origins: tuple[Origin, ...]
    notes: tuple[str, ...] = ()
    state: RowState = "waiting"
    reviewer: str = ""
    reviewed: str = ""

    @property
    def people(self) -> tuple[str, ...]:
        """Who said it, in the order of saying it, each once."""
        return tuple(dict.fromkeys(origin.person for origin in self.origins))


@dataclass(frozen=True, slots=True)
class Review:
    """A decision on a row. `row` is what an edit made of it, None where it was accepted or rejected as it stood."""

    row_id: str
    reviewer: str
    decision: Decision
    row: Mapping[str, Any] | None = None
    why: str = ""
    time: str = ""


@dataclass(frozen=True, slots=True)
class Export:
    """A file of rows: its SHA-256, its path, and which row each line is ("" for a line that is nobody's feedback)."""

    sha256: str
    path: str
    lines: tuple[str, ...]
    time: str


@dataclass(frozen=True, slots=True)
class Removed:
    """What went for good: counts, and the ids of the rows that nobody is left to have said.

    `seen` are those rows and the ones that stay because others said the same. `renamed` reviews keep their decision
    and lose their reviewer's name.
    """

    verdicts: int = 0
    votes: int = 0
    renamed: int = 0
    rows: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.verdicts or self.votes or self.renamed or self.seen)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What an import added, and how many lines the store held already."""

    added: int
    known: int

"""What people say of answers, and the rows for training that are made of it: one SQLite file for all doors.

store     verdicts, votes, corrections: written by dashboard and server, read by evaluation and composition
training  rows that wait for a reviewer, reviews, files that were written of accepted rows
"""

from groundtone.feedback.agreement import Agreement, agreement, cohens_kappa
from groundtone.feedback.nouns import (
    Counts,
    Export,
    JudgedClaim,
    Loaded,
    Origin,
    Outcome,
    Removed,
    Review,
    RowKind,
    RowState,
    TrainingRow,
    Vote,
)
from groundtone.feedback.store import Feedback
from groundtone.feedback.training import Synced, TrainingRows, row_id

__all__ = [
    "Agreement",
    "Counts",
    "Export",
    "Feedback",
    "JudgedClaim",
    "Loaded",
    "Origin",
    "Outcome",
    "Removed",
    "Review",
    "RowKind",
    "RowState",
    "Synced",
    "TrainingRow",
    "TrainingRows",
    "Vote",
    "agreement",
    "cohens_kappa",
    "row_id",
]

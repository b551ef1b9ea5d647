"""Figures of a token classifier: exact spans, characters, and whole rows; finding nothing beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from groundtone.types import Estimate
from tuning.encoder_rows_spans import LabelledSpan
from tuning.scores import ArmScores, Scores, area_under, f1, macro_f1, precision, ratio_interval, recall

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["Labelling", "score_spans"]


@dataclass(frozen=True, slots=True)
class Labelling:
    """What one text has and what was found in it; `score` is the highest probability that a token carries a label."""

    gold: tuple[LabelledSpan, ...]
    found: tuple[LabelledSpan, ...]
    score: float


def score_spans(
    rows: Sequence[Labelling],
    *,
    labels: Sequence[str],
    clusters: Sequence[str] | None = None,
    notes: Sequence[str] = (),
) -> Scores:
    """A span counts as right where start, end and label are those of a true one (as in CoNLL-2003).

    "characters" are those under spans of any label; "rows" says whether a text has any span at all. "nothing found" is
    what most tokens are.
    """
    tuned = _arm("tuned", rows, labels, clusters)
    empty = _arm("nothing found", [Labelling(row.gold, (), 0.0) for row in rows], labels, clusters)
    inside = [row.score for row in rows if row.gold]
    outside = [row.score for row in rows if not row.gold]
    why = {}
    if not inside or not outside:
        why["rows: AUROC"] = "all held-out rows have spans" if inside else "no held-out row has a span"
    area = area_under(inside, outside)
    arms = (ArmScores(tuned.arm, {**tuned.overall, "rows: AUROC": area}, tuned.classes), empty)
    return Scores("tokens", len(rows), arms, tuple(labels), (), why, tuple(notes))


def _arm(name: str, rows: Sequence[Labelling], labels: Sequence[str], clusters: Sequence[str] | None) -> ArmScores:
    import numpy as np

    counts = np.zeros((len(rows), len(labels), 3))
    characters, whole = np.zeros((len(rows), 3)), np.zeros((len(rows), 3))
    for number, row in enumerate(rows):
        for at, label in enumerate(labels):
            true, found = _of(row.gold, label), _of(row.found, label)
            counts[number, at] = len(true & found), len(found - true), len(true - found)
        true_characters, found_characters = _characters(row.gold), _characters(row.found)
        shared = len(true_characters & found_characters)
        characters[number] = shared, len(found_characters) - shared, len(true_characters) - shared
        whole[number] = bool(row.gold and row.found), bool(row.found and not row.gold), bool(row.gold and not row.found)
    every = counts.sum(axis=1)
    overall = {f"spans: {key}": value for key, value in _three(every, clusters).items()}
    spans = int(every.sum())
    overall["spans: macro F1"] = ratio_interval(counts.reshape(len(rows), -1), macro_f1, n=spans, clusters=clusters)
    overall |= {f"characters: {key}": value for key, value in _three(characters, clusters).items()}
    overall |= {f"rows: {key}": value for key, value in _three(whole, clusters).items()}
    classes = {label: _three(counts[:, at], clusters) for at, label in enumerate(labels)}
    return ArmScores(name, overall, classes)


def _three(counts: Floats, clusters: Sequence[str] | None) -> dict[str, Estimate]:
    """Precision of what was found, recall of what is there, F1 of both; `counts` are right, wrongly found, missed."""
    right, wrong, missed = (int(n) for n in counts.sum(axis=0))
    return {
        "precision": ratio_interval(counts, precision, n=right + wrong, clusters=clusters),
        "recall": ratio_interval(counts, recall, n=right + missed, clusters=clusters),
        "F1": ratio_interval(counts, f1, n=right + wrong + missed, clusters=clusters),
    }


def _of(spans: Sequence[LabelledSpan], label: str) -> set[LabelledSpan]:
    return {span for span in spans if span.label == label}


def _characters(spans: Sequence[LabelledSpan]) -> set[int]:
    return {at for span in spans for at in range(span.start, span.end)}

"""Labelled answers as numbers: one row per claim whose label is known, as the lexical model reads it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.detector.answers import LabelledAnswer, passages_of
from eval.detectors.explicit import judge_claim
from eval.detectors.features import Rarity, read_claim
from eval.detectors.lexical import described
from eval.evidence import Evidence
from eval.splitting import split_claims

__all__ = ["Rows", "as_rows", "best_threshold", "joined", "label_of"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rows:
    """Claims as numbers: features (claims, NAMES), labels, the answer that each belongs to, weights."""

    x: Floats
    y: NDArray[np.bool_]
    answer: NDArray[np.int_]
    weight: Floats


def label_of(row: LabelledAnswer, span: tuple[int, int], claims: int) -> bool | None:
    """Whether a claim is not carried; None where nobody said so: of an answer that is wrong somewhere, only a sole
    claim is known to be."""
    start, end = span
    if any(start < b and a < end for a, b in row.unknown):
        return None
    if row.located:
        return any(start < bad.end and bad.start < end for bad in row.spans)
    return row.hallucinated if claims == 1 or not row.hallucinated else None


def as_rows(given: Sequence[LabelledAnswer], rarity: Rarity, *, weight: float = 1.0) -> Rows:
    """The claims of the answers whose label is known."""
    x, y, answer = [], [], []
    for number, row in enumerate(given):
        evidence, spans = Evidence(passages_of(row)), split_claims(row.answer)
        for span in spans if evidence.sentences else ():
            label = label_of(row, span, len(spans))
            if label is not None:
                claim = row.answer[span[0] : span[1]]
                x.append(described(read_claim(claim, evidence, rarity), judge_claim(claim, evidence)))
                y.append(label)
                answer.append(number)
    return Rows(np.array(x), np.array(y, bool), np.array(answer), np.full(len(y), weight))


def joined(parts: Iterable[Rows]) -> Rows:
    """Several sets one after the other; answers keep apart."""
    x, y, answer, weight, shift = [], [], [], [], 0
    for part in parts:
        x.append(part.x)
        y.append(part.y)
        answer.append(part.answer + shift)
        weight.append(part.weight)
        shift += int(part.answer.max(initial=-1)) + 1
    return Rows(np.vstack(x), np.concatenate(y), np.concatenate(answer), np.concatenate(weight))


def best_threshold(y: NDArray[np.bool_], risk: Floats, weight: Floats) -> float:
    """The risk from which calling a claim unsupported gives the highest balanced accuracy: corpora differ in how much
    is wrong, and F1 would follow this mixture's share."""
    grid = np.arange(0.1, 0.9, 0.01)
    good = [
        weight[y & (risk >= t)].sum() / weight[y].sum() + weight[~y & (risk < t)].sum() / weight[~y].sum() for t in grid
    ]
    return round(float(grid[int(np.argmax(good))]), 2)

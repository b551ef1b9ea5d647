"""Maximal marginal relevance: results that fit the question without saying the same thing again."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["mmr"]

Floats = NDArray[np.float32]


def mmr(scores: Floats, vectors: Floats, *, k: int, balance: float) -> list[tuple[int, float]]:
    """(row, value) of k rows in the order of choice (Carbonell and Goldstein 1998, doi:10.1145/290941.291025).

    Each choice maximises balance * score - (1 - balance) * largest cosine to what was chosen; equal values by row.
    `scores` lie on the scale of cosines, `vectors` have shape (rows, dim) and length 1. Balance 1 keeps the order.
    """
    nearest = np.zeros(len(scores), dtype=np.float32)
    open_rows = np.ones(len(scores), dtype=bool)
    chosen: list[tuple[int, float]] = []
    for _ in range(min(k, len(scores))):
        values = np.where(open_rows, balance * scores - (1 - balance) * nearest, -np.inf)
        row = int(values.argmax())
        chosen.append((row, float(values[row])))
        open_rows[row] = False
        nearest = np.maximum(nearest, vectors @ vectors[row])
    return chosen

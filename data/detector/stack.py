"""Fits the weights of the stacked detector: how far the trees and explicit comparison can be believed on new ground.

The trees judge every set by a model that was fitted on the others (answers of one origin keep together), since on its
own sets a part looks better than it is. Every set has an intercept of its own in the fit: how much is wrong differs
between corpora and says nothing about ranking. Weights cannot be negative: no part is read against its meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.detector.rows import Rows, joined
from eval.detectors.explicit import SUPPORT_THRESHOLD
from eval.detectors.lexical import NAMES
from eval.detectors.stacked import INPUTS, Stack, log_odds, stack_inputs
from groundtone.stats import auroc

__all__ = ["across_sets", "fit_stack", "inputs_of", "new_ground"]

ORIGIN = {
    "support taken out": "natural",
    "dolly": "natural",
    "summedits": "natural",
}  # the same answers
RIDGE = 1.0  # rows' worth of belief in weights of 0

Floats = NDArray[np.float64]


def across_sets(sets: Mapping[str, Rows], fit: Callable[[Rows], Any]) -> dict[str, Floats]:
    """Per set the risks by trees that were fitted on the sets of other origins."""
    risks: dict[str, Floats] = {}
    for name, rows in _parted(sets).items():
        others = [given for other, given in sets.items() if ORIGIN.get(other, other) != ORIGIN.get(name, name)]
        risks[name] = fit(joined(others)).predict_proba(rows.x)[:, 1]
    return risks


def inputs_of(rows: Rows, lexical: Floats) -> Floats:
    """(claims, INPUTS): what the stacked detector reads of claims whose trees' risk is `lexical`."""
    support, conflicts = (rows.x[:, NAMES.index(f"explicit_{name}")] for name in ("support", "conflicts"))
    return np.array([stack_inputs(*row) for row in zip(lexical, support, conflicts, strict=True)])


def fit_stack(sets: Mapping[str, Rows], risks: Mapping[str, Floats]) -> Stack:
    """Weights by penalised likelihood with every set counting the same; the threshold flags no more carried claims than
    explicit comparison does."""
    from scipy.optimize import minimize

    known = _parted(sets)
    x = np.vstack([inputs_of(rows, risks[name]) for name, rows in known.items()])
    y = np.concatenate([rows.y for rows in known.values()])
    weight = np.concatenate([np.full(len(rows.y), 1 / len(rows.y)) for rows in known.values()])
    weight *= len(y) / weight.sum()
    own = np.concatenate([np.full(len(rows.y), n) for n, rows in enumerate(known.values())])
    held = np.hstack([x, np.eye(len(known))[own]])

    def loss(at: Floats) -> tuple[float, Floats]:
        z = held @ at
        off = 1 / (1 + np.exp(-z)) - y
        slope = at[: len(INPUTS)]
        value = float((weight * (np.logaddexp(0, z) - y * z)).sum() + RIDGE * (slope**2).sum() / 2)
        return value, held.T @ (weight * off) + RIDGE * np.concatenate([slope, np.zeros(len(known))])

    bounds = [(0.0, None)] * len(INPUTS) + [(None, None)] * len(known)
    found = minimize(loss, np.zeros(held.shape[1]), jac=True, bounds=bounds, method="L-BFGS-B").x
    weights = {name: round(float(w), 3) for name, w in zip(INPUTS, found, strict=False)}
    stack = Stack(weights, round(float(found[len(INPUTS) :].mean()), 3), 0.5)
    risk = np.array([stack.risk(row) for row in x])
    allowed = weight * (x[:, INPUTS.index("explicit")] > log_odds(1 - SUPPORT_THRESHOLD)) * ~y
    grid = np.arange(0.1, 0.9, 0.01)
    quiet = [t for t in grid if (weight * (risk >= t) * ~y).sum() <= allowed.sum()]
    return Stack(weights, stack.bias, round(float(min(quiet, default=grid[-1])), 2))


def new_ground(sets: Mapping[str, Rows], risks: Mapping[str, Floats]) -> dict[str, dict[str, float]]:
    """Per set how well each part and the stack rank its claims (AUROC) when trees and weights come from other sets."""
    found: dict[str, dict[str, float]] = {}
    for name, rows in _parted(sets).items():
        others = {other: given for other, given in sets.items() if ORIGIN.get(other, other) != ORIGIN.get(name, name)}
        stack = fit_stack(others, risks)
        inputs = inputs_of(rows, risks[name])
        ranked = {"explicit": inputs[:, INPUTS.index("explicit")], "lexical": risks[name]}
        ranked["stacked"] = np.array([stack.risk(row) for row in inputs])
        found[name] = {
            part: auroc(risk[rows.y].tolist(), risk[~rows.y].tolist(), resamples=1).mean or 0.0
            for part, risk in ranked.items()
        }
    return found


def _parted(sets: Mapping[str, Rows]) -> dict[str, Rows]:
    """The sets that hold both carried and other claims."""
    return {name: rows for name, rows in sets.items() if 0 < rows.y.mean() < 1}

"""From a detector's risk to a probability, by people's verdicts; and how far stated probabilities are off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["FOLDS", "Calibration", "calibrate", "cross_validated", "expected_calibration_error", "platt"]

ISOTONIC_FROM = (
    400  # verdicts; below, a staircase follows chance (Niculescu-Mizil and Caruana, 10.1145/1102351.1102430)
)
PRIOR = 2.0  # pseudo-verdicts that hold the slope at 1: with few verdicts only the base rate moves
EDGE = 1e-3  # a risk of 0 or 1 has no finite log-odds
BINS = 10
FOLDS = 10


@dataclass(frozen=True, slots=True)
class Calibration:
    """Probability of a risk: logistic(slope x logit + bias), or the staircase through (`risks`, `levels`)."""

    kind: Literal["platt", "isotonic"]
    n: int
    slope: float = 1.0
    bias: float = 0.0
    risks: tuple[float, ...] = ()
    levels: tuple[float, ...] = ()

    def probability(self, risks: Sequence[float]) -> list[float]:
        """The calibrated probability that each claim is not carried; rises with the risk."""
        import numpy as np

        given = np.asarray(risks, float)
        if self.kind == "isotonic":
            return [float(p) for p in np.interp(given, self.risks, self.levels)]
        return [float(p) for p in 1 / (1 + np.exp(-(self.slope * _logit(given) + self.bias)))]

    def as_json(self) -> dict[str, Any]:
        """Plain data; `Calibration(**data)` reads it back, lists as well as tuples."""
        return asdict(self)


def calibrate(risks: Sequence[float], wrong: Sequence[bool]) -> Calibration | None:
    """Fitted on verdicts: Platt's slope and bias (with a prior on the slope), isotonic from ISOTONIC_FROM on.

    None without both classes: one class says nothing about the other's probability.
    """
    import numpy as np

    x, y = np.asarray(risks, float), np.asarray(wrong, bool)
    if len(x) != len(y):
        raise ValueError(f"{len(x)} risks and {len(y)} verdicts: give one verdict per risk")
    if y.all() or not y.any():
        return None
    if len(x) >= ISOTONIC_FROM:
        return _isotonic(x, y)
    slope, bias = platt(_logit(x), y)
    return Calibration("platt", len(x), slope, bias)


def _logit(risks: Floats) -> Floats:
    import numpy as np

    inside = np.clip(risks, EDGE, 1 - EDGE)
    return np.log(inside / (1 - inside))


def platt(logits: Floats, y: NDArray[np.bool_]) -> tuple[float, float]:
    """Newton's method on the penalised likelihood, with Platt's smoothed targets (in: Advances in Large Margin
    Classifiers, 1999); the slope never turns the ranking round."""
    import numpy as np

    up, down = int(y.sum()), int((~y).sum())
    target = np.where(y, (up + 1) / (up + 2), 1 / (down + 2))
    x = np.column_stack([logits, np.ones(len(logits))])
    spread = float(logits.var()) or 1.0
    penalty = np.diag([PRIOR * spread, 0.0])
    at = np.array([1.0, 0.0])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(x @ at, -30, 30)))
        gradient = x.T @ (p - target) + penalty @ (at - np.array([1.0, 0.0]))
        hessian = (x * (p * (1 - p))[:, None]).T @ x + penalty + 1e-9 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        at = at - step * min(1.0, 5.0 / max(1e-12, float(np.abs(step).max())))
        if float(np.abs(step).max()) < 1e-8:
            break
    if at[0] <= 0:  # the verdicts contradict the ranking: all that they tell is the base rate
        share = (up + 1) / (len(y) + 2)
        return 0.0, float(np.log(share / (1 - share)))
    return float(at[0]), float(at[1])


def _isotonic(x: Floats, y: NDArray[np.bool_]) -> Calibration:
    """Pool adjacent violators (Ayer et al. 1955); read by interpolation between the middles of the pools."""
    import numpy as np

    values, at = np.unique(x, return_inverse=True)
    counts, sums = np.bincount(at).astype(float), np.bincount(at, weights=y.astype(float))
    pools: list[list[float]] = []  # (wrong, claims, weighted risk)
    for value, count, total in zip(values, counts, sums, strict=True):
        pools.append([total, count, value * count])
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] >= pools[-1][0] / pools[-1][1]:
            last = pools.pop()
            pools[-1] = [a + b for a, b in zip(pools[-1], last, strict=True)]
    return Calibration(
        "isotonic",
        len(x),
        risks=tuple(float(r / n) for _, n, r in pools),
        levels=tuple(float(w / n) for w, n, _ in pools),
    )


def cross_validated(
    risks: Sequence[float], wrong: Sequence[bool], clusters: Sequence[str], *, seed: int = 0
) -> list[float] | None:
    """Each claim's probability by a calibration that never saw its cluster; None where that cannot be fitted."""
    import numpy as np

    keys, at = np.unique(list(clusters), return_inverse=True)
    if len(keys) < 2:
        return None
    folds = np.random.default_rng(seed).permutation(len(keys))[at] % min(FOLDS, len(keys))
    x, y, found = np.asarray(risks, float), np.asarray(wrong, bool), np.full(len(risks), np.nan)
    for fold in np.unique(folds):
        fitted = calibrate(x[folds != fold].tolist(), y[folds != fold].tolist())
        if fitted is None:
            return None
        found[folds == fold] = fitted.probability(x[folds == fold].tolist())
    return [float(p) for p in found]


def expected_calibration_error(probabilities: Sequence[float], wrong: Sequence[bool], *, bins: int = BINS) -> float:
    """Mean distance between stated and observed share over bins of equally many claims (Naeini et al. 2015).

    With n claims even a perfect detector measures about sqrt(bins / n) / 2: compare figures of like n. Raises
    ValueError without a claim.
    """
    import numpy as np

    p, y = np.asarray(probabilities, float), np.asarray(wrong, float)
    if not len(p):
        raise ValueError("no claims: there is no calibration to measure")
    order = np.argsort(p, kind="stable")
    # claims of equal probability share a bin: which of them came first says nothing
    edges = {int(np.searchsorted(p[order], p[order][len(p) * n // bins], side="left")) for n in range(1, bins)}
    parts = [part for part in np.split(order, sorted(edges - {0})) if len(part)]
    return float(sum(len(part) * abs(p[part].mean() - y[part].mean()) for part in parts) / len(p))

"""Figures of a text classifier: accuracy, F1, areas under curves, calibration, confusion; the majority beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from groundtone.stats import CONFIDENCE, mean_interval, paired_difference
from groundtone.types import Estimate
from tuning.scores import (
    NOTHING,
    ArmScores,
    Scores,
    area_under,
    f1,
    macro_f1,
    precision,
    ratio_interval,
    recall,
    without_spread,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]

__all__ = ["average_precision", "calibration_error", "score_texts"]

_BINS = 10


def score_texts(
    gold: Sequence[Sequence[str]],
    probabilities: Floats,
    *,
    labels: Sequence[str],
    train: Sequence[Sequence[str]],
    multi_label: bool = False,
    threshold: float = 0.5,
    clusters: Sequence[str] | None = None,
    notes: Sequence[str] = (),
) -> Scores:
    """Labels of held-out rows against probabilities (rows, labels); `train` are the labels that were trained on.

    One label: the most probable one is called. Several: all from `threshold` on, and accuracy is the share of rows
    whose labels are all right. "majority" always says what most training rows have.
    """
    import numpy as np

    truth = np.array([[label in row for label in labels] for row in gold], dtype=bool).reshape(len(gold), len(labels))
    called = probabilities >= threshold if multi_label else _one_hot(probabilities.argmax(axis=1), len(labels))
    usual = np.repeat(_majority(train, labels, multi_label=multi_label)[None, :], len(gold), axis=0)
    tuned = _arm("tuned", truth, called, labels, clusters)
    curves, why = _curves(truth, probabilities, labels)
    better = paired_difference(_right(truth, called), _right(truth, usual), clusters=clusters)
    ece = calibration_error(probabilities, truth, multi_label=multi_label, clusters=clusters)
    overall = {
        **tuned.overall,
        "accuracy above majority": better,
        "calibration error": ece,
    }
    classes = {label: {**tuned.classes[label], **curves[label]} for label in labels}
    confusion = (
        () if multi_label else tuple(tuple(int(n) for n in row) for row in truth.T.astype(int) @ called.astype(int))
    )
    arms = (ArmScores("tuned", overall, classes), _arm("majority", truth, usual, labels, clusters))
    return Scores("classify", len(gold), arms, tuple(labels), confusion, why, tuple(notes))


def _arm(name: str, truth: Flags, called: Flags, labels: Sequence[str], clusters: Sequence[str] | None) -> ArmScores:
    import numpy as np

    counts = np.stack([truth & called, ~truth & called, truth & ~called], axis=2).astype(float)  # rows, labels, 3
    rows = len(truth)
    overall = {
        "accuracy": mean_interval(_right(truth, called), clusters=clusters),
        "macro F1": ratio_interval(counts.reshape(rows, -1), macro_f1, n=rows, clusters=clusters),
        "micro F1": ratio_interval(counts.sum(axis=1), f1, n=rows, clusters=clusters),
    }
    classes = {}
    for at, label in enumerate(labels):
        own = counts[:, at]
        there, found = int(truth[:, at].sum()), int(called[:, at].sum())
        classes[label] = {
            "precision": ratio_interval(own, precision, n=found, clusters=clusters),
            "recall": ratio_interval(own, recall, n=there, clusters=clusters),
            "F1": ratio_interval(own, f1, n=int(own.sum()), clusters=clusters),
        }
    return ArmScores(name, overall, classes)


def _curves(
    truth: Flags, probabilities: Floats, labels: Sequence[str]
) -> tuple[dict[str, dict[str, Estimate]], dict[str, str]]:
    """Each label against the rest, by its probability; and why a label has no such figure."""
    curves, why = {}, {}
    for at, label in enumerate(labels):
        inside, outside = probabilities[truth[:, at], at], probabilities[~truth[:, at], at]
        if not len(inside) or not len(outside):
            why[f"AUROC and AUPRC of {label}"] = (
                "all held-out rows have it" if len(inside) else "no held-out row has it"
            )
            curves[label] = {"AUROC": NOTHING, "AUPRC": NOTHING}
        else:
            curves[label] = {
                "AUROC": area_under(inside.tolist(), outside.tolist()),
                "AUPRC": average_precision(probabilities[:, at], truth[:, at]),
            }
    return curves, why


def average_precision(scores: Floats, truth: Flags, *, resamples: int = 300, seed: int = 0) -> Estimate:
    """The area under precision and recall as a step function (no interpolation), ties taken together."""
    import numpy as np

    order = np.argsort(-scores, kind="stable")
    right = truth[order].astype(float)
    last = np.append(np.diff(scores[order]) != 0, True)  # the end of each run of equal scores

    def area(weight: Floats) -> float:
        hits, seen = np.cumsum(weight * right)[last], np.cumsum(weight)[last]
        steps = np.diff(np.concatenate([[0.0], hits]))
        return float((steps * np.divide(hits, seen, out=np.zeros(len(hits)), where=seen > 0)).sum() / hits[-1])

    rng, size = np.random.default_rng(seed), len(scores)
    draws = rng.multinomial(size, np.full(size, 1 / size), size=resamples).astype(float)
    areas = [area(weight) for weight in draws if (weight * right).sum()]
    mean = area(np.ones(size))
    low, high = np.quantile(areas, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    if low == high:
        return without_spread(mean, n=size, size=int(truth.sum()))
    return Estimate(mean, min(float(low), mean), max(float(high), mean), size)


def calibration_error(
    probabilities: Floats, truth: Flags, *, multi_label: bool, clusters: Sequence[str] | None = None
) -> Estimate:
    """Expected calibration error over ten bins of equally many calls (Naeini et al. 2015; Nguyen and O'Connor 2015).

    Of the most probable label, or of every label where several may hold. It is never negative, so that its resampled
    values lie above the truth where rows are few.
    """
    import numpy as np

    if multi_label:
        sure, right = probabilities, truth
        rows = np.repeat(np.arange(len(truth)), truth.shape[1])
    else:
        best = probabilities.argmax(axis=1)[:, None]
        sure, right = np.take_along_axis(probabilities, best, 1), np.take_along_axis(truth, best, 1)
        rows = np.arange(len(truth))
    if not sure.size:
        return NOTHING
    flat, hit = sure.ravel(), right.ravel().astype(float)
    place = np.empty(len(flat), dtype=int)
    place[np.argsort(flat, kind="stable")] = np.arange(len(flat)) * _BINS // len(flat)
    counts = np.zeros((len(truth), _BINS + 1))
    np.add.at(counts, (rows, place), flat - hit)
    np.add.at(counts, (rows, np.full(len(flat), _BINS)), 1.0)
    return ratio_interval(
        counts, lambda sums: np.abs(sums[:, :_BINS]).sum(axis=1) / sums[:, _BINS], n=len(truth), clusters=clusters
    )


def _majority(train: Sequence[Sequence[str]], labels: Sequence[str], *, multi_label: bool) -> Flags:
    import numpy as np

    seen = Counter(label for row in train for label in row)
    if multi_label:
        return np.array([seen[label] * 2 > len(train) for label in labels])
    best = max(labels, key=lambda label: seen[label])
    return np.array([label == best for label in labels])


def _right(truth: Flags, called: Flags) -> list[float]:
    return [float(same) for same in (truth == called).all(axis=1)]


def _one_hot(best: NDArray[np.intp], labels: int) -> Flags:
    import numpy as np

    return np.eye(labels, dtype=bool)[best]

"""What a tuned encoder is worth on rows that it never saw: figures with their number and interval, in two files.

A share is a mean of zeros and ones; F1 and its kin are ratios of sums, whose interval comes from resampling whole rows
(whole sources, where rows have one). None is "could not be measured", and says why.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from groundtone.files import write_atomic
from groundtone.stats import auroc, mean_interval
from groundtone.stats_intervals import expanded_tail
from groundtone.types import Estimate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = [
    "NOTHING",
    "ArmScores",
    "Scores",
    "area_under",
    "f1",
    "macro_f1",
    "precision",
    "ratio_interval",
    "recall",
    "without_spread",
]

NOTHING = Estimate(None, None, None, 0)
_RESAMPLES = 1000
_AT_ONCE = 4_000_000  # numbers in one block of draws
_MOST_CONFUSION = 30  # labels; a larger matrix stands in scores.json alone
_MOST_CLASSES = 200  # lines of one table


@dataclass(frozen=True, slots=True)
class ArmScores:
    """Figures of one way to predict: the tuned encoder, or always the most frequent label."""

    arm: str
    overall: Mapping[str, Estimate]
    classes: Mapping[str, Mapping[str, Estimate]]


@dataclass(frozen=True, slots=True)
class Scores:
    """What scores.json and scores.md hold. `confusion[i][j]`: rows of label i that were called label j."""

    method: str
    n: int
    arms: tuple[ArmScores, ...]
    labels: tuple[str, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    why: Mapping[str, str] | None = None  # figure -> why it could not be measured
    notes: tuple[str, ...] = ()

    def headline(self) -> dict[str, float | None]:
        """The overall means of the first arm, for the manifest."""
        return {name: estimate.mean for name, estimate in self.arms[0].overall.items()}

    def write(self, folder: Path) -> None:
        """scores.json and scores.md in a run's folder."""
        write_atomic(folder / "scores.json", json.dumps({"schema": 1, **asdict(self)}, indent=1, default=dict) + "\n")
        write_atomic(folder / "scores.md", self.to_markdown())

    def to_markdown(self) -> str:
        """The tables for people. An interval is a 95 % interval."""
        lines = [f"# Scores of method {self.method}", "", f"{self.n} held-out rows; [95 % interval], n.", ""]
        lines += [f"- {note}" for note in self.notes] + ([""] if self.notes else [])
        names = list(dict.fromkeys(name for arm in self.arms for name in arm.overall))
        lines += _table(["", *(arm.arm for arm in self.arms)], [self._overall(name) for name in names])
        for arm in self.arms[:1]:
            figures = list(dict.fromkeys(name for scores in arm.classes.values() for name in scores))
            rows = [
                [_cell(label), *(_shown(scores.get(name, NOTHING)) for name in figures)]
                for label, scores in list(arm.classes.items())[:_MOST_CLASSES]
            ]
            lines += [f"## Labels ({arm.arm})", "", *_table(["label", *figures], rows)] if rows else []
        if self.confusion and len(self.labels) <= _MOST_CONFUSION:
            rows = [[_cell(label), *map(str, row)] for label, row in zip(self.labels, self.confusion, strict=True)]
            head = ["is, called ->", *map(_cell, self.labels)]
            lines += ["## Confusion", "", *_table(head, rows)]
        if self.why:
            lines += ["## Not measured", "", *(f"- {name}: {reason}" for name, reason in self.why.items()), ""]
        return "\n".join(lines)

    def _overall(self, name: str) -> list[str]:
        return [name, *(_shown(arm.overall.get(name, NOTHING)) for arm in self.arms)]


def ratio_interval(
    counts: Floats,
    statistic: Callable[[Floats], Floats],
    *,
    n: int,
    clusters: Sequence[str] | None = None,
    seed: int = 0,
) -> Estimate:
    """A figure computed from sums: `statistic` maps sums (draws, k) of `counts` (rows, k) to values (draws,).

    The interval resamples rows, or whole clusters, and is expanded where they are few. Values that are not a number (an
    empty denominator) are left out; where all draws agree on 0 or 1, the interval is that of as many equal values
    (`groundtone.stats.mean_interval`).
    """
    import numpy as np

    if not len(counts):
        return NOTHING
    if clusters is not None:
        codes = np.unique(np.asarray(clusters), return_inverse=True)[1]
        summed = np.zeros((int(codes.max()) + 1, counts.shape[1]))
        np.add.at(summed, codes, counts)
        counts = summed
    mean = float(statistic(counts.sum(axis=0, keepdims=True))[0])
    if not np.isfinite(mean):
        return Estimate(None, None, None, 0, n)
    size = len(counts)
    rng, even = np.random.default_rng(seed), np.full(size, 1 / size)
    step = max(1, _AT_ONCE // size)
    drawn = np.concatenate(
        [
            statistic(rng.multinomial(size, even, size=min(step, _RESAMPLES - at)).astype(float) @ counts)
            for at in range(0, _RESAMPLES, step)
        ]
    )
    values = drawn[np.isfinite(drawn)]
    if len(values) and np.ptp(values) > 1e-12:
        tail = expanded_tail(size)
        low, high = np.quantile(values, [tail, 1 - tail])
        return Estimate(mean, min(float(low), mean), max(float(high), mean), n)
    return without_spread(mean, n=n, size=min(size, n))


def without_spread(mean: float, *, n: int, size: int) -> Estimate:
    """A figure from 0 to 1 that every draw gave alike: at 0 or 1 the interval of `size` equal values, else none."""
    if mean not in (0.0, 1.0) or size < 2:
        return Estimate(mean, None, None, n)
    known = mean_interval([mean] * size)
    return Estimate(mean, known.low, known.high, n)


def area_under(inside: Sequence[float], outside: Sequence[float]) -> Estimate:
    """AUROC of scores; nothing where one side is empty, and no certainty where the two sides lie apart."""
    known = auroc(inside, outside)
    if known.mean is None or known.low != known.high:
        return known
    return without_spread(known.mean, n=known.n, size=min(len(inside), len(outside)))


def precision(sums: Floats) -> Floats:
    """Sums (draws, 3) of right, wrongly found and missed -> right / found."""
    return _divided(sums[:, 0], sums[:, 0] + sums[:, 1])


def recall(sums: Floats) -> Floats:
    """Sums (draws, 3) -> right / there."""
    return _divided(sums[:, 0], sums[:, 0] + sums[:, 2])


def f1(sums: Floats) -> Floats:
    """Sums (draws, 3) -> the harmonic mean of precision and recall; 0 where something was missed or made up."""
    return _divided(2 * sums[:, 0], 2 * sums[:, 0] + sums[:, 1] + sums[:, 2])


def macro_f1(sums: Floats) -> Floats:
    """Sums (draws, 3 x labels), label by label -> the mean F1 of the labels that occur or were called."""
    import numpy as np

    each = np.stack([f1(sums[:, at : at + 3]) for at in range(0, sums.shape[1], 3)], axis=1)
    counted = np.isfinite(each)
    return _divided(np.where(counted, each, 0.0).sum(axis=1), counted.sum(axis=1).astype(float))


def _divided(top: Floats, bottom: Floats) -> Floats:
    import numpy as np

    return np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom > 0)


def _shown(estimate: Estimate) -> str:
    if estimate.mean is None:
        return "-"
    span = "" if estimate.low is None or estimate.high is None else f" [{estimate.low:.3f}, {estimate.high:.3f}]"
    return f"{estimate.mean:.3f}{span}, n={estimate.n}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows), ""]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")

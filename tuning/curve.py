"""Size guidance: the held-out loss after tuning on a part of the rows, and whether more rows would help."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from groundtone.errors import DataError
from groundtone.stats import mean_interval, paired_difference
from groundtone.types import Estimate, VoicePair

__all__ = ["Curve", "Point", "learning_curve"]

Losses = Sequence[float]  # one per held-out row, nats per reply token
_LEAST_ROWS = 8
_FAR = 12  # doublings; four thousand times the rows is no plan
_WORTH = 0.01  # a gain of one percent of the loss, from doubling the rows, is worth writing them


@dataclass(frozen=True, slots=True)
class Point:
    """The held-out loss after tuning on so many rows."""

    rows: int
    loss: Estimate


@dataclass(frozen=True, slots=True)
class Curve:
    """`gain` is what the last doubling of the rows brought, row by held-out row; `expected` what the next may bring."""

    points: tuple[Point, ...]
    gain: Estimate
    expected: float
    verdict: Literal["more rows would help", "more rows would hardly help", "cannot tell"]
    enough_rows: int | None = None  # where the next doubling would bring too little; None unless more would help
    heldout_needed: int | None = None  # held-out rows that would tell, if the gain is what it seems

    def lines(self) -> tuple[str, ...]:
        """What to show people."""
        shown = tuple(
            f"{p.rows} rows: held-out loss {p.loss.mean:.4f} [{p.loss.low:.4f}, {p.loss.high:.4f}], n={p.loss.n}"
            for p in self.points
        )
        gain = f"{self.gain.mean:.4f} [{self.gain.low:.4f}, {self.gain.high:.4f}], n={self.gain.n}"
        told = (
            f"{self.verdict}: the last step up lowered the loss by {gain}; twice the rows may bring {self.expected:.4f}"
        )
        return (*shown, told, *([advice] if (advice := self.advice) else []))

    @property
    def advice(self) -> str:
        """How many rows to write, or to hold out; "" where there is nothing to do."""
        if self.enough_rows is not None:
            return f"about {self.enough_rows} rows would be enough: from there, twice as many bring less than 1 %"
        if self.heldout_needed is not None:
            return f"about {self.heldout_needed} held-out rows would tell, if the gain is what it seems"
        return ""


def learning_curve(
    pairs: Sequence[VoicePair],
    *,
    train: Callable[[Sequence[VoicePair]], Losses],
    shares: Sequence[float] = (0.25, 0.5, 1.0),
    seed: int = 0,
    clusters: Sequence[str] | None = None,
    on_point: Callable[[Point], None] | None = None,
) -> Curve:
    """Tune on nested parts of the rows and compare their losses on the same held-out rows.

    A part takes whole sources in random order, and of the last one as many rows as fit; `clusters` are the held-out
    rows' sources.

    `train(rows)` tunes on the rows, every one seen equally often whatever their number, and returns the loss of each
    held-out row, in the same order every time. The next gain is expected to shrink as the last did (a power law's
    gains form a geometric series over doublings). Raises DataError for fewer than eight rows.
    """
    if len(pairs) < _LEAST_ROWS or list(shares) != sorted(set(shares)) or len(shares) < 2:
        raise DataError(f"a learning curve needs {_LEAST_ROWS} rows or more and rising shares, not {len(pairs)} rows")
    order = list(range(len(pairs)))
    draw = random.Random(seed)
    draw.shuffle(order)
    sources = sorted({pair.source for pair in pairs})
    draw.shuffle(sources)
    place = {source: number for number, source in enumerate(sources)}
    order.sort(key=lambda n: place[pairs[n].source])
    measured: list[list[float]] = []
    points: list[Point] = []
    for share in shares:
        chosen = sorted(order[: max(1, round(share * len(pairs)))])
        losses = list(train([pairs[n] for n in chosen]))
        measured.append(losses)
        points.append(Point(len(chosen), mean_interval(losses, clusters=clusters, bounds=(0.0, max(losses) + 1.0))))
        if on_point is not None:
            on_point(points[-1])
    gain = _gain(measured[-2], measured[-1], clusters)
    means = [point.loss.mean or 0.0 for point in points]
    before = means[-3] - means[-2] if len(means) > 2 else 0.0
    last = means[-2] - means[-1]
    shrinks = min(1.0, last / before) if before > 0 and last > 0 else 0.5
    expected = max(0.0, last * shrinks)
    if gain.low is None or gain.high is None or gain.low <= 0.0 < gain.high:
        verdict: Literal["more rows would help", "more rows would hardly help", "cannot tell"] = "cannot tell"
    elif gain.low > 0.0 and expected >= _WORTH * means[-1]:
        verdict = "more rows would help"
    else:
        verdict = "more rows would hardly help"
    enough = _enough(points[-1].rows, last, shrinks, means[-1]) if verdict == "more rows would help" else None
    needed = _to_tell(gain) if verdict == "cannot tell" else None
    return Curve(tuple(points), gain, expected, verdict, enough, needed)


def _gain(before: Losses, after: Losses, clusters: Sequence[str] | None) -> Estimate:
    """How much lower the loss is with more rows. A loss has no limits; where all gain alike it is given some."""
    found = paired_difference(before, after, clusters=clusters, bounds=None)
    if found.low is not None:
        return found
    return paired_difference(before, after, clusters=clusters, bounds=(0.0, max(*before, *after) + 1.0))


def _enough(rows: int, gain: float, shrinks: float, loss: float) -> int | None:
    """The rows from where on a doubling brings too little; None where the gains do not shrink."""
    if shrinks >= 1.0:
        return None
    for doublings in range(1, _FAR):
        gain *= shrinks
        loss -= gain
        if gain < _WORTH * loss:
            return int(rows * 2**doublings)
    return None


def _to_tell(gain: Estimate) -> int | None:
    """Held-out rows at which the interval of this gain would leave 0 out: its width falls with the root of n."""
    if not gain.mean or gain.low is None or gain.high is None:
        return None
    half = gain.mean - gain.low if gain.mean > 0 else gain.high - gain.mean
    return math.ceil(gain.n * (half / abs(gain.mean)) ** 2)

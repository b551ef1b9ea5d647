"""Records by arm and item, and their metrics as estimates that are paired by item and clustered by document."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from eval.metrics import UNBOUNDED
from groundtone.stats import UNIT, Bounds, interaction, mean_interval, paired_difference
from groundtone.types import Estimate, EvalRecord, Question

__all__ = ["Arm", "Draw", "Measure", "bounds_of", "by_arm", "cluster_of", "fixed_and_broken", "of_metric", "value"]

Arm = Mapping[str, EvalRecord]  # by item
Measure = Callable[[EvalRecord], float | None]


def cluster_of(question: Question) -> str:
    """The document that a question hangs on (its first gold quote's source), or the question itself."""
    if question.gold is not None and question.gold.quotes:
        return f"source:{question.gold.quotes[0][0]}"
    return f"item:{question.id}"


def by_arm(records: Iterable[EvalRecord]) -> dict[str, dict[str, EvalRecord]]:
    """Arm -> item -> record, in the order of the records."""
    arms: dict[str, dict[str, EvalRecord]] = {}
    for record in records:
        arms.setdefault(record.arm, {})[record.item_id] = record
    return arms


def value(record: EvalRecord, metric: str) -> float | None:
    """The metric's value of a record; None where it does not apply or was not measured."""
    return record.scores[metric].value if metric in record.scores else None


def of_metric(metric: str) -> Measure:
    """The measure that reads a metric's value."""
    return lambda record: value(record, metric)


def bounds_of(metric: str) -> Bounds:
    """Between which limits a value of the metric lies; None for tokens and seconds."""
    return None if metric in UNBOUNDED else UNIT


@dataclass(frozen=True, slots=True)
class Draw:
    """How intervals are drawn: the same records under the same draw give the same estimates, bit for bit."""

    resamples: int = 2000
    seed: int = 0

    def mean(self, records: Iterable[EvalRecord], measure: Measure, *, bounds: Bounds = UNIT) -> Estimate:
        """The mean of a measure over records."""
        some = list(records)
        return mean_interval(
            [measure(record) for record in some],
            clusters=[cluster_of(record.question) for record in some],
            bounds=bounds,
            resamples=self.resamples,
            seed=self.seed,
        )

    def difference(self, a: Arm, b: Arm, measure: Measure, *, bounds: Bounds = UNIT) -> Estimate:
        """The mean of a - b over the items of both."""
        columns, clusters = _columns([a, b], measure)
        return paired_difference(*columns, clusters=clusters, bounds=bounds, resamples=self.resamples, seed=self.seed)

    def interaction(self, a1: Arm, b1: Arm, a0: Arm, b0: Arm, measure: Measure, *, bounds: Bounds = UNIT) -> Estimate:
        """The mean of (a1 - b1) - (a0 - b0) over the items of all four."""
        columns, clusters = _columns([a1, b1, a0, b0], measure)
        return interaction(*columns, clusters=clusters, bounds=bounds, resamples=self.resamples, seed=self.seed)


def _columns(arms: Sequence[Arm], measure: Measure) -> tuple[list[list[float | None]], list[str]]:
    """The measure of the items that all arms have, one column per arm, and the items' clusters."""
    items = [item for item in arms[0] if all(item in arm for arm in arms[1:])]
    return (
        [[measure(arm[item]) for item in items] for arm in arms],
        [cluster_of(arms[0][item].question) for item in items],
    )


def fixed_and_broken(before: Arm, after: Arm, metric: str = "correct") -> dict[str, list[str]]:
    """Items whose value rose ("fixed") and fell ("broken") from one to the other, in the order of `after`."""
    pairs = {item: (value(before[item], metric), value(after[item], metric)) for item in after if item in before}
    return {
        "fixed": [item for item, (b, a) in pairs.items() if b is not None and a is not None and a > b],
        "broken": [item for item, (b, a) in pairs.items() if b is not None and a is not None and a < b],
    }

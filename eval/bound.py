"""Where an assistant should refuse: what each bound on how well a passage answers gives, and which one suits.

Every question is answered whatever its value (`groundtone.answer_spans.value`); a bound then takes the answers below it
back. Which bound suits depends on what a wrong answer costs: with a right one worth 1 and a refusal 0, an answer pays
where its chance of being right is above cost / (1 + cost) (Chow 1970, doi:10.1109/TIT.1970.1054406).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from eval.calibration import FOLDS, platt
from eval.estimates import in_words
from groundtone.stats import mean_interval, paired_difference
from groundtone.types import Estimate

__all__ = ["Advice", "Outcome", "Point", "advise", "at", "suited"]

LEAST = 5  # right answers, and wrong ones, below which no bound is chosen
_STEPS = 9  # bounds in the table, over the middle of the values


@dataclass(frozen=True, slots=True)
class Outcome:
    """A question that was answered without any bound.

    `value` is how well its best passage answers, None where nothing was found; `answered` is False where the model
    itself refused. `source` is the document that answers, the question's own id where none does.
    """

    id: str
    source: str
    value: float | None
    answerable: bool
    answered: bool
    right: bool


@dataclass(frozen=True, slots=True)
class Point:
    """What comes of the questions under one bound, as shares: the first two of those that the documents answer, the
    third of those that they do not, `wrong` of all."""

    bound: float
    right: Estimate
    wrongly_refused: Estimate
    rightly_refused: Estimate
    wrong: Estimate


@dataclass(frozen=True, slots=True)
class Advice:
    """The table of bounds, the one that suits (None: too little to tell), and whether it beats the one in use.

    `gain` is the mean worth of a question under a bound that was chosen without its document, less its worth under the
    bound in use.
    """

    wrong_costs: float
    current: Point
    suited: Point | None
    points: tuple[Point, ...]
    gain: Estimate
    reason: str

    @property
    def beats(self) -> bool:
        """Whether the gain is above 0 beyond noise."""
        return self.gain.low is not None and self.gain.low > 0

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def at(bound: float, outcomes: Sequence[Outcome]) -> Point:
    """The shares under `bound`, with 95 % intervals over documents."""
    sources = [outcome.source for outcome in outcomes]

    def share(values: Sequence[float | None]) -> Estimate:
        return mean_interval(values, clusters=sources)

    said = [_said(outcome, bound) for outcome in outcomes]
    pairs = list(zip(outcomes, said, strict=True))
    return Point(
        bound,
        right=share([float(s and o.right) if o.answerable else None for o, s in pairs]),
        wrongly_refused=share([float(not s) if o.answerable else None for o, s in pairs]),
        rightly_refused=share([None if o.answerable else float(not s) for o, s in pairs]),
        wrong=share([float(s and not o.right) for o, s in pairs]),
    )


def suited(outcomes: Sequence[Outcome], *, wrong_costs: float = 1.0) -> float | None:
    """The value at which an answer's chance of being right is cost / (1 + cost), by a logistic fit over the answers.

    None with fewer than LEAST right or wrong answers, and where better values are not more often right.
    """
    import numpy as np

    answers = [(o.value, o.right) for o in outcomes if o.answered and o.value is not None and math.isfinite(o.value)]
    right = sum(r for _, r in answers)
    if min(right, len(answers) - right) < LEAST:
        return None
    values, truth = np.array([v for v, _ in answers]), np.array([r for _, r in answers], bool)
    middle, spread = float(values.mean()), float(values.std())
    if not spread:
        return None
    slope, bias = platt((values - middle) / spread, truth)
    return middle + spread * (math.log(wrong_costs) - bias) / slope if slope > 0 else None


def advise(outcomes: Sequence[Outcome], *, current: float, wrong_costs: float = 1.0, seed: int = 0) -> Advice:
    """The table around the bound in use and the one that suits, and what the latter gains on documents kept apart."""
    chosen = suited(outcomes, wrong_costs=wrong_costs)
    gain = _gain(outcomes, current, wrong_costs, seed) if chosen is not None else Estimate(None, None, None, 0)
    return Advice(
        wrong_costs,
        at(current, outcomes),
        at(chosen, outcomes) if chosen is not None else None,
        tuple(at(bound, outcomes) for bound in _steps(outcomes)),
        gain,
        _reason(outcomes, chosen, current, gain),
    )


def _said(outcome: Outcome, bound: float) -> bool:
    return outcome.answered and outcome.value is not None and outcome.value >= bound


def _worth(outcome: Outcome, bound: float, wrong_costs: float) -> float:
    return (1.0 if outcome.right else -wrong_costs) if _said(outcome, bound) else 0.0


def _gain(outcomes: Sequence[Outcome], current: float, wrong_costs: float, seed: int) -> Estimate:
    """Per question, over folds of whole documents; a fold whose others choose nothing keeps the bound in use."""
    import numpy as np

    keys, place = np.unique([outcome.source for outcome in outcomes], return_inverse=True)
    folds = np.random.default_rng(seed).permutation(len(keys))[place] % min(FOLDS, len(keys))
    bounds = {}
    for fold in set(folds.tolist()):
        others = [outcome for outcome, at_fold in zip(outcomes, folds, strict=True) if at_fold != fold]
        found = suited(others, wrong_costs=wrong_costs)
        bounds[fold] = current if found is None else found
    return paired_difference(
        [_worth(o, bounds[fold], wrong_costs) for o, fold in zip(outcomes, folds.tolist(), strict=True)],
        [_worth(o, current, wrong_costs) for o in outcomes],
        clusters=[outcome.source for outcome in outcomes],
        bounds=(-max(1.0, wrong_costs), max(1.0, wrong_costs)),
    )


def _steps(outcomes: Sequence[Outcome]) -> list[float]:
    """Bounds in even steps over the middle nine tenths of the values, in whole numbers where these differ."""
    import numpy as np

    values = [o.value for o in outcomes if o.value is not None and math.isfinite(o.value)]
    if not values:
        return []
    low, high = (float(q) for q in np.quantile(values, [0.05, 0.95]))
    even = [low + (high - low) * step / (_STEPS - 1) for step in range(_STEPS)]
    digits = 0 if high - low >= _STEPS else 2
    return list(dict.fromkeys(round(bound, digits) for bound in even))


def _reason(outcomes: Sequence[Outcome], chosen: float | None, current: float, gain: Estimate) -> str:
    right = sum(o.answered and o.right for o in outcomes)
    wrong = sum(o.answered and not o.right for o in outcomes)
    if chosen is None:
        few = min(right, wrong) < LEAST
        why = f"at least {LEAST} of each are needed" if few else "better values are not more often right"
        return f"no bound was chosen: {right} right and {wrong} wrong answers without one, and {why}"
    told = f"chosen without a question's own document it is worth {in_words(gain, signed=True)} a question more"
    if gain.low is not None and gain.low > 0:
        return f"{chosen:.1f} suits, and beats the {current:g} in use beyond noise: {told}"
    return f"keep {current:g}: {chosen:.1f} suits, but is not shown to beat it; {told}"

"""Explicit comparison and the lexical trees, weighed against each other by a logistic regression.

Stacking (Wolpert 1992, 10.1016/S0893-6080(05)80023-1). The trees rank well and miss contradictions; comparison finds
and names contradictions and ranks worse. The weights come from data.detector.stack, where trees judge only sets that
they were not fitted on: a weight says how far a part can be believed on answers of another kind.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from eval.detectors.lexical import MODEL_FILE, LexicalDetector, finding, read_model
from eval.detectors.protocol import NO_EVIDENCE, Case, Finding

__all__ = ["INPUTS", "Stack", "StackedDetector", "log_odds", "stack_inputs"]

INPUTS = ("lexical", "explicit", "contradicted")
EDGE = 0.02  # a risk of 0 or 1 has no finite log-odds; beyond this no part is surer of itself


@dataclass(frozen=True, slots=True)
class Stack:
    """Risk = logistic(bias + weights x INPUTS); `threshold` is the risk from which a claim is called unsupported."""

    weights: Mapping[str, float]
    bias: float
    threshold: float

    def risk(self, inputs: Sequence[float]) -> float:
        """In (0, 1)."""
        total = self.bias + sum(self.weights[name] * value for name, value in zip(INPUTS, inputs, strict=True))
        return 1 / (1 + math.exp(-total))


class StackedDetector:
    """Ranks by both. What explicit comparison objects to keeps its verdict and reason; the weighed risk flags more."""

    name = "stacked"

    def __init__(self, lexical: LexicalDetector, stack: Stack) -> None:
        self._lexical = lexical
        self.stack = stack

    @classmethod
    def shipped(cls) -> StackedDetector:
        """The one that comes with this version; read once."""
        return _shipped()

    def judge(self, cases: Sequence[Case]) -> list[tuple[Finding, ...]]:
        """All claims of all cases in one pass through the trees."""
        return [
            tuple(
                NO_EVIDENCE
                if one is None
                else finding(
                    one,
                    risk=self.stack.risk(stack_inputs(one.risk, *_said(one.explicit))),
                    threshold=self.stack.threshold,
                    heeded=("contradicted", "unsupported"),
                )
                for one in own
            )
            for own in self._lexical.read_cases(cases)
        ]


def stack_inputs(lexical: float, support: float, conflicts: float) -> tuple[float, ...]:
    """The numbers of INPUTS: log-odds of both risks, and 1 where comparison found a contradiction."""
    return log_odds(lexical), log_odds(1 - support), float(conflicts > 0)


def _said(explicit: Finding) -> tuple[float, float]:
    return explicit.scores["support"], explicit.scores["conflicts"]


def log_odds(risk: float) -> float:
    """Of a risk, which is taken as at least EDGE away from 0 and 1."""
    inside = min(1 - EDGE, max(EDGE, risk))
    return math.log(inside / (1 - inside))


@cache
def _shipped() -> StackedDetector:
    data = read_model(MODEL_FILE)["stack"]
    return StackedDetector(LexicalDetector.shipped(), Stack(data["weights"], data["bias"], data["threshold"]))

"""What a hallucination detector is: it reads claims beside their evidence and says what it thinks of each.

The ladder has one protocol, so that a verdict reads the same whether a comparison of numbers, a boosted tree, a
cross-encoder or a language model gave it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from eval.evidence import Evidence
from groundtone.text import Span
from groundtone.types import ClaimVerdict

__all__ = ["NO_EVIDENCE", "Case", "Detector", "Finding"]


@dataclass(frozen=True, slots=True)
class Case:
    """The claims of one answer in their order, and what they may rest on. Names in `own_names` need no evidence."""

    claims: tuple[str, ...]
    evidence: Evidence
    own_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """What a detector says of a claim. `risk` in [0, 1] ranks claims; it is a probability only after calibration.

    `risk` is None exactly where the verdict is "unchecked". `spans` are the characters of the claim that gave rise to
    it, `evidence` the sentence that it was compared with.
    """

    verdict: ClaimVerdict
    risk: float | None
    passage_id: str | None = None
    evidence: str = ""
    spans: tuple[Span, ...] = ()
    why: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert (self.verdict == "unchecked") == (self.risk is None), "only what is unchecked has no risk"
        assert self.risk is None or 0 <= self.risk <= 1, "a risk lies between 0 and 1"


NO_EVIDENCE = Finding("unchecked", None, why="there is no evidence to compare with")


class Detector(Protocol):
    """Anything that judges claims."""

    name: str

    def judge(self, cases: Sequence[Case]) -> list[tuple[Finding, ...]]:
        """One finding per claim of every case, in order. A claim without evidence is unchecked, never supported."""
        ...

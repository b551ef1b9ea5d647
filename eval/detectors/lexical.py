"""The lexical model: boosted trees over how a claim's words, values and names stand in the evidence.

Fitted by data/detector/train.py on data whose licences allow it and shipped as JSON. What explicit comparison finds
contradicted stays contradicted: trees see that something is new, not what it denies.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from eval.detectors.explicit import ExplicitDetector
from eval.detectors.features import FEATURES, ClaimReading, Rarity, read_claim
from eval.detectors.protocol import NO_EVIDENCE, Case, Finding
from eval.detectors.trees import Trees
from groundtone.errors import DataError
from groundtone.text import Span
from groundtone.types import ClaimVerdict
from groundtone.values import find_names

__all__ = ["MODEL_FILE", "NAMES", "LexicalDetector", "ReadClaim", "described", "finding", "read_model"]

MODEL_FILE = Path(__file__).with_name("lexical.json")
COMPARED = ("support", "recall", "known", "conflicts")  # what explicit comparison says, among the features
NAMES = (*FEATURES, *(f"explicit_{name}" for name in COMPARED))
SHOWN_WORDS = 6  # new words that a reason names at most


@dataclass(frozen=True, slots=True)
class ReadClaim:
    """A claim as words and values show it: its features, what explicit comparison says, and the trees' risk."""

    reading: ClaimReading
    explicit: Finding
    risk: float


class LexicalDetector:
    """Risk from trees, contradictions and their reasons from explicit comparison."""

    name = "lexical"

    def __init__(self, trees: Trees, rarity: Rarity, *, threshold: float) -> None:
        self.trees = trees
        self.rarity = rarity
        self.threshold = threshold
        self._explicit = ExplicitDetector()

    @classmethod
    def shipped(cls) -> LexicalDetector:
        """The model that comes with this version; read once."""
        return _shipped()

    @classmethod
    def read(cls, path: Path) -> LexicalDetector:
        """A model that data.detector.train wrote. DataError where it was fitted on other features than these."""
        data = read_model(path)
        return cls(Trees.read(data), Rarity(data["rarity"], data["unseen"]), threshold=data["threshold"])

    def judge(self, cases: Sequence[Case]) -> list[tuple[Finding, ...]]:
        """All claims of all cases in one pass through the trees."""
        return [
            tuple(NO_EVIDENCE if one is None else finding(one, risk=one.risk, threshold=self.threshold) for one in own)
            for own in self.read_cases(cases)
        ]

    def read_cases(self, cases: Sequence[Case]) -> list[list[ReadClaim | None]]:
        """Every claim of every case, read and put through the trees; None where there is no evidence."""
        read = [
            [
                read_claim(_without_own(claim, case.own_names), case.evidence, self.rarity)
                if case.evidence.sentences
                else None
                for claim in case.claims
            ]
            for case in cases
        ]
        compared = self._explicit.judge(cases)
        rows = [
            described(reading, explicit)
            for own, found in zip(read, compared, strict=True)
            for reading, explicit in zip(own, found, strict=True)
            if reading is not None
        ]
        risks = iter(self.trees.probability(rows) if rows else ())
        return [
            [
                None if reading is None else ReadClaim(reading, explicit, float(next(risks)))
                for reading, explicit in zip(own, found, strict=True)
            ]
            for own, found in zip(read, compared, strict=True)
        ]


def finding(
    one: ReadClaim, *, risk: float, threshold: float, heeded: Sequence[ClaimVerdict] = ("contradicted",)
) -> Finding:
    """The verdict on a claim of this risk, its reason and its characters.

    Explicit comparison has the last word where its verdict is `heeded`; what is contradicted has at least the
    threshold's risk.
    """
    explicit, scores = one.explicit, {**one.explicit.scores, "lexical": round(one.risk, 4)}
    if explicit.verdict in heeded:
        least = threshold if explicit.verdict == "contradicted" else risk
        return replace(explicit, risk=max(risk, least), scores=scores)
    new = [word for word in one.reading.words if word.held == 0]
    shown = one.reading.nearest
    if risk < threshold:
        why = f"the evidence nearest to it holds {explicit.scores['recall']:.0%} of its words, by weight"
        return Finding("supported", risk, shown.passage_id, shown.text, (), why, scores)
    named = ", ".join(word.text for word in sorted(new, key=lambda w: -w.rarity)[:SHOWN_WORDS])
    why = f"the evidence does not say {named}" if named else "its words stand in the evidence, but not together"
    if explicit.spans:
        why = explicit.why
    spans = explicit.spans or _merged([(word.start, word.end) for word in new])
    return Finding("unsupported", risk, shown.passage_id, shown.text, spans, why, scores)


def read_model(path: Path) -> dict[str, Any]:
    """What data.detector.train wrote. DataError where it was fitted on other features than this version computes."""
    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if tuple(data["features"]) != NAMES:
        raise DataError(f"{path}: fitted on other features than this version computes; run data.detector.train again")
    return data


def described(reading: ClaimReading, explicit: Finding) -> tuple[float, ...]:
    """What the trees read of a claim, in the order of NAMES."""
    return (*reading.features, *(explicit.scores[name] for name in COMPARED))


def _without_own(claim: str, own_names: Sequence[str]) -> str:
    """The claim with blanks where it says the house's own names, which need no evidence; other characters stay."""
    own = " ".join(own_names)
    for name in find_names(claim) if own else ():
        if name in own:
            claim = claim.replace(name, " " * len(name))
    return claim


@cache
def _shipped() -> LexicalDetector:
    return LexicalDetector.read(MODEL_FILE)


def _merged(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Spans that only a blank parts become one."""
    joined: list[Span] = []
    for start, end in spans:
        if joined and start - joined[-1][1] <= 1:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return tuple(joined)

"""The lexical model: boosted trees over how a claim's words, values and names stand in the evidence.

Fitted by data/detector/train.py on data whose licences allow it and shipped as JSON. What explicit comparison finds
contradicted stays contradicted: trees see that something is new, not what it denies.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from eval.detectors.explicit import ExplicitDetector
from eval.detectors.features import ClaimReading, Rarity, read_claim
from eval.detectors.protocol import NO_EVIDENCE, Case, Finding
from eval.detectors.trees import Trees
from groundtone.text import Span

__all__ = ["MODEL_FILE", "LexicalDetector"]

MODEL_FILE = Path(__file__).with_name("lexical.json")
SHOWN_WORDS = 6  # new words that a reason names at most


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
        """A model that data.detector.train wrote."""
        data = json.loads(path.read_text(encoding="utf-8"))
        return cls(Trees.read(data), Rarity(data["rarity"], data["unseen"]), threshold=data["threshold"])

    def judge(self, cases: Sequence[Case]) -> list[tuple[Finding, ...]]:
        """All claims of all cases in one pass through the trees."""
        read = [
            [
                read_claim(claim, case.evidence, self.rarity) if case.evidence.sentences else None
                for claim in case.claims
            ]
            for case in cases
        ]
        known = [reading for own in read for reading in own if reading is not None]
        risks = iter(self.trees.probability([reading.features for reading in known]) if known else ())
        compared = self._explicit.judge(cases)
        return [
            tuple(
                NO_EVIDENCE if reading is None else self._finding(reading, float(next(risks)), explicit, case.own_names)
                for reading, explicit in zip(own, found, strict=True)
            )
            for case, own, found in zip(cases, read, compared, strict=True)
        ]

    def _finding(self, reading: ClaimReading, risk: float, explicit: Finding, own_names: Sequence[str]) -> Finding:
        scores = {**explicit.scores, "lexical": round(risk, 4)}
        if explicit.verdict == "contradicted":
            return Finding(
                "contradicted",
                max(risk, self.threshold),
                explicit.passage_id,
                explicit.evidence,
                explicit.spans,
                explicit.why,
                scores,
            )
        own = " ".join(own_names)
        new = [word for word in reading.words if word.held == 0 and word.text not in own]
        shown = reading.nearest
        if risk < self.threshold:
            why = "the evidence carries its words and values"
            return Finding("supported", risk, shown.passage_id, shown.text, (), why, scores)
        named = ", ".join(word.text for word in sorted(new, key=lambda w: -w.rarity)[:SHOWN_WORDS])
        why = f"the evidence does not say {named}" if named else "its words stand in the evidence, but not together"
        if explicit.spans:
            why = explicit.why
        spans = explicit.spans or _merged([(word.start, word.end) for word in new])
        return Finding("unsupported", risk, shown.passage_id, shown.text, spans, why, scores)


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

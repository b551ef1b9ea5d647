"""A token classifier that marks the words of an answer which nothing in the evidence carries.

The idea is LettuceDetect's (arXiv 2502.17125): evidence and answer are read together and every token of the answer is
labelled. Ours is any encoder tuned by method `tokens`; the rows come from data/detector/span_rows.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from eval.detectors.explicit import ExplicitDetector
from eval.detectors.protocol import NO_EVIDENCE, Case, Finding
from eval.evidence import Evidence
from groundtone.models.classifier import FoundSpan, Tagging, TokenClassifier
from groundtone.text import content_words

__all__ = ["SpanDetector", "evidence_for"]

LEAST = 0.5  # probability from which a token is marked
EVIDENCE_SENTENCES = 4  # nearest to the claim: a window of 192 tokens mostly holds them beside it


class SpanDetector:
    """Marks words claim by claim; the risk is the highest probability that a word is not carried."""

    def __init__(self, tagger: TokenClassifier, *, name: str = "span", least: float = LEAST) -> None:
        self.name = name
        self._tagger = tagger
        self._least = least
        self._explicit = ExplicitDetector()

    @classmethod
    def load(cls, folder: Path, *, device: str = "auto") -> SpanDetector:
        """The tagger of a run's folder, or of its adapter's. ModelError where it holds none."""
        return cls(TokenClassifier.load(folder, device=device), name=f"span:{folder.name}")

    def judge(self, cases: Sequence[Case]) -> list[tuple[Finding, ...]]:
        """Every claim after the sentences nearest to it; explicit comparison says which marks are contradictions."""
        asked = [(evidence_for(claim, case.evidence), claim) for case in cases for claim in case.claims]
        taggings = iter(self._tagger.predict(asked, least=self._least))
        compared = self._explicit.judge(cases)
        return [
            tuple(
                _finding(tagging, explicit, least=self._least) if case.evidence.sentences else NO_EVIDENCE
                for explicit, tagging in [(explicit, next(taggings)) for explicit in found]
            )
            for case, found in zip(cases, compared, strict=True)
        ]


def evidence_for(claim: str, evidence: Evidence) -> str:
    """The sentences nearest to a claim by their words, in the order of the documents."""
    said = set(content_words(claim))
    order = sorted(range(len(evidence.sentences)), key=lambda i: (-len(said & evidence.sentences[i].words), i))
    return " ".join(evidence.sentences[i].text for i in sorted(order[:EVIDENCE_SENTENCES]))


def _finding(tagging: Tagging, explicit: Finding, *, least: float) -> Finding:
    marks: Sequence[FoundSpan] = tagging.spans
    risk = min(1.0, max(0.0, float(tagging.score)))
    scores = {"span": round(risk, 4)}
    if not marks and risk < least:
        why = "no word of it is marked"
        return Finding("supported", risk, explicit.passage_id, explicit.evidence, (), why, scores)
    spans = tuple((mark.start, mark.end) for mark in marks)
    if explicit.verdict == "contradicted":
        return Finding("contradicted", risk, explicit.passage_id, explicit.evidence, spans, explicit.why, scores)
    why = f"nothing carries {'; '.join(mark.text for mark in marks)}" if marks else "a word of it is in doubt"
    return Finding("unsupported", risk, explicit.passage_id, explicit.evidence, spans, why, scores)

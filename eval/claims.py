"""Claims of an answer with verdicts: the answer is split, a detector judges, and the result keeps exact characters."""

from __future__ import annotations

from collections.abc import Sequence

from eval.detectors import DEFAULT, load_detector
from eval.detectors.protocol import Case, Detector, Finding
from eval.evidence import Evidence
from eval.splitting import split_claims, strip_markers
from groundtone.text import Span
from groundtone.types import Claim, Passage

__all__ = ["check_answers", "check_claim", "check_claims", "split_claims", "strip_markers"]


def check_claims(
    answer_text: str,
    evidence: Sequence[Passage] | Evidence,
    *,
    boilerplate: Sequence[str] = (),
    detector: Detector | None = None,
) -> tuple[Claim, ...]:
    """Every claim of an answer with its verdict; `claim.text == answer_text[claim.start:claim.end]`.

    Names in `boilerplate` (the house's own name) need no evidence. `detector` None is the built-in of eval.detector's
    default.
    """
    return check_answers([(answer_text, evidence)], boilerplate=boilerplate, detector=detector)[0]


def check_answers(
    answers: Sequence[tuple[str, Sequence[Passage] | Evidence]],
    *,
    boilerplate: Sequence[str] = (),
    detector: Detector | None = None,
) -> list[tuple[Claim, ...]]:
    """`check_claims` of many answers at once: detectors with weights read them in batches."""
    judge = detector or load_detector(DEFAULT)
    spans = [split_claims(text, boilerplate=boilerplate) for text, _ in answers]
    cases = [
        Case(
            tuple(text[a:b] for a, b in own),
            evidence if isinstance(evidence, Evidence) else Evidence(evidence),
            tuple(boilerplate),
        )
        for (text, evidence), own in zip(answers, spans, strict=True)
    ]
    return [
        tuple(_claim(text, span, finding) for span, finding in zip(own, findings, strict=True))
        for (text, _), own, findings in zip(answers, spans, judge.judge(cases), strict=True)
    ]


def check_claim(text: str, evidence: Evidence, *, start: int = 0, detector: Detector | None = None) -> Claim:
    """One sentence, taken as one claim, against the evidence."""
    judge = detector or load_detector(DEFAULT)
    ((finding,),) = judge.judge([Case((text,), evidence)])
    return _claim(text, (0, len(text)), finding, shift=start)


def _claim(answer: str, span: Span, finding: Finding, *, shift: int = 0) -> Claim:
    start, end = span
    scores = dict(finding.scores)
    if finding.risk is not None:
        scores["risk"] = round(finding.risk, 4)
    return Claim(
        answer[start:end],
        start + shift,
        end + shift,
        finding.verdict,
        finding.passage_id,
        finding.evidence,
        scores,
        finding.why,
    )

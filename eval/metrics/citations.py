"""Citation precision and recall after ALCE (arXiv:2305.14627), with the claim detector in place of an NLI model."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from eval.claims import check_claim
from eval.evidence import Evidence
from groundtone.text import sentence_spans
from groundtone.types import Answer, Citation, Passage, Question, Score

__all__ = ["citation_precision", "citation_recall"]


def citation_precision(question: Question, answer: Answer) -> Score:
    """Share of the citations that are of use, as ALCE counts them.

    All that a sentence cites must support it together, else none of its citations counts; of these, one is of use that
    supports the sentence alone, or without which the others do not. None for a refusal, a closed book, and an answer
    that cites nothing.
    """
    if answer.refused or not answer.hits:
        return Score(None, _not_applicable(answer))
    if not answer.citations:
        return Score(None, "it cites nothing")
    verdicts = []
    for start, end in _sentences(answer):
        cited = [c for c in answer.citations if start <= c.start < end]
        passages = _passages(answer, cited)
        together = bool(passages) and _supports(answer.text[start:end], passages)
        verdicts += [together and _useful(answer.text[start:end], passages, n) for n in range(len(passages))]
    good = sum(verdicts)
    return Score(good / len(verdicts), f"{good} of {len(verdicts)} citations support their sentence")


def citation_recall(question: Question, answer: Answer) -> Score:
    """Share of the claims that the passages cited in them support together.

    None for a refusal, a closed book, and no claims.
    """
    if answer.refused or not answer.hits:
        return Score(None, _not_applicable(answer))
    if not answer.claims:
        return Score(None, "it asserts nothing")
    good = 0
    bare = ""
    for claim in answer.claims:
        cited = _passages(answer, [c for c in answer.citations if claim.start <= c.start < claim.end])
        if cited and _supports(claim.text, cited):
            good += 1
        else:
            bare = bare or f": {claim.text!r} " + ("is not supported by what it cites" if cited else "cites nothing")
    total = len(answer.claims)
    return Score(good / total, f"{good} of {total} claims carry a citation that supports them{bare}")


def _sentences(answer: Answer) -> list[tuple[int, int]]:
    """Sentence spans, widened so that every citation falls into exactly one: the last that starts before it."""
    spans = sentence_spans(answer.text) or [(0, len(answer.text))]
    starts = [0, *(start for start, _ in spans[1:]), len(answer.text) + 1]
    return list(pairwise(starts))


def _passages(answer: Answer, citations: Sequence[Citation]) -> list[Passage]:
    by_id = {hit.passage.id: hit.passage for hit in answer.hits}
    unique = dict.fromkeys(citation.passage_id for citation in citations)
    missing = [passage_id for passage_id in unique if passage_id not in by_id]
    assert not missing, f"citations of passages that were not shown: {missing}"
    return [by_id[passage_id] for passage_id in unique]


def _useful(sentence: str, passages: Sequence[Passage], index: int) -> bool:
    rest = [p for i, p in enumerate(passages) if i != index]
    return not rest or _supports(sentence, [passages[index]]) or not _supports(sentence, rest)


def _supports(sentence: str, passages: Sequence[Passage]) -> bool:
    return check_claim(sentence, Evidence(passages)).verdict == "supported"


def _not_applicable(answer: Answer) -> str:
    return "a refusal cites nothing" if answer.refused else "closed book: there is nothing to cite"

"""What an answer rests on, for clients: OpenAI's `annotations`, and our own `x_grounding` with everything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from groundtone.types import Answer, Citation, Disagreement, Hit


def url_citations(answer: Answer) -> list[dict[str, Any]]:
    """One `url_citation` per marker of the answer; the address is the document's source in the project."""
    hits = {hit.passage.id: hit for hit in answer.hits}
    found = []
    for citation in answer.citations:
        passage = hits[citation.passage_id].passage
        place = {"start_index": citation.start, "end_index": citation.end}
        title = passage.heading or passage.source
        found.append({"type": "url_citation", "url_citation": {**place, "title": title, "url": passage.source}})
    return found


def grounding(answer: Answer, *, ignored: Sequence[str] = ()) -> dict[str, Any]:
    """All that is known of an answer. Spans are characters of `text`, evidence spans characters of the document."""
    hits = {hit.passage.id: hit for hit in answer.hits}
    return {
        "answer_id": answer.id,
        "text": answer.text,
        "refused": answer.refused,
        "refused_by": answer.refused_by,
        "citations": [_citation(citation, hits) for citation in answer.citations],
        "claims": [
            {
                "key": claim.key(answer.id),
                "text": claim.text,
                "start": claim.start,
                "end": claim.end,
                "verdict": claim.verdict,
                "passage_id": claim.passage_id,
                "evidence": claim.evidence,
                "scores": dict(claim.scores),
                "why": claim.why,
            }
            for claim in answer.claims
        ],
        "disagreements": [_disagreement(found) for found in answer.disagreements],
        "passages": [_passage(hit) for hit in answer.hits],
        "timing_s": dict(answer.timing),
        "provenance": dict(answer.provenance),
        "ignored": list(ignored),
    }


def _citation(citation: Citation, hits: dict[str, Hit]) -> dict[str, Any]:
    passage = hits[citation.passage_id].passage
    start, end = citation.evidence_start, citation.evidence_end
    return {
        "start": citation.start,
        "end": citation.end,
        "passage_id": citation.passage_id,
        "source": passage.source,
        "page": passage.page,
        "evidence_start": start,
        "evidence_end": end,
        "evidence": passage.text[max(start - passage.start, 0) : end - passage.start],
    }


def _disagreement(found: Disagreement) -> dict[str, Any]:
    """What the answer rests on first, then the document that says otherwise; a date is "" where none is known."""
    return {
        "why": found.why,
        "documents": [
            {"source": found.source, "date": found.date, "text": found.text},
            {"source": found.other_source, "date": found.other_date, "text": found.other_text},
        ],
    }


def _passage(hit: Hit) -> dict[str, Any]:
    passage = hit.passage
    return {
        "id": passage.id,
        "source": passage.source,
        "heading": passage.heading,
        "page": passage.page,
        "start": passage.start,
        "end": passage.end,
        "text": passage.text,
        "score": hit.score,
        "answer_score": hit.answer_score,
    }

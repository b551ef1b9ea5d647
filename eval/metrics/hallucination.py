"""Hallucination: the share of an answer's claims that its evidence contradicts or does not support."""

from __future__ import annotations

from groundtone.types import Answer, Question, Score

__all__ = ["hallucination"]


def hallucination(question: Question, answer: Answer) -> Score:
    """In [0, 1], lower is better. None for a refusal, for an answer that asserts nothing, and for unchecked claims."""
    if answer.refused:
        return Score(None, "a refusal claims nothing")
    checked = [claim for claim in answer.claims if claim.verdict != "unchecked"]
    if not checked:
        return Score(None, "no claim was checked" if answer.claims else "it asserts nothing")
    bad = [claim for claim in checked if claim.verdict != "supported"]
    why = f"{len(bad)} of {len(checked)} claims not supported"
    return Score(len(bad) / len(checked), f"{why}: {bad[0].text!r}: {bad[0].why}" if bad else why)

"""Refusals on their own axis: right where the documents hold no answer, wrong where they do."""

from __future__ import annotations

from groundtone.refusal import REASONS
from groundtone.types import Answer, Question, Score

__all__ = ["refused_right", "refused_wrong"]


def refused_right(question: Question, answer: Answer) -> Score:
    """Unanswerable questions: 1 when refused. None for all others."""
    if question.kind != "unanswerable":
        return Score(None, "the documents hold an answer")
    return Score(float(answer.refused), _who(answer) if answer.refused else "it answered what the documents do not say")


def refused_wrong(question: Question, answer: Answer) -> Score:
    """Questions that the documents answer: 1 when refused (lower is better). None for all others."""
    if question.gold is None:
        return Score(None, "the documents hold no answer")
    return Score(float(answer.refused), _who(answer) if answer.refused else "it answered")


def _who(answer: Answer) -> str:
    return REASONS.get(answer.refused_by, "refused")

"""What an answer costs: tokens read and written, and seconds."""

from __future__ import annotations

from groundtone.types import Answer, Question, Score

__all__ = ["latency_s", "prompt_tokens", "reply_tokens"]


def reply_tokens(question: Question, answer: Answer) -> Score:
    """Tokens written; None where no model wrote."""
    return _count(answer, "reply")


def prompt_tokens(question: Question, answer: Answer) -> Score:
    """Tokens read; None where no model read."""
    return _count(answer, "prompt")


def latency_s(question: Question, answer: Answer) -> Score:
    """Seconds from question to checked answer: the answer's own "total", else the sum of its parts."""
    if not answer.timing:
        return Score(None, "not timed")
    return Score(float(answer.timing.get("total", sum(answer.timing.values()))))


def _count(answer: Answer, kind: str) -> Score:
    if kind not in answer.tokens:
        return Score(None, "not counted")
    return Score(float(answer.tokens[kind]))

"""Retrieval, seen from the answer's hits: was the gold quote among them, and how high."""

from __future__ import annotations

from collections.abc import Callable

from groundtone.types import Answer, Passage, Question, Score

__all__ = ["recall_at", "reciprocal_rank"]


def recall_at(k: int) -> Callable[[Question, Answer], Score]:
    """The metric: share of the gold quotes that one of the first k hits holds."""

    def judge(question: Question, answer: Answer) -> Score:
        if question.gold is None or not question.gold.quotes:
            return Score(None, "there is no gold quote")
        if _closed(answer):
            return Score(None, "closed book: nothing was searched")
        top = [hit.passage for hit in answer.hits[:k]]
        found = sum(any(holds(p, source, quote) for p in top) for source, quote in question.gold.quotes)
        return Score(
            found / len(question.gold.quotes), f"{found} of {len(question.gold.quotes)} gold quotes in {k} hits"
        )

    return judge


def reciprocal_rank(question: Question, answer: Answer) -> Score:
    """One over the rank of the first hit that holds a gold quote; 0 where none does."""
    if question.gold is None or not question.gold.quotes:
        return Score(None, "there is no gold quote")
    if _closed(answer):
        return Score(None, "closed book: nothing was searched")
    for rank, hit in enumerate(answer.hits, 1):
        if any(holds(hit.passage, source, quote) for source, quote in question.gold.quotes):
            return Score(1 / rank, f"the gold quote is in hit {rank}")
    return Score(0.0, "no hit holds the gold quote")


def _closed(answer: Answer) -> bool:
    """Whether nothing was searched: neither hits nor time spent on finding none."""
    return not answer.hits and not answer.timing.get("search")


def holds(passage: Passage, source: str, quote: str) -> bool:
    """Whether the passage holds the quote, or, where a chunk border cuts it, the larger part of it."""
    if passage.source != source:
        return False
    text, wanted = " ".join(passage.text.split()), " ".join(quote.split())
    half = len(wanted) // 2 + 1
    return wanted in text or text.startswith(wanted[-half:]) or text.endswith(wanted[:half]) or text in wanted

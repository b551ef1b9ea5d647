"""Retrieval, seen from the answer's hits: was the gold quote among them, how high, and why an answer is wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from groundtone.types import Answer, EvalRecord, Passage, Question, Score

__all__ = [
    "CAUSES",
    "IN_INDEX",
    "SHOWN",
    "Cause",
    "error_cause",
    "gold_in_index",
    "gold_shown",
    "recall_at",
    "reciprocal_rank",
]

IN_INDEX, SHOWN = "gold_in_index", "gold_shown"  # scores that only the side which searched can give
Cause = Literal["gold not in the index", "not retrieved", "retrieved, not shown", "shown, refused", "shown, ignored"]
CAUSES: tuple[Cause, ...] = (
    "gold not in the index",
    "not retrieved",
    "retrieved, not shown",
    "shown, refused",
    "shown, ignored",
)


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


def gold_in_index(found: Callable[[str, str], bool]) -> Callable[[Question, Answer], Score]:
    """The metric: 1 where every gold quote stands in the index; `found` looks up a (source, quote)."""

    def judge(question: Question, answer: Answer) -> Score:
        if question.gold is None or not question.gold.quotes:
            return Score(None, "there is no gold quote")
        absent = [source for source, quote in question.gold.quotes if not found(source, quote)]
        return Score(float(not absent), f"the index holds no such quote of {absent[0]}" if absent else "")

    return judge


def gold_shown(shown: Callable[[Answer], Sequence[Passage]]) -> Callable[[Question, Answer], Score]:
    """The metric: 1 where every gold quote was in what the model was shown; `shown` says what that was."""

    def judge(question: Question, answer: Answer) -> Score:
        if question.gold is None or not question.gold.quotes:
            return Score(None, "there is no gold quote")
        if _closed(answer):
            return Score(None, "closed book: nothing was shown")
        return Score(float(_all_held(question, shown(answer))))

    return judge


def error_cause(record: EvalRecord) -> Cause | None:
    """Why an answer is wrong, from what its search found; None for one that is right, failed, closed-book or ungraded.

    A retrieval miss: the gold quote is in no hit (or, where the search can tell, in no document at all), or it fell
    out between hits and prompt. A generation error: it was shown, and the model refused or said something else.
    """
    values = [record.scores[name].value for name in ("correct", "follows_change") if name in record.scores]
    gold, answer = record.question.gold, record.answer
    if 0.0 not in values or answer is None or gold is None or not gold.quotes or _closed(answer):
        return None
    if _score(record, IN_INDEX) == 0.0:
        return "gold not in the index"
    if not _all_held(record.question, [hit.passage for hit in answer.hits]):
        return "not retrieved"
    if _score(record, SHOWN) == 0.0 or answer.refused_by in ("retrieval", "reader"):
        return "retrieved, not shown"
    return "shown, refused" if answer.refused else "shown, ignored"


def _score(record: EvalRecord, name: str) -> float | None:
    return record.scores[name].value if name in record.scores else None


def _all_held(question: Question, passages: Sequence[Passage]) -> bool:
    quotes = question.gold.quotes if question.gold is not None else ()
    return all(any(holds(p, source, quote) for p in passages) for source, quote in quotes)


def _closed(answer: Answer) -> bool:
    """Whether nothing was searched: neither hits nor time spent on finding none."""
    return not answer.hits and not answer.timing.get("search")


def holds(passage: Passage, source: str, quote: str) -> bool:
    """Whether the passage holds the quote, or, where a chunk border cuts it, the larger part of it.

    Of a passage whose source nobody named, the text alone decides.
    """
    if passage.source not in ("", source):
        return False
    text, wanted = " ".join(passage.text.split()), " ".join(quote.split())
    half = len(wanted) // 2 + 1
    return (
        wanted in text
        or text.startswith(wanted[-half:])
        or text.endswith(wanted[:half])
        or (len(text) >= half and text in wanted)
    )

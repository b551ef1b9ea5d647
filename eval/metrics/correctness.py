"""Correctness without a judge: the gold values stand in a short reply that asserts no rival value."""

from __future__ import annotations

from collections.abc import Sequence

from eval.claims import strip_markers
from groundtone.text import contains_value, words
from groundtone.types import Answer, Gold, Question, Score
from groundtone.values import Value, find_values

__all__ = ["correct", "follows_change", "judge_values", "says"]

MAX_WORDS = 60


def correct(question: Question, answer: Answer, *, max_words: int = MAX_WORDS) -> Score:
    """1 when a question with gold is answered right. A refusal of it is 0; unanswerable and changed items: None."""
    if question.gold is None or question.kind == "changed":
        return Score(None, "the documents hold no answer" if question.gold is None else "scored by follows_change")
    return judge_values(question, question.gold, answer, max_words=max_words)


def follows_change(question: Question, answer: Answer, *, max_words: int = MAX_WORDS) -> Score:
    """1 when, after a document was changed, the answer says the new value and not the old one."""
    if question.kind != "changed" or question.gold is None:
        return Score(None, "no document was changed for this question")
    return judge_values(question, question.gold, answer, max_words=max_words)


def judge_values(question: Question, gold: Gold, answer: Answer, *, max_words: int = MAX_WORDS) -> Score:
    """Every gold group met by one of its spellings, at most `max_words` words, and no rival.

    A rival is a value of a kind that the gold values have (money for money, dates for dates, numbers and quantities
    together) which the reply says and neither the gold, the question nor the gold quotes do.
    """
    if answer.refused:
        return Score(0.0, "it refused a question that the documents answer")
    reply = strip_markers(answer.text)
    count = len(words(reply))
    if count > max_words:
        return Score(0.0, f"it has {count} words, more than {max_words}: a long reply hits values by chance")
    said = find_values(reply)
    for group in gold.values:
        if not any(says(reply, said, spelling) for spelling in group):
            return Score(0.0, f"it does not say {' or '.join(group)}")
    rival = _rival(said, question, gold)
    if rival is not None:
        return Score(0.0, f"it says {rival.text} as well, which is neither gold nor in the quote or the question")
    return Score(1.0, "it says " + ", ".join(group[0] for group in gold.values))


def says(reply: str, said: Sequence[Value], spelling: str) -> bool:
    """Whether the reply, whose values are `said`, holds this spelling or a value of the same kind that equals it."""
    if contains_value(reply, spelling):
        return True
    wanted = find_values(spelling)
    covers = len(wanted) == 1 and wanted[0].start == 0 and wanted[0].end == len(spelling.strip())
    return covers and any(wanted[0].same_as(value) and wanted[0].kind == value.kind for value in said)


def _rival(said: Sequence[Value], question: Question, gold: Gold) -> Value | None:
    golds = [value for group in gold.values for spelling in group for value in find_values(spelling)]
    kinds = {_family(value) for value in golds}
    allowed = [*golds, *find_values(question.text)]
    for _, quote in gold.quotes:
        allowed += find_values(quote)
    return next((v for v in said if _family(v) in kinds and not any(v.same_as(other) for other in allowed)), None)


def _family(value: Value) -> str:
    return "number" if value.kind == "quantity" else value.kind

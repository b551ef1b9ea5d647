"""Correctness without a judge: the gold values stand in a short reply that asserts no rival value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from eval.claims import strip_markers
from groundtone.text import contains_value, content_words, words
from groundtone.types import Answer, Gold, Question, Score
from groundtone.values import Value, find_values

__all__ = ["complete", "content_f1", "correct", "follows_change", "judge_values", "says"]

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


def complete(question: Question, answer: Answer) -> Score:
    """The share of the gold's groups of values that the reply says, whatever else it says; a refusal says none."""
    if question.gold is None or not question.gold.values:
        return Score(None, "the documents hold no answer" if question.gold is None else "the gold has no values")
    reply = strip_markers(answer.text)
    said = find_values(reply)
    lacking = [g[0] for g in question.gold.values if answer.refused or not any(says(reply, said, s) for s in g)]
    total = len(question.gold.values)
    why = f"it lacks {', '.join(lacking)}" if lacking else "it says every value"
    return Score((total - len(lacking)) / total, why)


def content_f1(boilerplate: Sequence[str] = ()) -> Callable[[Question, Answer], Score]:
    """The metric: F1 of the reply's content words against the gold, in [0, 1]; the house's fixed phrases do not count.

    The gold reads as its quotes or as its values, whichever is nearer (as with SQuAD's several references,
    arXiv:1606.05250). Made for long gold: a full sentence about a single value scores low against the value alone.
    """

    def judge(question: Question, answer: Answer) -> Score:
        if question.gold is None:
            return Score(None, "the documents hold no answer")
        text = strip_markers(answer.text)
        for phrase in boilerplate:
            text = text.replace(phrase, " ")
        said = Counter(content_words("" if answer.refused else text))
        readings = [" ".join(quote for _, quote in question.gold.quotes)]
        readings.append(" ".join(group[0] for group in question.gold.values))
        scores = [_f1(said, Counter(content_words(reading))) for reading in readings if reading.strip()]
        return Score(max(scores), "of content words") if scores else Score(None, "the gold holds no words")

    return judge


def _f1(said: Counter[str], gold: Counter[str]) -> float:
    both = (said & gold).total()
    return 2 * both / (said.total() + gold.total()) if both else 0.0


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

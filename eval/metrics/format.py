"""Format: the checkable rules of the house style. A reply complies only if it passes all of them."""

from __future__ import annotations

import re
from collections.abc import Callable

from eval.claims import split_claims
from eval.style import Style
from groundtone.text import words
from groundtone.types import Answer, Question, Score

__all__ = ["format_problems", "house_format"]

_MARKER = re.compile(r"\[\d+\]")


def format_problems(style: Style, answer: Answer) -> list[str]:
    """Every rule that the reply breaks, in plain words.

    Whether claims carry citations is asked only where passages were shown and the reply is no refusal.
    """
    text = answer.text.strip()
    problems = []
    if style.opens_with and not text.startswith(style.opens_with):
        problems.append(f"does not open with {style.opens_with[0]!r}")
    if style.closes_with and not text.endswith(style.closes_with):
        problems.append(f"does not close with {style.closes_with[0]!r}")
    count = len(words(_MARKER.sub(" ", text)))
    if style.max_words and count > style.max_words:
        problems.append(f"has {count} words, more than {style.max_words}")
    lowered = text.lower()
    problems += [f"says {phrase!r}" for phrase in style.forbidden if _stands_in(phrase.lower(), lowered)]
    if answer.hits and not answer.refused:
        for start, end in split_claims(text, boilerplate=style.boilerplate):
            if not _MARKER.search(text[start:end]):
                problems.append(f"cites nothing for {text[start:end]!r}")
                break
    return problems


def _stands_in(phrase: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", text) is not None


def house_format(style: Style) -> Callable[[Question, Answer], Score]:
    """The metric: 1 when every rule holds, else 0 with the rules that fail."""

    def judge(question: Question, answer: Answer) -> Score:
        problems = format_problems(style, answer)
        return Score(float(not problems), "it " + ", ".join(problems) if problems else "every rule holds")

    return judge

"""Format: the checkable rules of the house style. A reply complies only if it keeps all of them."""

from __future__ import annotations

import re
from collections.abc import Callable

from eval.claims import split_claims
from eval.style import Style
from eval.validators import Fault, faults
from groundtone.types import Answer, Question, Score

__all__ = ["CITES", "format_faults", "format_problems", "house_format"]

CITES = "cites every claim"  # the rule of every house; asked only where passages were shown
_MARKER = re.compile(r"\[\d+\]")


def format_faults(style: Style, answer: Answer) -> dict[str, list[Fault] | None]:
    """Each rule's title with what breaks it in `answer.text`; None where the rule does not apply.

    Whether claims carry citations is asked only where passages were shown and the reply is no refusal.
    """
    found: dict[str, list[Fault] | None] = {}
    for rule in style.rules:
        broken = faults(rule, answer.text, refused=answer.refused)
        found[rule.title] = broken if broken is None else [*(found.get(rule.title) or ()), *broken]
    found[CITES] = _uncited(style, answer) if answer.hits and not answer.refused else None
    return found


def format_problems(style: Style, answer: Answer) -> list[str]:
    """Every rule that the reply breaks, in plain words."""
    return [fault.why for broken in format_faults(style, answer).values() for fault in broken or ()]


def _uncited(style: Style, answer: Answer) -> list[Fault]:
    """The first claim without a citation."""
    for start, end in split_claims(answer.text, boilerplate=style.boilerplate):
        if not _MARKER.search(answer.text[start:end]):
            return [Fault(start, end, f"cites nothing for {answer.text[start:end]!r}")]
    return []


def house_format(style: Style) -> Callable[[Question, Answer], Score]:
    """The metric: 1 when every rule holds, else 0 with the rules that fail."""

    def judge(question: Question, answer: Answer) -> Score:
        problems = format_problems(style, answer)
        return Score(float(not problems), "it " + ", ".join(problems) if problems else "every rule holds")

    return judge

"""What a question leans on: a follow-up on the question before it, a later part of a message on its first.

After "How heavy is the Otter Lite?", "And the Heron 2?" asks how heavy the Heron 2 is, and "What does it cost?" what
the Otter Lite costs. Read alone, either is answered with whatever a document says of anything.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from groundtone.courtesy import plain_reply
from groundtone.text import content_words
from groundtone.types import Turn
from groundtone.values import find_names

__all__ = ["Standing", "earlier", "named_in", "other_named", "pronoun_first", "standing"]

LONGEST_OTHER = 6  # words; what is longer says by itself what it asks
_PRONOUN = re.compile(r"\b(?:[Ii]t|[Tt]hey|[Tt]hem|[Hh]e|[Ss]he|[Tt]heir|[Ii]ts)\b")  # "IT" is a department
_EXPLETIVE = re.compile(  # "How long does it take until ...": this "it" stands for nothing named before
    r"\bit (?:takes?|costs?|possible|allowed|true|ok|okay|safe|necessary|worth|better)\b"
    r"(?=[^?]*\b(?:to|until|before|that|if)\b)",
    re.IGNORECASE,
)
_OTHER = re.compile(
    r"(?:(?:and|but|so|no|ok|okay|well|sorry|thanks)[,.!]*\s+)*(?:(?:what|how) about|and|or|but|no,?|i meant?)\s+"
    r"(?:for |in |of |with )?(?:the |a |an )?(?P<other>[^?!.,;:]+)[?!.]*$",
    re.IGNORECASE,
)
_SAYS_MORE = re.compile(
    r"\b(?:what|when|where|who|whom|whose|which|why|how|is|are|was|were|do|does|did|has|have|had|can|could|may|must|"
    r"should|will|would|if|i|you|we|he|she|it|they)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Standing:
    """A question that can be read alone, and the name of what it is about; "" where it has none."""

    text: str
    name: str


def named_in(text: str) -> list[str]:
    """Names that tell what a question is about: no single letters, no abbreviations of two or three ("VAT")."""
    return [name for name in find_names(text) if len(name) > 3 or (len(name) > 1 and not name.isupper())]


def pronoun_first(text: str) -> bool:
    """Whether a pronoun stands in for what the text is about: before any name, or without one."""
    text = _EXPLETIVE.sub("", text)
    names, pronoun = named_in(text), _PRONOUN.search(text)
    return pronoun is not None and not (names and text.find(names[0]) < pronoun.start())


def other_named(text: str) -> str:
    """The other thing that "And the Heron 2?" asks the question before of; "" where the text says more, or no name."""
    match = _OTHER.match(text)
    if match is None or _SAYS_MORE.search(match["other"]) or len(match["other"].split()) > LONGEST_OTHER:
        return ""
    other = match["other"].strip()
    return other if named_in(f"the {other}") or re.search(r"\d", other) else ""


def earlier(history: Sequence[Turn]) -> list[str]:
    """What the person asked before, greetings and thanks left out."""
    return [turn.text for turn in history if turn.role == "user" and not plain_reply(turn.text)]


def standing(question: str, history: Sequence[Turn]) -> Standing:
    """A follow-up as it can be read alone: with the name that it leaves out; else as it is.

    What says nothing of its own ("why?") leaves the talk where it was.
    """
    before = Standing("", "")
    for text in filter(content_words, earlier(history)):
        before = _alone(text, before)
    return _alone(question, before)


def _alone(asked: str, before: Standing) -> Standing:
    other = other_named(asked) if before.name else ""
    if other:
        return Standing(before.text.replace(before.name, other), other)
    if before.name and pronoun_first(asked):
        return Standing(f"{before.name}: {asked}", before.name)
    return Standing(asked, "" if pronoun_first(asked) else next(reversed(named_in(asked)), ""))

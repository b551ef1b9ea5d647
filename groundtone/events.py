"""What a streamed answer consists of: pieces of text, citations as their markers come, judged claims, the whole.

A piece is sent when nothing to come can change it: markers that point nowhere and live links never get out, so that the
pieces, joined, are the answer's text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from groundtone.grounding import cite, without_dead_markers
from groundtone.inert import inert, settled
from groundtone.types import Answer, Citation, Claim, Snippet

__all__ = ["Cited", "Done", "Event", "Judged", "Token", "reading"]


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the answer's text."""

    text: str


@dataclass(frozen=True, slots=True)
class Cited:
    """A marker that has just been sent, resolved; its evidence may still change with the end of its sentence."""

    citation: Citation


@dataclass(frozen=True, slots=True)
class Judged:
    """A claim of the answer with its verdict."""

    claim: Claim


@dataclass(frozen=True, slots=True)
class Done:
    """The whole answer, which counts."""

    answer: Answer


Event = Token | Cited | Judged | Done
_MARKER_BEGUN = re.compile(r"\[\d*\Z")


def reading(pieces: Iterable[str], snippets: Sequence[Snippet]) -> Iterator[Token | Cited]:
    """What a model writes, piece by piece, with its markers resolved against what it was shown."""
    numbers = {snippet.number for snippet in snippets}
    whole = sent = ""
    cited = 0
    for piece in pieces:
        whole += piece
        text = _sure(without_dead_markers(settled(whole).strip(), numbers)[0])
        if len(text) > len(sent) and text.startswith(sent):
            yield Token(text[len(sent) :])
            sent = text
            if text.count("[") > cited:
                found = cite(text, snippets).citations
                yield from map(Cited, found[cited:])
                cited = len(found)
    text = without_dead_markers(inert(whole).strip(), numbers)[0]
    if len(text) > len(sent) and text.startswith(sent):
        yield Token(text[len(sent) :])
    yield from map(Cited, cite(text, snippets).citations[cited:])


def _sure(text: str) -> str:
    """The text without a marker that has begun at its end: one inside may be taken out, and it goes on ("[1[9]")."""
    text = text.rstrip()
    while begun := _MARKER_BEGUN.search(text):
        text = text[: begun.start()].rstrip()
    return text

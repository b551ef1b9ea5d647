"""From hits to what the model is shown, and from the markers in its reply back to exact characters of documents.

A snippet's text always stands verbatim in its passage; a passage or sentence is shown whole or not at all, but for
sentences that give orders to the model, which are left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from groundtone.inert import harmless
from groundtone.planted import honest, is_order, orders, stretch
from groundtone.text import Span, content_words, sentence_spans
from groundtone.types import Citation, Hit, Snippet

MARKER = re.compile(r"(?<!\s)\s*\[(\d+)\]")  # blanks are tried from their first one only
_LONGEST_NUMBER = 10  # digits; Python reads no number of thousands
CHARS_PER_TOKEN = 3.0  # low for large vocabularies, right for the starter's: the budget errs on the short side


@dataclass(frozen=True, slots=True)
class Cited:
    """A reply whose markers all resolve: `dropped` counts those that pointed at nothing and were taken out."""

    text: str
    citations: tuple[Citation, ...]
    dropped: int


def select(hits: Sequence[Hit], *, context: str, context_tokens: int, wary: bool = True) -> tuple[Snippet, ...]:
    """What to show of the hits: the best sentence of each ("sentences") or the passages ("passages"), numbered from 1.

    What exceeds the budget of `context_tokens` (estimated from characters) is left out whole, but never the first.
    `wary` leaves out what gives orders to the model (`planted`): such sentences and headings, and hits of nothing else.
    """
    snippets: list[Snippet] = []
    left = context_tokens * CHARS_PER_TOKEN
    for found in hits:
        hit = _without_ordering_heading(found) if wary else found
        span = _shown_span(hit, context=context, wary=wary)
        if span is None:
            continue
        text = hit.passage.text[span[0] : span[1]]
        cost = len(text) + len(hit.passage.heading)
        if snippets and cost > left:
            continue
        left -= cost
        snippets.append(Snippet(len(snippets) + 1, hit, text))
    return tuple(snippets)


def _shown_span(hit: Hit, *, context: str, wary: bool) -> Span | None:
    """The best sentence or the whole passage; beside orders the honest text around the best sentence, or None."""
    text = hit.passage.text
    sentences = [*hit.best, *sentence_spans(text)]
    if wary and orders(text):
        sentences = honest(text, sentences)
        if not sentences:
            return None
        return sentences[0] if context == "sentences" else stretch(text, sentences[0])
    return sentences[0] if sentences and context == "sentences" else (0, len(text))


def _without_ordering_heading(hit: Hit) -> Hit:
    if not hit.passage.heading or not is_order(hit.passage.heading):
        return hit
    return replace(hit, passage=replace(hit.passage, heading=""))


def cite(text: str, snippets: Sequence[Snippet]) -> Cited:
    """Resolve the markers of a reply; one that names no snippet is removed, so that no citation is a dead end.

    A citation's evidence is the sentence of the snippet that shares most words with the sentence carrying the marker.
    """
    shown = {snippet.number: snippet for snippet in snippets}
    kept, dropped = without_dead_markers(text, set(shown))
    sentences = sentence_spans(kept)
    citations = []
    for match in MARKER.finditer(kept):
        snippet = shown[int(match.group(1))]
        carrier = next((kept[a:b] for a, b in sentences if a <= match.start() < b or a < match.end() <= b), kept)
        start, end = _evidence(snippet, carrier)
        passage = snippet.hit.passage
        at = match.start() + len(match.group()) - len(match.group().lstrip())
        citations.append(
            Citation(at, match.end(), passage.doc_id, passage.id, passage.start + start, passage.start + end)
        )
    return Cited(kept, tuple(citations), dropped)


def without_dead_markers(text: str, numbers: set[int]) -> tuple[str, int]:
    """The text without markers that name none of `numbers`, and how many there were.

    What stood on both sides of one must not become live when it is gone ("<[9]script>").
    """
    dropped = 0

    def keep(match: re.Match[str]) -> str:
        nonlocal dropped
        number = match.group(1)
        if len(number) < _LONGEST_NUMBER and int(number) in numbers:
            return match.group()
        dropped += 1
        return ""

    while (left := MARKER.sub(keep, text)) != text:  # what stood around a dead marker may be one as well
        text = left
    return (harmless(text) if dropped else text), dropped


def _evidence(snippet: Snippet, claim: str) -> Span:
    """The sentence of the snippet, in characters of its passage, that shares most content words with the claim."""
    base = max(snippet.hit.passage.text.find(snippet.text), 0)
    asked = set(content_words(claim))
    spans = sentence_spans(snippet.text) or [(0, len(snippet.text))]
    start, end = max(spans, key=lambda s: len(asked & set(content_words(snippet.text[s[0] : s[1]]))))
    return base + start, base + end


def shown_hits(snippets: Sequence[Snippet]) -> tuple[Hit, ...]:
    """The hits behind the snippets, each once, in order."""
    return tuple({snippet.hit.passage.id: snippet.hit for snippet in snippets}.values())


def drop_last(snippets: Sequence[Snippet]) -> tuple[Snippet, ...]:
    """One snippet fewer, for a model whose context is too short for all of them."""
    return tuple(replace(s, number=i) for i, s in enumerate(snippets[:-1], 1))

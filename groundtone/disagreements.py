"""Where two documents that were found say different things of the same matter: told with both places and dates.

A search ranks the later of two dated documents first; whoever asks must still learn that another one says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from groundtone.answer_spans import ReadingRetriever
from groundtone.conflicts import compare
from groundtone.planted import honest
from groundtone.text import content_words, sentence_spans
from groundtone.types import Citation, Disagreement, Document, Hit, Retriever
from groundtone.values import find_names

__all__ = ["dates_of", "disagreements"]

SAME_MATTER = 0.6  # Jaccard overlap of two sentences' words but their numbers; fewer in common are two matters
LEAST_WORDS = 3
Dates = Callable[[Hit], str]


@runtime_checkable
class _Shelf(Protocol):
    """A retriever that can show the document behind a hit."""

    def document(self, doc_id: str) -> Document:
        """The document, with the date from which it holds in `meta["effective"]`."""
        ...


def dates_of(retriever: Retriever | None) -> Dates:
    """The date from which a hit's document holds, ISO 8601; "" where the retriever or the document names none."""
    inner = retriever.inner if isinstance(retriever, ReadingRetriever) else retriever
    if not isinstance(inner, _Shelf):
        return lambda hit: ""
    shelf = inner
    return lambda hit: str(shelf.document(hit.passage.doc_id).meta.get("effective", ""))


def disagreements(citations: Sequence[Citation], hits: Sequence[Hit], *, dates: Dates) -> tuple[Disagreement, ...]:
    """What other documents among the hits say against a sentence that an answer cites; each pair of documents once."""
    by_passage = {hit.passage.id: hit for hit in hits}
    found: dict[tuple[str, str], Disagreement] = {}
    for citation in citations:
        cited = by_passage.get(citation.passage_id)
        if cited is None:
            continue
        passage = cited.passage
        own = f"{passage.heading} {passage.source}"
        said = passage.text[citation.evidence_start - passage.start : citation.evidence_end - passage.start]
        for other in hits:
            pair = (passage.source, other.passage.source)
            if pair[0] == pair[1] or pair in found:
                continue
            against = _against(said, own, other)
            if against:
                sentence, why = against
                found[pair] = Disagreement(*pair, said, sentence, dates(cited), dates(other), why)
    return tuple(found.values())


def _against(said: str, own: str, other: Hit) -> tuple[str, str] | None:
    """The first sentence of a hit about the same matter that has another value, and in what they differ.

    `own` is what stands above the sentence that was cited: of two things that are named, each has its own value.
    """
    text = other.passage.text
    topic = _topic(said)
    for start, end in honest(text, sentence_spans(text)):
        sentence = text[start:end]
        theirs = _topic(sentence)
        if min(len(topic), len(theirs)) < LEAST_WORDS or len(topic & theirs) < SAME_MATTER * len(topic | theirs):
            continue
        conflicts = compare(said, sentence)
        if any(c.kind == "name" for c in conflicts):
            continue
        conflict = next((c for c in conflicts if c.kind != "negation"), None)
        there = f"{other.passage.heading} {other.passage.source} {sentence}"
        if conflict is not None and _names(said, there) and _names(sentence, f"{own} {said}"):
            return sentence, f"one says {conflict.claim}, the other {conflict.evidence}"
    return None


def _names(sentence: str, there: str) -> bool:
    """Whether what a sentence names is named there, too."""
    return all(name.casefold() in there.casefold() for name in find_names(sentence))


def _topic(sentence: str) -> set[str]:
    """What a sentence is about: its content words but those with digits."""
    return {word for word in content_words(sentence) if not any(c.isdigit() for c in word)}

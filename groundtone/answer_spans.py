"""Reading what was found: which words of which passage answer the question, and whether any do.

A search finds passages on the topic; whether one of them holds the answer is another question (a score threshold tells
missing documents from present ones well and near misses hardly at all). A reader answers it, passage by passage.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from groundtone.text import Span, sentence_spans
from groundtone.types import Hit, Retriever

# log-odds of an answer that one whole point of the search score is worth: benchmarks/reader.py --choose
SEARCH_SHARE = 16.0


class Found(Protocol):
    """The words of one passage that answer best, in its characters, and their log-odds against "no answer"."""

    @property
    def start(self) -> int: ...

    @property
    def end(self) -> int: ...

    @property
    def score(self) -> float: ...


class PassageReader(Protocol):
    """Anything that points at answers, such as `groundtone.models.reader.Reader`."""

    def read(self, question: str, passages: Sequence[tuple[str, str]]) -> Sequence[Found]:
        """For each (heading, passage) the best span, in order."""
        ...


class ReadingRetriever:
    """A retriever whose hits were read: ordered by how well they answer, each with its answer marked.

    `Hit.answer` is the answer's span in the passage, `Hit.answer_score` its log-odds, and the sentence around it comes
    first in `Hit.best`. The search score stays what it was. `depth` hits are read; the rest follow as they were.
    """

    def __init__(self, inner: Retriever, reader: PassageReader, *, depth: int = 5) -> None:
        self._inner = inner
        self._reader = reader
        self._depth = depth

    def search(self, query: str, *, k: int, groups: Sequence[str] = ()) -> list[Hit]:
        """At most k hits, the best answer first."""
        return self._read(query, self._inner.search(query, k=max(k, self._depth), groups=groups))[:k]

    def search_many(self, queries: Sequence[str], *, k: int, groups: Sequence[str] = ()) -> list[list[Hit]]:
        """`search` for each query, in order."""
        return [self.search(query, k=k, groups=groups) for query in queries]

    def _read(self, query: str, hits: list[Hit]) -> list[Hit]:
        near, far = hits[: self._depth], hits[self._depth :]
        shown = [(hit.passage.heading, hit.passage.text) for hit in near]
        marked = [mark(hit, found) for hit, found in zip(near, self._reader.read(query, shown), strict=True)]
        order = sorted(range(len(marked)), key=lambda i: (-(value(marked[i]) or 0.0), i))
        ranked = [
            replace(marked[i], ranks={**marked[i].ranks, "reader": rank}) for rank, i in enumerate(order, start=1)
        ]
        return ranked + far


def value(hit: Hit) -> float | None:
    """How well a hit answers: the reader's log-odds and the search score together; None where nobody read it."""
    return None if hit.answer_score is None else hit.answer_score + SEARCH_SHARE * hit.score


def best_value(hits: Sequence[Hit]) -> float | None:
    """The best `value` among the hits; None where none was read."""
    return max((v for v in map(value, hits) if v is not None), default=None)


def mark(hit: Hit, found: Found) -> Hit:
    """The hit with its answer marked and the sentence that holds it put first."""
    if found.start >= found.end:
        return replace(hit, answer=None, answer_score=-math.inf)
    around = sentence_around(hit.passage.text, (found.start, found.end))
    rest = tuple(span for span in hit.best if span != around)
    return replace(hit, answer=(found.start, found.end), answer_score=found.score, best=(around, *rest))


def sentence_around(text: str, span: Span) -> Span:
    """The sentences that a span touches, from the first one's start to the last one's end."""
    touched = [(a, b) for a, b in sentence_spans(text) if a < span[1] and span[0] < b]
    return (touched[0][0], touched[-1][1]) if touched else span

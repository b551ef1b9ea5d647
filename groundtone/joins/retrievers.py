"""Retrievers in front of the index: one that remembers, and one whose documents were changed for a test."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from groundtone.searching import BatchRetriever, find
from groundtone.types import Hit, Retriever

__all__ = ["BatchRetriever", "Edit", "Edited", "Remembering", "edited"]


class Remembering:
    """Answers a query once and gives the same hits to every arm, so that arms differ in the model alone."""

    def __init__(self, inner: BatchRetriever) -> None:
        self._inner = inner
        self._hits: dict[tuple[tuple[str, ...], int, tuple[str, ...]], list[Hit]] = {}

    def warm(self, queries: Sequence[str], *, k: int) -> None:
        """Search for all queries in one batch."""
        self.search_many(queries, k=k)

    def search(self, query: str, *, k: int, groups: Sequence[str] = ()) -> list[Hit]:
        """At most k hits, best first."""
        return self.search_many([query], k=k, groups=groups)[0]

    def search_many(self, queries: Sequence[str], *, k: int, groups: Sequence[str] = ()) -> list[list[Hit]]:
        """`search` for each query, in order; those that are new in one batch."""
        return self.search_phrasings([(query,) for query in queries], k=k, groups=groups)

    def search_phrasings(
        self, asked: Sequence[tuple[str, ...]], *, k: int, groups: Sequence[str] = ()
    ) -> list[list[Hit]]:
        """The same for questions in several phrasings."""
        may = tuple(groups)
        new = [phrased for phrased in dict.fromkeys(asked) if (phrased, k, may) not in self._hits]
        if new:
            for phrased, hits in zip(new, find(self._inner, new, k=k, groups=groups), strict=True):
                self._hits[phrased, k, may] = hits
        return [self._hits[phrased, k, may] for phrased in asked]


@dataclass(frozen=True, slots=True)
class Edit:
    """A quote of a document and what it is replaced by; white space does not count."""

    source: str
    quote: str
    replacement: str


class Edited:
    """The inner retriever over documents in which one quote per query was replaced.

    Tests whether an answer follows its documents: the passage shown says something else than the company's own.
    """

    def __init__(self, inner: Retriever, edits: Mapping[str, Edit]) -> None:
        self._inner = inner
        self._edits = edits

    def search(self, query: str, *, k: int, groups: Sequence[str] = ()) -> list[Hit]:
        """The inner hits; passages that hold the quote of the query's edit say the replacement instead."""
        return self.search_many([query], k=k, groups=groups)[0]

    def search_many(self, queries: Sequence[str], *, k: int, groups: Sequence[str] = ()) -> list[list[Hit]]:
        """`search` for each query, in order."""
        found = find(self._inner, [(query,) for query in queries], k=k, groups=groups)
        return [self._as_edited(query, hits) for query, hits in zip(queries, found, strict=True)]

    def _as_edited(self, query: str, hits: list[Hit]) -> list[Hit]:
        edit = self._edits.get(query)
        return [edited(hit, edit) for hit in hits] if edit else hits


def edited(hit: Hit, edit: Edit) -> Hit:
    """The hit with the edit made in its passage; untouched where the passage does not hold the quote."""
    if hit.passage.source != edit.source:
        return hit
    pattern = r"\s+".join(re.escape(word) for word in edit.quote.split())
    match = re.search(pattern, hit.passage.text)
    if match is None:
        return hit
    text = hit.passage.text[: match.start()] + edit.replacement + hit.passage.text[match.end() :]
    shift = len(text) - len(hit.passage.text)
    passage = replace(hit.passage, text=text, end=hit.passage.end + shift)
    return replace(hit, passage=passage, best=tuple(_moved(span, match.span(), shift) for span in hit.best))


def _moved(span: tuple[int, int], change: tuple[int, int], shift: int) -> tuple[int, int]:
    """A span after a change of length: what lies behind moves, what overlaps the change covers the replacement."""
    start, end = span
    if start > change[0]:
        start = start + shift if start >= change[1] else change[0]
    if end > change[0]:
        end = max(end, change[1]) + shift
    return start, end

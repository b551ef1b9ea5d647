"""Retrievers in front of the index: one that remembers, and one whose documents were changed for a test."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from groundtone.types import Hit, Retriever


class BatchRetriever(Retriever, Protocol):
    """A retriever that answers many queries at once."""

    def search_many(self, queries: Sequence[str], *, k: int, groups: Sequence[str] = ()) -> list[list[Hit]]:
        """Hits per query, in order."""
        ...


class Remembering:
    """Answers a query once and gives the same hits to every arm, so that arms differ in the model alone."""

    def __init__(self, inner: BatchRetriever) -> None:
        self._inner = inner
        self._hits: dict[tuple[str, int, tuple[str, ...]], list[Hit]] = {}

    def warm(self, queries: Sequence[str], *, k: int) -> None:
        """Search for all queries in one batch."""
        new = [query for query in dict.fromkeys(queries) if (query, k, ()) not in self._hits]
        if new:
            for query, hits in zip(new, self._inner.search_many(new, k=k), strict=True):
                self._hits[query, k, ()] = hits

    def search(self, query: str, *, k: int, groups: Sequence[str] = ()) -> list[Hit]:
        """At most k hits, best first."""
        key = (query, k, tuple(groups))
        if key not in self._hits:
            self._hits[key] = self._inner.search(query, k=k, groups=groups)
        return self._hits[key]

    def search_many(self, queries: Sequence[str], *, k: int, groups: Sequence[str] = ()) -> list[list[Hit]]:
        """`search` for each query, in order."""
        return [self.search(query, k=k, groups=groups) for query in queries]


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
        hits = self._inner.search(query, k=k, groups=groups)
        edit = self._edits.get(query)
        return [edited(hit, edit) for hit in hits] if edit else hits

    def search_many(self, queries: Sequence[str], *, k: int, groups: Sequence[str] = ()) -> list[list[Hit]]:
        """`search` for each query, in order."""
        return [self.search(query, k=k, groups=groups) for query in queries]


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

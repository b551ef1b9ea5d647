"""From questions with their conversations to hits: many at once, and a follow-up in more than one phrasing.

A follow-up is searched together with the question before it and alone, and a passage counts by the phrasing that fits
it best: alone it may lack what it is about, together it drags along what the talk was about before. A reader reads it
alone, for two questions at once have two answers (`python -m benchmarks.follow_up`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from groundtone.follow_up import earlier, standing
from groundtone.types import Hit, Retriever, Turn

__all__ = ["BatchRetriever", "PhrasingRetriever", "find", "fused", "phrasings"]

Phrasings = tuple[str, ...]


@runtime_checkable
class BatchRetriever(Retriever, Protocol):
    """A retriever that answers many queries at once."""

    def search_many(self, queries: Sequence[str], *, k: int, groups: Sequence[str] = ()) -> list[list[Hit]]:
        """Hits per query, in order."""
        ...


@runtime_checkable
class PhrasingRetriever(BatchRetriever, Protocol):
    """A retriever that does more with a question's phrasings than to search for each of them."""

    def search_phrasings(self, asked: Sequence[Phrasings], *, k: int, groups: Sequence[str] = ()) -> list[list[Hit]]:
        """Hits per question, in order; of the phrasings of one, the last is what was asked."""
        ...


def phrasings(question: str, history: Sequence[Turn]) -> Phrasings:
    """What is searched for: for a follow-up the question before it with this one, and this one alone, always last.

    A greeting before it was no question. Alone it has the name that it leaves out (`follow_up.standing`).
    """
    asked = earlier(history)
    return (f"{asked[-1]} {question}", standing(question, history).text) if asked else (question,)


def find(retriever: Retriever, asked: Sequence[Phrasings], *, k: int, groups: Sequence[str] = ()) -> list[list[Hit]]:
    """At most k hits per question, in order: in one batch where the retriever takes one."""
    if isinstance(retriever, PhrasingRetriever):
        return retriever.search_phrasings(asked, k=k, groups=groups)
    queries = list(dict.fromkeys(query for phrased in asked for query in phrased))
    if isinstance(retriever, BatchRetriever):
        lists = retriever.search_many(queries, k=k, groups=groups)
    else:
        lists = [retriever.search(query, k=k, groups=groups) for query in queries]
    found = dict(zip(queries, lists, strict=True))
    return [fused([found[query] for query in phrased], k=k) for phrased in asked]


def fused(lists: Sequence[Sequence[Hit]], *, k: int) -> list[Hit]:
    """One list of several: a passage with its better score, best first; a single list in its own order."""
    if len(lists) == 1:
        return list(lists[0][:k])
    best: dict[str, Hit] = {}
    for hits in lists:
        for hit in hits:
            known = best.get(hit.passage.id)
            if known is None or hit.score > known.score:
                best[hit.passage.id] = hit
    return sorted(best.values(), key=lambda hit: -hit.score)[:k]

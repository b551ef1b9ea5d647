"""One moment of the index in memory: what a search reads, as arrays over passages and over vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundtone.text import Span
from groundtone.types import Document, Passage
from retrieval.filters import Facts, Where, allowed_documents
from retrieval.store import StoredPassage
from retrieval.vectors import Kind, VectorCache, build, choose, extended
from retrieval.versions import Outdated, outdated
from retrieval.word_scores import WordScores

__all__ = ["Snapshot", "snapshot"]

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_MOST_VECTORS = 4096  # per passage, so that row id and place make one key
_FILTERS_KEPT = 64


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Passages are numbered in reading order. Vector rows of passage i: `first[i]` to `first[i + 1]`, its own first."""

    passages: list[Passage]
    sentences: list[tuple[Span, ...]]
    documents: list[Facts]
    doc_of: Ints  # passage -> its document's place in `documents`
    first: Ints
    owner: Ints  # vector row -> passage
    outdated: dict[str, Outdated]  # by source
    is_outdated: Bools  # per passage
    day: str  # ISO, for which `outdated` holds
    cache: VectorCache
    words: WordScores
    _filters: Any = field(repr=False, compare=False)  # cached: (groups, where) -> Allowed

    def facts(self, i: int) -> Facts:
        """The document of passage i."""
        return self.documents[self.doc_of[i]]

    def of_document(self, doc_id: str) -> list[Passage]:
        """The passages of one document, in reading order."""
        at = next((at for at, facts in enumerate(self.documents) if facts.id == doc_id), None)
        return [] if at is None else [self.passages[i] for i in np.flatnonzero(self.doc_of == at)]

    def on(self, day: str) -> Snapshot:
        """The same on another day: what was to come may be in force."""
        old = outdated((Document(doc.id, "", doc.source, doc.meta) for doc in self.documents), today=day)
        return replace(self, outdated=old, is_outdated=_flags(self.documents, old)[self.doc_of], day=day)

    def allowed(self, groups: Sequence[str], where: Where | None) -> Allowed:
        """What a search for these groups and conditions may see. Raises DataError for an unknown metadata key."""
        return self._filters(tuple(sorted(groups)), _frozen(where))


@dataclass(frozen=True, slots=True)
class Allowed:
    """Flags per passage and per vector row, None where nothing is left out; `passages` of them are allowed."""

    count: int
    passages: Bools | None
    rows: Bools | None


def snapshot(
    documents: Sequence[Document],
    stored: Sequence[StoredPassage],
    *,
    dim: int,
    day: str,
    kind: Kind = "auto",
    previous: Snapshot | None = None,
) -> Snapshot:
    """The in-memory cache that searches run on; a graph of vectors is taken over from `previous` and added to.

    `day` (ISO) is the one on which versions are current or outdated.
    """
    counts = np.fromiter((len(s.vectors) for s in stored), dtype=np.int64, count=len(stored))
    assert not len(counts) or counts.max() < _MOST_VECTORS, "a passage has as many vectors as sentences, and one"
    first = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)])
    owner = np.repeat(np.arange(len(stored), dtype=np.int64), counts)
    vectors = np.concatenate([s.vectors for s in stored]) if stored else np.zeros((0, dim), dtype=np.float16)
    row_ids = np.fromiter((s.rowid for s in stored), dtype=np.int64, count=len(stored))
    keys = row_ids[owner] * _MOST_VECTORS + (np.arange(len(owner)) - first[owner])
    facts = [Facts(doc.id, doc.source, doc.meta) for doc in documents]
    place = {doc.id: at for at, doc in enumerate(facts)}
    doc_of = np.fromiter((place[s.passage.doc_id] for s in stored), dtype=np.int64, count=len(stored))
    passages = [s.passage for s in stored]
    old = outdated(documents, today=day)
    return Snapshot(
        passages=passages,
        sentences=[s.sentences for s in stored],
        documents=facts,
        doc_of=doc_of,
        first=first,
        owner=owner,
        outdated=old,
        is_outdated=_flags(facts, old)[doc_of],
        day=day,
        cache=_cache(vectors, keys, kind, previous),
        words=WordScores(row_ids),
        _filters=_filters(facts, doc_of, owner),
    )


def _flags(documents: Sequence[Facts], old: Mapping[str, Outdated]) -> Bools:
    return np.array([doc.source in old for doc in documents], dtype=bool)


def _cache(vectors: NDArray[np.float16], keys: Ints, kind: Kind, previous: Snapshot | None) -> VectorCache:
    if previous is not None and len(keys) and previous.cache.kind == choose(kind, *vectors.shape):
        taken_over = extended(previous.cache, vectors, keys)
        if taken_over is not None:
            return taken_over
    return build(vectors, keys, kind=kind)


def _filters(documents: Sequence[Facts], doc_of: Ints, owner: Ints) -> Any:
    """A filter over all documents takes milliseconds in a large index; the same people ask again."""

    @lru_cache(maxsize=_FILTERS_KEPT)
    def allowed(groups: tuple[str, ...], where: tuple[tuple[str, Any], ...]) -> Allowed:
        passages = allowed_documents(documents, groups=groups, where=dict(where))[doc_of]
        count = int(np.count_nonzero(passages))
        if count == len(passages):
            return Allowed(count, None, None)
        return Allowed(count, passages, passages[owner])

    return allowed


def _frozen(where: Where | None) -> tuple[tuple[str, Any], ...]:
    """The conditions in a form that can be looked up."""
    pairs = (where or {}).items()
    return tuple(
        (key, tuple(value) if isinstance(value, list | set | frozenset) else value) for key, value in sorted(pairs)
    )

"""BM25 a word at a time: what each word of a query is worth in each passage, as arrays that are added up.

The BM25 of several words is the sum of theirs, so FTS5, which would work it out anew for every row of every query, is
asked once per word and snapshot. A process that goes on searching reads the whole table at once, as BM25S does (Lù
2024, arXiv:2407.03618); one question from cold does not wait for that. Both are caches of what FTS5 says, and words,
phrases and prefixes are cut by FTS5 alone. `python -m benchmarks.scale` measures it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from retrieval.postings import Postings

__all__ = ["Matches", "WordScores", "best_of"]

READ_ALL_AFTER = 20  # queries: who asks so often goes on asking
READ_ALL_MOST = 100_000  # passages: some 5 s and 140 MB once; above, words are kept as they are asked for
MOST_KEPT = 16_000_000  # (passage, score) pairs of words asked for one by one, 8 bytes each
_COLUMN_COST = 64  # of an entry beside its pairs, in pairs: words that stand nowhere are not kept without end

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


class WordSource(Protocol):
    """What the store offers: row ids, ascending or not, with BM25."""

    def term_scores(self, term: str) -> tuple[Ints, Floats]: ...

    def postings(self) -> Postings: ...

    def token_of(self, term: str) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Matches:
    """Passages with a word of the query and their BM25."""

    passages: Ints
    scores: Floats


class _Column(NamedTuple):
    passages: NDArray[np.int32]
    scores: Floats


@dataclass(frozen=True, slots=True)
class _Table:
    """All words: word number w stands in `passages[first[w]:first[w + 1]]`; -1: not known to the snapshot."""

    numbers: Mapping[str, int]
    first: Ints
    passages: NDArray[np.int32]
    scores: Floats

    def column(self, word: str) -> _Column:
        number = self.numbers.get(word)
        if number is None:
            return _Column(self.passages[:0], self.scores[:0])
        part = slice(self.first[number], self.first[number + 1])
        passages, scores = self.passages[part], self.scores[part]
        return _Column(passages, scores) if passages.min(initial=0) >= 0 else _known(passages, scores)


class WordScores:
    """The words of one snapshot. `rows[i]` is the store's row of passage i; safe to be used by several threads."""

    def __init__(self, rows: Ints, *, read_all_after: int = READ_ALL_AFTER, most: int = MOST_KEPT) -> None:
        self._order = np.argsort(rows).astype(np.int32)
        self._rows = rows[self._order]
        self._read_all_after = read_all_after
        self._most = most
        self._asked = 0
        self._table: _Table | None = None
        self._kept: OrderedDict[str, _Column] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def matches(self, terms: Sequence[str], source: WordSource) -> Matches:
        """All passages with one of the FTS5 terms, ascending."""
        self._count(source)
        total = np.zeros(len(self._rows), dtype=np.float32)
        for term in terms:
            column = self._column(term, source)
            total[column.passages] += column.scores
        found = np.flatnonzero(total)
        return Matches(found, total[found])

    def _count(self, source: WordSource) -> None:
        """One query more; the one that makes it worth while reads the whole table."""
        with self._lock:
            self._asked += 1
            due = self._asked == self._read_all_after and len(self._rows) <= READ_ALL_MOST
        if due:
            read = source.postings()
            self._table = _Table(read.numbers, read.first, self._passages(read.rows), read.scores)

    def _column(self, term: str, source: WordSource) -> _Column:
        with self._lock:
            if term in self._kept:
                self._kept.move_to_end(term)
                return self._kept[term]
        word = source.token_of(term) if self._table else None
        if self._table is not None and word is not None:
            column = self._table.column(word)
        else:
            rows, scores = source.term_scores(term)
            column = _known(self._passages(rows), scores)
        self._keep(term, column)
        return column

    def _passages(self, rows: Ints) -> NDArray[np.int32]:
        """The passages of these rows; -1 for one that was written after the snapshot was taken."""
        if not len(self._rows):
            return np.full(len(rows), -1, dtype=np.int32)
        place = np.minimum(np.searchsorted(self._rows, rows), len(self._rows) - 1)
        return np.where(self._rows[place] == rows, self._order[place], np.int32(-1)).astype(np.int32)

    def _keep(self, term: str, column: _Column) -> None:
        with self._lock:
            if term not in self._kept:
                self._kept[term] = column
                self._size += len(column.passages) + _COLUMN_COST
            while self._size > self._most:
                _, gone = self._kept.popitem(last=False)
                self._size -= len(gone.passages) + _COLUMN_COST


def _known(passages: NDArray[np.int32], scores: Floats) -> _Column:
    inside = passages >= 0
    return _Column(passages[inside], scores[inside])


def best_of(found: Matches, count: int, *, allowed: NDArray[np.bool_] | None = None) -> Matches:
    """The `count` best of these, best first, equal ones in reading order; of the allowed passages only."""
    passages, scores = found.passages, found.scores
    if allowed is not None:
        may = allowed[passages]
        passages, scores = passages[may], scores[may]
    if len(passages) > count:
        near = np.flatnonzero(scores >= np.partition(scores, -count)[-count])
        passages, scores = passages[near], scores[near]
    order = np.lexsort((passages, -scores))[:count]
    return Matches(passages[order], scores[order])

"""Ranking: words (BM25) and vectors (FAISS) over one snapshot of the index, fused into one order.

Dense score of a passage: the largest cosine over its own vector and its sentences' vectors, all encoded below their
heading. The two scores are mixed convexly (Bruch, Gai and Ingber 2023, arXiv:2210.11934). benchmarks/search_quality.py
compares the whole of it with plain systems; it does not tell how much the fusion alone brings.
Groups and conditions filter before ranking, and copies are replaced by further passages, so that k results stay k.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from groundtone.text import Span, content_words
from groundtone.types import Hit
from retrieval.chunk import embedded_text
from retrieval.duplicates import Duplicate, Entry, collapse
from retrieval.filters import Where
from retrieval.lexical import query_terms
from retrieval.mmr import mmr
from retrieval.rerank import Reranker
from retrieval.snapshot import Allowed, Snapshot
from retrieval.store import Store
from retrieval.vectors import exact_scores
from retrieval.versions import PENALTY
from retrieval.word_scores import best_of

__all__ = ["DEPTH", "FUSION_WEIGHT", "Explained", "Ranking", "convex", "fold_quote", "rank"]

DEPTH = 100  # candidates taken from each of the two rankings
FUSION_WEIGHT = (
    0.65  # benchmarks/search_quality.py --weight; chosen on the two sets that it prints, so not on fresh data
)
_DEEPEN = 4  # times as many candidates when copies have left fewer than k results, twice at most
_LEAST_POOL, _MORE_THAN_K = 20, 50  # passages that are looked at for copies, MMR and reranking
_ROWS_PER_PASSAGE = 8  # vectors fetched per wanted passage at first; more are fetched when too few passages came
_WORD = re.compile(r"\w+")

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Ranking:
    """How results are put in order: `weight` is the dense share, `mmr` the balance (None: off)."""

    weight: float = FUSION_WEIGHT
    mmr: float | None = None
    reranker: Reranker | None = None
    depth: int = DEPTH


@dataclass(frozen=True, slots=True)
class Explained:
    """A hit with how it came about.

    `scores` and `ranks` by stage: "lexical" (BM25), "dense" (the larger of the next two), "passage", "sentence",
    "fused" (after the penalty), "penalty" (what an outdated version lost), and "rerank" or "mmr" where these decide. A
    stage that did not find the passage is missing. `notes` tell of dates.
    """

    hit: Hit
    scores: Mapping[str, float]
    ranks: Mapping[str, int]
    duplicates: tuple[Duplicate, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Candidates:
    """One row per candidate passage, in the order of the fused score."""

    ids: Ints
    lexical: Floats  # 0 where no word matched
    dense: Floats
    passage: Floats
    sentence: Floats  # -1 where sentences have no vectors
    fused: Floats
    penalty: Floats

    def ordered(self) -> _Candidates:
        """Best first, equal scores in reading order."""
        order = np.lexsort((self.ids, -self.fused))
        floats = (self.lexical, self.dense, self.passage, self.sentence, self.fused, self.penalty)
        return _Candidates(self.ids[order], *(column[order] for column in floats))


def convex(lexical: Floats, dense: Floats, weight: float) -> Floats:
    """weight * cosine + (1 - weight) * BM25, BM25 scaled so that its best equals the best cosine; 0 where lacking.

    This is TM2C2 of Bruch, Gai and Ingber 2023 (scores min-max scaled with 0 as the minimum) times the best cosine: the
    same order, and values that can be compared between queries.
    """
    best_cosine = max(0.0, float(dense.max(initial=0.0)))
    best_words = float(lexical.max(initial=0.0))
    unit = best_cosine / best_words if best_words > 0 else 0.0
    return weight * np.maximum(dense, 0.0) + (1 - weight) * unit * lexical


def rank(
    snap: Snapshot,
    store: Store,
    *,
    queries: Sequence[str],
    vectors: Floats,
    k: int,
    groups: Sequence[str] = (),
    where: Where | None = None,
    how: Ranking,
) -> list[list[Explained]]:
    """The k best passages for each query.

    `vectors` are the queries' own. A query without a word, such as a lone emoji, finds nothing.
    """
    if not snap.passages:
        return [[] for _ in queries]
    allowed = snap.allowed(groups, where)
    terms = [query_terms(query) for query in queries]
    told = [i for i, some in enumerate(terms) if some and allowed.count]
    if not told:
        return [[] for _ in queries]
    search = _Search(snap, store, queries, vectors, terms, allowed, k, how)
    depth = max(how.depth, 2 * k)
    near = dict(zip(told, _dense(snap, vectors[told], allowed, depth), strict=True))
    return [search.results(i, near[i], depth) if i in near else [] for i in range(len(queries))]


@dataclass(frozen=True, slots=True)
class _Search:
    """What all steps of one call of `rank` share; `place` below is that of a query."""

    snap: Snapshot
    store: Store
    queries: Sequence[str]
    vectors: Floats
    terms: Sequence[Sequence[str]]
    allowed: Allowed
    k: int
    how: Ranking

    def results(self, place: int, near: Ints, depth: int) -> list[Explained]:
        """The list of one query, from more candidates where copies have left fewer than k."""
        most = depth * _DEEPEN**2
        while True:
            found = self._candidates(place, near, depth)
            results = self._finish(found, place)
            if len(results) >= self.k or len(found.ids) >= self.allowed.count or depth >= most:
                return results
            depth *= _DEEPEN
            near = _dense(self.snap, self.vectors[[place]], self.allowed, depth)[0]

    def _candidates(self, place: int, near: Ints, depth: int) -> _Candidates:
        """The candidates of one query: both rankings, exact cosines, fused scores."""
        snap, query = self.snap, self.queries[place]
        matched = snap.words.matches(self.terms[place], self.store)
        words = best_of(matched, depth, allowed=self.allowed.passages)
        ids = np.unique(np.concatenate([near, words.passages]))
        counts = snap.first[ids + 1] - snap.first[ids]
        begin = np.cumsum(counts) - counts
        vector_rows = np.repeat(snap.first[ids] - begin, counts) + np.arange(counts.sum())
        cosines = exact_scores(snap.cache.stored, vector_rows, self.vectors[place])
        dense, passage = np.maximum.reduceat(cosines, begin), cosines[begin]
        cosines[begin] = -1.0
        sentence = np.maximum.reduceat(cosines, begin)
        lexical = np.zeros(len(ids), dtype=np.float32)
        lexical[np.searchsorted(ids, words.passages)] = words.scores
        fused = convex(lexical, dense, self.how.weight).astype(np.float32)
        penalty = fused * self._penalties(ids, query)
        return _Candidates(ids, lexical, dense, passage, sentence, fused - penalty, penalty).ordered()

    def _penalties(self, ids: Ints, query: str) -> Floats:
        """The share that outdated versions lose, unless the query asks for them."""
        shares = np.zeros(len(ids), dtype=np.float32)
        for at in np.flatnonzero(self.snap.is_outdated[ids]).tolist():
            old = self.snap.outdated[self.snap.passages[ids[at]].source]
            shares[at] = 0.0 if old.meant_by(query) else PENALTY
        return shares

    def _finish(self, found: _Candidates, place: int) -> list[Explained]:
        """Copies out, then reranked and spread where that is asked for, then the k first."""
        pool = max(_LEAST_POOL, self.k + min(3 * self.k, _MORE_THAN_K))
        query = self.queries[place]
        while True:
            ids, scores = found.ids[:pool].tolist(), found.fused[:pool].tolist()
            entries = collapse(self.snap, ids, scores, query=query)
            if len(entries) >= self.k or pool >= len(found.ids):
                break
            pool *= _DEEPEN
        extra: dict[int, dict[str, float]] = {entry.at: {} for entry in entries}
        if self.how.reranker is not None:
            entries = self._reranked(found, entries, query, extra)
        if self.how.mmr is not None:
            entries = self._spread(found, entries, self.how.mmr, extra)
        ranks = _all_ranks(found)
        best = [_best(self.snap, int(found.ids[e.at]), query, self.vectors[place]) for e in entries[: self.k]]
        return [
            self._explained(found, entry, spans, ranks, extra[entry.at], rank)
            for rank, (entry, spans) in enumerate(zip(entries, best, strict=False), 1)
        ]

    def _reranked(
        self, found: _Candidates, entries: list[Entry], query: str, extra: dict[int, dict[str, float]]
    ) -> list[Entry]:
        """By the cross-encoder, which reads what was embedded."""
        assert self.how.reranker is not None
        passages = [self.snap.passages[found.ids[entry.at]] for entry in entries]
        values = self.how.reranker.score(query, [embedded_text(p.heading, p.text) for p in passages])
        for entry, value in zip(entries, values.tolist(), strict=True):
            extra[entry.at]["rerank"] = value
        return [entries[i] for i in np.argsort(-values, kind="stable")]

    def _spread(
        self, found: _Candidates, entries: list[Entry], balance: float, extra: dict[int, dict[str, float]]
    ) -> list[Entry]:
        """By maximal marginal relevance; after a reranker its order stands for the score, on the scale of the fused."""
        fused = np.array([entry.score for entry in entries], dtype=np.float32)
        scores = np.sort(fused)[::-1] if self.how.reranker is not None else fused
        rows = self.snap.first[found.ids[[entry.at for entry in entries]]]
        vectors = self.snap.cache.stored[rows].astype(np.float32)
        chosen = mmr(scores, vectors, k=self.k, balance=balance)
        for i, value in chosen:
            extra[entries[i].at]["mmr"] = value
        return [entries[i] for i, _ in chosen]

    def _explained(
        self,
        found: _Candidates,
        entry: Entry,
        best: tuple[Span, ...],
        ranks: Mapping[str, Ints],
        extra: Mapping[str, float],
        rank: int,
    ) -> Explained:
        at, i = entry.at, int(found.ids[entry.at])
        values = {name: float(column[at]) for name, column in _stages(found).items()}
        scores = {name: value for name, value in values.items() if name in ranks and ranks[name][at]} | dict(extra)
        own_ranks = {name: int(column[at]) for name, column in ranks.items() if column[at]}
        own_ranks |= dict.fromkeys(extra, rank)
        scores["penalty"] = float(found.penalty[at])
        notes = list(entry.notes)
        old = self.snap.outdated.get(self.snap.passages[i].source)
        if old:
            notes.append(f"outdated: {old.by} is current")
        shown = {name: own for name, own in own_ranks.items() if name not in ("passage", "sentence")}
        hit = Hit(self.snap.passages[i], min(1.0, max(0.0, entry.score)), shown, best)
        return Explained(hit, scores, own_ranks, tuple(entry.duplicates), tuple(notes))


def _dense(snap: Snapshot, vectors: Floats, allowed: Allowed, depth: int) -> list[Ints]:
    """For each query the passages of the nearest vectors, nearest first: `depth` of them where there are as many."""
    wanted = min(depth, allowed.count)
    most = len(snap.owner) if allowed.rows is None else int(np.count_nonzero(allowed.rows))
    each = min(_ROWS_PER_PASSAGE, -(-len(snap.owner) // len(snap.passages)))
    result: list[Ints] = [np.zeros(0, dtype=np.int64) for _ in vectors]
    todo, fetch = list(range(len(vectors))), min(most, wanted * each)
    while todo:
        found = snap.cache.search(vectors[todo], fetch, allowed=allowed.rows)
        for place, rows in zip(todo, found, strict=True):
            passages, at = np.unique(snap.owner[rows], return_index=True)
            result[place] = passages[np.argsort(at)][:wanted]
        todo = [place for place in todo if len(result[place]) < wanted and fetch < most]
        fetch = min(most, fetch * 4)
    return result


def _stages(found: _Candidates) -> dict[str, Floats]:
    return {
        "lexical": found.lexical,
        "dense": found.dense,
        "passage": found.passage,
        "sentence": found.sentence,
        "fused": found.fused,
    }


def _all_ranks(found: _Candidates) -> dict[str, Ints]:
    """For each stage every candidate's rank from 1; 0 where the stage says nothing of it."""
    ranks: dict[str, Ints] = {}
    for name, values in _stages(found).items():
        place = np.empty(len(values), dtype=np.int64)
        place[np.lexsort((found.ids, -values))] = np.arange(1, len(values) + 1)
        silent = (
            values <= 0 if name == "lexical" else values <= -1 if name == "sentence" else np.zeros(len(values), bool)
        )
        ranks[name] = np.where(silent, 0, place)
    return ranks


def _best(snap: Snapshot, i: int, query: str, vector: Floats) -> tuple[Span, ...]:
    """Sentence spans by their own cosine; by the query's words that begin in them where they have no vectors."""
    spans = snap.sentences[i]
    rows = np.arange(snap.first[i] + 1, snap.first[i + 1])
    if len(rows) == len(spans):
        values = exact_scores(snap.cache.stored, rows, vector)
    else:
        stems, text = [f" {word}" for word in set(content_words(query))], snap.passages[i].text
        lines = [" " + " ".join(_WORD.findall(text[a:b].lower())) for a, b in spans]
        values = np.array([sum(word in line for word in stems) for line in lines], dtype=np.float32)
    return tuple(spans[at] for at in np.argsort(-values, kind="stable"))


@lru_cache(maxsize=64)  # many quotes are looked up in one document
def fold_quote(text: str) -> tuple[str, list[int]]:
    """Text without white space, table pipes, emphasis and escapes, case folded; and each kept character's offset."""
    kept = [(c, m.start()) for m in re.finditer(r"[^\s|*_`\\]", text) for c in m.group().casefold()]
    return "".join(c for c, _ in kept), [at for _, at in kept]

"""Ranking: words (FTS5) and vectors (FAISS) over one snapshot of the index, fused into one order.

Dense score of a passage: the largest cosine over its own vector and its sentences' vectors, all encoded below their
heading. The two scores are mixed convexly (Bruch, Gai and Ingber 2023, arXiv:2210.11934). benchmarks/search_quality.py
compares the whole of it with plain systems; it does not tell how much the fusion alone brings.
Groups filter before ranking, so that k results stay k.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundtone.text import STOP_WORDS, Span, words
from groundtone.types import Document, Hit, Passage
from retrieval.store import Store, StoredPassage
from retrieval.versions import PENALTY, Outdated, outdated

DEPTH = 100  # candidates taken from each of the two rankings
FUSION_WEIGHT = (
    0.65  # benchmarks/search_quality.py --weight; chosen on the two sets that it prints, so not on fresh data
)
_ROWS_PER_PASSAGE = 8  # vectors fetched per wanted passage at first; more are fetched when too few passages came
_MAX_QUERY_WORDS = 64

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


def match_expression(query: str) -> str:
    """The query's words without stop words as an FTS5 expression: quoted, OR-ed; "" when it has no words.

    Quotes, operators and other signs in the query are never syntax. A query of stop words alone keeps them.
    """
    found = list(dict.fromkeys(words(query)))
    telling = [word for word in found if word not in STOP_WORDS] or found
    return " OR ".join(f'"{word}"' for word in telling[:_MAX_QUERY_WORDS])


def convex(lexical: Mapping[int, float], dense: Mapping[int, float], weight: float) -> dict[int, float]:
    """weight * cosine + (1 - weight) * BM25, BM25 scaled so that its best equals the best cosine; 0 where lacking.

    This is TM2C2 of Bruch, Gai and Ingber 2023 (scores min-max scaled with 0 as the minimum) times the best cosine: the
    same order, and values that can be compared between queries.
    """
    best_cosine = max(0.0, *dense.values()) if dense else 0.0
    best_words = max(lexical.values(), default=0.0)
    unit = best_cosine / best_words if best_words > 0 else 0.0
    both = dict.fromkeys([*dense, *lexical])
    return {i: weight * max(0.0, dense.get(i, 0.0)) + (1 - weight) * unit * lexical.get(i, 0.0) for i in both}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment of the index in memory. Vector rows of passage i: `first[i]` to `first[i + 1]`, its own one first."""

    passages: list[Passage]
    sentences: list[tuple[Span, ...]]
    groups: list[frozenset[str]]
    position: dict[int, int]  # row id in the store -> i
    first: Ints
    owner: Ints  # of each vector row: i
    outdated: dict[str, Outdated]
    faiss_index: Any
    vectors: Floats  # a view into the FAISS index, no copy


def snapshot(documents: Sequence[Document], stored: Sequence[StoredPassage], *, dim: int) -> Snapshot:
    """The in-memory cache that searches run on."""
    import faiss

    index = faiss.IndexFlatIP(dim)
    counts = np.array([len(s.vectors) for s in stored], dtype=np.int64)
    for at in range(0, len(stored), 4096):  # in steps, so that float32 copies stay small
        index.add(np.concatenate([s.vectors for s in stored[at : at + 4096]]).astype(np.float32))
    vectors = np.zeros((0, dim), dtype=np.float32)
    if index.ntotal:
        vectors = faiss.rev_swig_ptr(index.get_xb(), index.ntotal * dim).reshape(-1, dim)
    readers = {doc.id: frozenset(doc.meta.get("groups", ())) for doc in documents}
    return Snapshot(
        passages=[s.passage for s in stored],
        sentences=[s.sentences for s in stored],
        groups=[readers[s.passage.doc_id] for s in stored],
        position={s.rowid: i for i, s in enumerate(stored)},
        first=np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)]),
        owner=np.repeat(np.arange(len(stored), dtype=np.int64), counts),
        outdated=outdated(documents),
        faiss_index=index,
        vectors=vectors,
    )


def rank(
    snap: Snapshot,
    store: Store,
    *,
    queries: Sequence[str],
    vectors: Floats,
    k: int,
    groups: Sequence[str],
    weight: float = FUSION_WEIGHT,
    depth: int = DEPTH,
) -> list[list[Hit]]:
    """The k best passages for each query, of those that `groups` may read; `vectors` are the queries' own.

    A query without a word, such as a lone emoji, finds nothing.
    """
    if not snap.passages or not queries:
        return [[] for _ in queries]
    depth = max(depth, 2 * k)
    allowed = np.array([not g or bool(g & set(groups)) for g in snap.groups])
    dense = _dense(snap, vectors, allowed, depth)
    hits: list[list[Hit]] = []
    for query, vector, near in zip(queries, vectors, dense, strict=True):
        expression = match_expression(query)
        if not expression:
            hits.append([])
            continue
        rows = store.match(expression, depth=depth, keep=lambda r: _may(snap, allowed, r))
        lexical = {snap.position[row]: score for row, score in rows}
        hits.append(_fuse(snap, query, vector, lexical, near, k=k, weight=weight))
    return hits


def _may(snap: Snapshot, allowed: NDArray[np.bool_], row: int) -> bool:
    """A row that was written after the snapshot was taken is not known yet."""
    at = snap.position.get(row)
    return at is not None and bool(allowed[at])


def _dense(snap: Snapshot, vectors: Floats, allowed: NDArray[np.bool_], depth: int) -> list[list[int]]:
    """For each query the passages of the nearest vectors, nearest first: `depth` of them where there are as many."""
    import faiss

    wanted = min(depth, int(allowed.sum()))
    if not wanted:
        return [[] for _ in vectors]
    rows_allowed = allowed[snap.owner]
    params = None
    if not allowed.all():
        selector: Any = faiss.IDSelectorBitmap  # its Python signature is not the one that its type stubs declare
        parameters: Any = faiss.SearchParameters
        params = parameters(sel=selector(np.packbits(rows_allowed, bitorder="little")))
    most = int(rows_allowed.sum())
    result: list[list[int]] = [[] for _ in vectors]
    todo, fetch = list(range(len(vectors))), min(most, wanted * _ROWS_PER_PASSAGE)
    while todo:
        _, ids = snap.faiss_index.search(np.ascontiguousarray(vectors[todo]), fetch, params=params)
        for query, row_ids in zip(todo, ids, strict=True):
            result[query] = list(dict.fromkeys(snap.owner[row_ids[row_ids >= 0]].tolist()))[:wanted]
        todo = [query for query in todo if len(result[query]) < wanted and fetch < most]
        fetch = min(most, fetch * 4)
    return result


def _fuse(
    snap: Snapshot, query: str, vector: Floats, lexical: dict[int, float], near: list[int], *, k: int, weight: float
) -> list[Hit]:
    candidates = list(dict.fromkeys([*near, *lexical]))
    cosines = {i: snap.vectors[snap.first[i] : snap.first[i + 1]] @ vector for i in candidates}
    dense = {i: float(c.max()) for i, c in cosines.items()}
    fused = convex(lexical, dense, weight)
    for i in candidates:
        old = snap.outdated.get(snap.passages[i].source)
        if old and not old.meant_by(query):
            fused[i] *= 1 - PENALTY
    order = _order(snap, fused)
    stages = {"lexical": _ranks(_order(snap, lexical)), "dense": _ranks(_order(snap, dense)), "fused": _ranks(order)}
    hits = []
    for i in order[:k]:
        ranks = {stage: ranks[i] for stage, ranks in stages.items() if i in ranks}
        hits.append(Hit(snap.passages[i], min(1.0, fused[i]), ranks, _best(snap.sentences[i], cosines[i])))
    return hits


def _order(snap: Snapshot, scores: Mapping[int, float]) -> list[int]:
    """Best first; equal scores in the order of sources, so that the same index gives the same answer."""
    return sorted(scores, key=lambda i: (-scores[i], snap.passages[i].source, snap.passages[i].start))


def _ranks(order: Sequence[int]) -> dict[int, int]:
    return {i: rank for rank, i in enumerate(order, 1)}


def _best(sentences: tuple[Span, ...], cosines: Floats) -> tuple[Span, ...]:
    """Sentence spans by their own cosine; the first vector is the whole passage's."""
    return tuple(sentences[i] for i in np.argsort(-cosines[1:], kind="stable"))


def fold_quote(text: str) -> tuple[str, list[int]]:
    """Text without white space, table pipes, emphasis and escapes, case folded; and each kept character's offset."""
    kept = [(c, at) for at, char in enumerate(text) if not re.match(r"[\s|*_`\\]", char) for c in char.casefold()]
    return "".join(c for c, _ in kept), [at for _, at in kept]

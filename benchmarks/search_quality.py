"""Retrieval side by side in one run: ours, vectors alone, words alone, reciprocal rank fusion of these two.

    python -m benchmarks.search_quality                       the sample company's questions over data/handbook
    python -m benchmarks.search_quality --squad --limit 1500  SQuAD 2.0 dev articles, of the shared data sets

All systems rank the same passages; ours reads their headings too, the others only their text, as is usual. A question
counts as found when a passage that overlaps its gold quote is among the first k; intervals are 95 % bootstrap
intervals over questions. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.data_sets import Asked, sample, sample_company, squad2_open
from groundtone.models.encoders import MINILM, load_encoder
from groundtone.types import Passage
from retrieval.index import Index
from retrieval.lexical import match_expression
from retrieval.search import FUSION_WEIGHT

DEPTH = 100
RRF_K = 60  # Cormack, Clarke and Buettcher 2009, doi:10.1145/1571941.1572114
Ranking = list[str]  # passage ids, best first


@dataclass(frozen=True)
class Item:
    """A question and, for each of its gold quotes, the ids of the passages that overlap it."""

    text: str
    gold: tuple[frozenset[str], ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--squad", action="store_true", help="needs the shared data: GROUNDTONE_SHARED")
    parser.add_argument("--limit", type=int, default=0, help="at most this many questions, drawn with seed 0")
    parser.add_argument("--encoder", default=MINILM)
    parser.add_argument("--weight", type=float, default=FUSION_WEIGHT, help="dense share of our fused score")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        folder, asked = _squad(work) if args.squad else _sample_company()
        questions = sample(asked, args.limit)
        started = time.perf_counter()
        encoder = load_encoder(args.encoder)
        loaded_s = time.perf_counter() - started
        index = Index.open(work / "index.sqlite", encoder=encoder, fusion_weight=args.weight)
        started = time.perf_counter()
        report = index.update(folder)
        build_s = time.perf_counter() - started
        items = _resolve(index, questions)
        print(
            f"{report.read} documents, {report.passages} passages, {len(items)} questions "
            f"({len(questions) - len(items)} without a located quote left out), {platform.machine()}, "
            f"{platform.python_implementation()} {platform.python_version()}\n"
        )
        rows = _measure(index, items, build_s=build_s, encoder_id=args.encoder)
        print("| system | recall@1 | recall@5 | nDCG@10 | build, s | query, ms |\n|---|---|---|---|---|---|")
        print("\n".join(rows))
        reopen_s = _reopen(work, encoder, items)
        print(f"\nEncoder loaded in {loaded_s:.1f} s. Reopening and the first query: {reopen_s:.2f} s.")


def _sample_company() -> tuple[Path, tuple[Asked, ...]]:
    data = sample_company()
    return data.folder, data.questions


def _squad(work: Path) -> tuple[Path, tuple[Asked, ...]]:
    """Articles as Markdown files; the gold quote is the sentence in which the answer begins."""
    data = squad2_open()
    folder = work / "articles"
    data.write_articles(folder)
    return folder, data.questions


def _resolve(index: Index, questions: Sequence[Asked]) -> list[Item]:
    located: dict[tuple[str, str], frozenset[str]] = {}
    items = []
    for question in questions:
        for source, quote in question.quotes:
            if (source, quote) not in located:
                located[source, quote] = frozenset(p.id for p in index.locate(source, quote))
        gold = tuple(located[quote] for quote in question.quotes)
        if gold and all(gold):
            items.append(Item(question.text, gold))
    return items


def _measure(index: Index, items: Sequence[Item], *, build_s: float, encoder_id: str) -> list[str]:
    passages, queries = index.passages(), [item.text for item in items]
    started = time.perf_counter()
    search_dense = _dense(passages, encoder_id)
    dense_s = time.perf_counter() - started
    started = time.perf_counter()
    search_words = _words(passages)
    words_s = time.perf_counter() - started

    def ours(batch: Sequence[str]) -> list[Ranking]:
        return [[hit.passage.id for hit in hits] for hits in index.search_many(batch, k=10)]

    def rrf(batch: Sequence[str]) -> list[Ranking]:
        return [_rrf(a, b) for a, b in zip(search_dense(batch), search_words(batch), strict=True)]

    systems: list[tuple[str, Callable[[Sequence[str]], list[Ranking]], float]] = [
        ("ours", ours, build_s),
        ("dense alone (sentence-transformers + FAISS)", search_dense, dense_s),
        ("FTS5 alone (porter, no stop words)", search_words, words_s),
        ("RRF of these two", rrf, dense_s + words_s),
    ]
    rows = []
    for name, run, seconds in systems:
        started = time.perf_counter()
        rankings = run(queries)
        query_ms = 1000 * (time.perf_counter() - started) / len(queries)
        ranks = [_gold_ranks(ranking, item) for ranking, item in zip(rankings, items, strict=True)]
        cells = [_interval(np.array([np.mean([rank <= k for rank in row]) for row in ranks])) for k in (1, 5)] + [
            _interval(np.array([_ndcg(row) for row in ranks]))
        ]
        rows.append(f"| {name} | {' | '.join(cells)} | {seconds:.1f} | {query_ms:.1f} |")
    return rows


def _dense(passages: Sequence[Passage], encoder_id: str) -> Callable[[Sequence[str]], list[Ranking]]:
    """sentence-transformers with its defaults over the passages' text, exact inner products."""
    import faiss
    from sentence_transformers import SentenceTransformer

    from groundtone.models.encoders import packaged_minilm

    folder = packaged_minilm() if encoder_id == MINILM else None
    model = SentenceTransformer(str(folder or encoder_id), device="cpu")
    index = faiss.IndexFlatIP(model.get_embedding_dimension())
    index.add(model.encode([p.text for p in passages], normalize_embeddings=True))

    def search(queries: Sequence[str]) -> list[Ranking]:
        vectors = model.encode(list(queries), normalize_embeddings=True)
        found = index.search(vectors, min(DEPTH, len(passages)))[1]
        return [[passages[i].id for i in row] for row in found]

    return search


def _words(passages: Sequence[Passage]) -> Callable[[Sequence[str]], list[Ranking]]:
    import sqlite3

    db = sqlite3.connect(":memory:")
    db.execute("CREATE VIRTUAL TABLE words USING fts5(text, tokenize = 'porter unicode61')")
    db.executemany("INSERT INTO words(rowid, text) VALUES(?, ?)", [(i, p.text) for i, p in enumerate(passages)])
    statement = f"SELECT rowid FROM words WHERE words MATCH ? ORDER BY rank LIMIT {DEPTH}"

    def search(queries: Sequence[str]) -> list[Ranking]:
        expressions = [match_expression(query) for query in queries]
        return [[passages[i].id for (i,) in db.execute(statement, (e,))] if e else [] for e in expressions]

    return search


def _rrf(*rankings: Ranking) -> Ranking:
    scores: dict[str, float] = {}
    for ranking in rankings:
        for rank, passage_id in enumerate(ranking, 1):
            scores[passage_id] = scores.get(passage_id, 0.0) + 1 / (RRF_K + rank)
    return sorted(scores, key=lambda i: -scores[i])


def _gold_ranks(ranking: Ranking, item: Item) -> list[float]:
    """For each quote the rank of the first passage that overlaps it; infinity when there is none."""
    return [next((float(r) for r, i in enumerate(ranking, 1) if i in ids), float("inf")) for ids in item.gold]


def _ndcg(ranks: Sequence[float]) -> float:
    """nDCG@10 with binary relevance; quotes found in one passage count once."""
    distinct = sorted({r for r in ranks if r <= 10})
    ideal = len(distinct) + sum(r > 10 for r in ranks)
    return float(sum(1 / np.log2(1 + r) for r in distinct) / sum(1 / np.log2(1 + r) for r in range(1, ideal + 1)))


def _interval(values: NDArray[np.float64]) -> str:
    draws = np.random.default_rng(0).choice(values, size=(2000, len(values))).mean(axis=1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return f"{values.mean():.3f} [{low:.3f}, {high:.3f}]"


def _reopen(work: Path, encoder: object, items: Sequence[Item]) -> float:
    started = time.perf_counter()
    index = Index.open(work / "index.sqlite", encoder=encoder)  # type: ignore[arg-type]
    index.search(items[0].text)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()

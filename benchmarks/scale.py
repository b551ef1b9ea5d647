"""How large an index may grow: seconds to build, megabytes, milliseconds per query, recall against exact search.

    python -m benchmarks.scale                        a real index of 50,000 passages, sentence vectors off and on
    python -m benchmarks.scale --passages 100000      the same with more
    python -m benchmarks.scale --vectors 1000000      vectors alone: flat, sq8, ivfpq, hnsw (minutes; up to 8 GB)

Passages are made of 60,000 made-up words, as frequent as Zipf's law says; a text's vector is the mean of its words'
random vectors, so that texts that share words are near. Queries are 3 to 8 words of a passage, none of the 100 most
frequent ones. `--vectors` draws unit vectors of 384 dimensions: at random, the worst case for graph and lists, and with
`--inner 32` in a subspace of 32 dimensions with noise, more like those of texts. Prints Markdown tables; p50, p95 and
recall with their 95 % bootstrap intervals.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundtone.models.encoders import MINILM, load_encoder, packaged_minilm
from groundtone.types import Document, Passage, short_hash
from retrieval.chunk import Chunk
from retrieval.index import Index
from retrieval.store import Store, Version
from retrieval.vectors import Kind, build
from retrieval.word_scores import READ_ALL_AFTER

DIM = 384
VOCABULARY = 60_000
STOP = 100  # the most frequent words, which queries leave out
SENTENCE_WORDS, SENTENCES, PASSAGES_PER_DOCUMENT = 16, 6, 20
K = 10

Floats = NDArray[np.float32]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=50_000)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--vectors", type=int, default=0, help="measure this many vectors alone")
    parser.add_argument("--inner", type=int, default=0, help="inner dimensions of these vectors; 0: all of them")
    parser.add_argument("--kinds", default="flat,sq8,ivfpq,hnsw")
    args = parser.parse_args()
    print(
        f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS')}\n"
    )
    if args.vectors:
        measure_vectors(args.vectors, args.queries, inner=args.inner, kinds=args.kinds.split(","))
        return
    print("| sentence vectors | build, s | open and first query, s | reading all words, s | memory, MB | p50, ms "
          "| p95, ms | "
          "CPU p50, ms | CPU p95, ms | with MiniLM p50, ms | with MiniLM p95, ms |\n"
          "|---|---|---|---|---|---|---|---|---|---|---|")  # fmt: skip
    for sentences in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            print(measure_index(Path(folder), args.passages, args.queries, sentences=sentences), flush=True)


class WordEncoder:
    """The mean of the words' random vectors; `words` are made up and as frequent as Zipf's law says."""

    name, dim, max_tokens = "words", DIM, 256

    def __init__(self) -> None:
        random = np.random.default_rng(0)
        lengths = random.integers(3, 11, VOCABULARY)
        letters = random.integers(97, 123, lengths.sum()).astype(np.uint8).tobytes().decode()
        ends = [0, *np.cumsum(lengths).tolist()]
        self.words = [letters[a:b] for a, b in pairwise(ends)]
        self._row = {word: at for at, word in enumerate(self.words)}
        self._vectors = random.standard_normal((VOCABULARY, DIM), dtype=np.float32)
        frequency = 1 / (np.arange(VOCABULARY) + 2.7)
        self._cumulative = np.cumsum(frequency / frequency.sum())

    def draw(self, random: np.random.Generator, count: int) -> NDArray[np.int64]:
        """Word numbers, the most frequent word being 0."""
        return np.minimum(np.searchsorted(self._cumulative, random.random(count)), VOCABULARY - 1)

    def of_words(self, rows: NDArray[np.int64]) -> Floats:
        """Unit vectors of texts given as word numbers, shape (texts, words)."""
        weight = np.where(rows < STOP, 0.1, 1.0).astype(np.float32)
        total = np.einsum("tw,twd->td", weight, self._vectors[rows])
        return total / np.linalg.norm(total, axis=1, keepdims=True)

    def encode(self, texts: Sequence[str]) -> Floats:
        """float32 of shape (len(texts), dim), each row of length 1."""
        rows = [np.array([[self._row[w] for w in text.split() if w in self._row]]) for text in texts]
        return np.concatenate([self.of_words(row) for row in rows])

    def token_offsets(self, text: str) -> list[tuple[int, int]]:
        """One token per word."""
        ends = np.cumsum([len(word) + 1 for word in text.split(" ")]).tolist()
        return [(end - 1 - len(word), end - 1) for word, end in zip(text.split(" "), ends, strict=True)]


def measure_index(folder: Path, passages: int, queries: int, *, sentences: bool) -> str:
    """One row of the table: an index of its own file, searched through `Index.search`."""
    encoder = WordEncoder()
    path = folder / "index.sqlite"
    started = time.perf_counter()
    asked = write_index(path, encoder, passages, queries, sentences=sentences)
    build_s = time.perf_counter() - started
    before = resident_mb()
    with Index.open(path, encoder=encoder) as index:
        started = time.perf_counter()
        index.search(asked[0], k=K)
        open_s = time.perf_counter() - started
        started = time.perf_counter()
        for query in asked[1:READ_ALL_AFTER]:  # the last of these reads the words of all passages
            index.search(query, k=K)
        words_s = time.perf_counter() - started
        memory = resident_mb() - before
        searched = timed(asked[READ_ALL_AFTER:], lambda query: index.search(query, k=K))
    rows = [searched[0], searched[1]]
    if packaged_minilm() is not None:
        minilm = load_encoder(MINILM, device="cpu")
        minilm.encode([asked[0]])
        rows.append(searched[0] + timed(asked[READ_ALL_AFTER:], lambda query: minilm.encode([query]))[0])
    cells = [cell for times in rows for cell in (percentile(times, 50), percentile(times, 95))]
    state = "on" if sentences else "off"
    times = f"{build_s:.0f} | {open_s:.1f} | {words_s:.1f} | {memory:.0f}"
    return f"| {state}, {passages:,} passages | {times} | {' | '.join(cells)} |"


def write_index(path: Path, encoder: WordEncoder, passages: int, queries: int, *, sentences: bool) -> list[str]:
    """A stored index of synthetic documents; returns queries made of words of its passages."""
    random = np.random.default_rng(1)
    store = Store(path, encoder=encoder.name, dim=DIM)
    asked: list[str] = []
    every = max(1, passages // (queries + 1))
    for number in range(passages // PASSAGES_PER_DOCUMENT):
        size = (PASSAGES_PER_DOCUMENT, SENTENCES, SENTENCE_WORDS)
        rows = encoder.draw(random, int(np.prod(size))).reshape(size)
        texts = [[" ".join(encoder.words[w] for w in sentence) for sentence in passage] for passage in rows]
        whole = "\n".join(". ".join(lines) for lines in texts)
        name = "".join(chr(97 + int(digit)) for digit in str(number))  # digits would pass for years and versions
        doc = Document.of(f"{name}.md", whole, title=f"Document {number}")
        chunks, blocks, at = [], [], 0
        for place, lines in enumerate(texts):
            text = ". ".join(lines)
            ends = np.cumsum([len(line) + 2 for line in lines]).tolist()
            spans = tuple((end - 2 - len(line), end - 2) for line, end in zip(lines, ends, strict=True))
            made = Passage(short_hash(doc.id, str(at)), doc.id, doc.source, text, at, at + len(text), "Document")
            chunks.append(Chunk(made, spans))
            own = encoder.of_words(rows[place].reshape(1, -1))
            blocks.append(np.concatenate([own, encoder.of_words(rows[place])]) if sentences else own)
            at += len(text) + 1
            if (number * PASSAGES_PER_DOCUMENT + place) % every == 0:
                telling = [w for w in rows[place].reshape(-1).tolist() if w >= STOP]
                picked = random.choice(telling, size=min(len(telling), int(random.integers(3, 9))), replace=False)
                asked.append(" ".join(encoder.words[w] for w in picked))
        store.put(doc, chunks, vectors=blocks, version=Version(doc.id, "synthetic"))
    store.publish()
    store.close()
    return asked


def measure_vectors(count: int, queries: int, *, inner: int, kinds: Sequence[str]) -> None:
    """One row per kind: the same vectors, the same queries, recall@10 against exact inner products."""
    stored = unit_vectors(np.random.default_rng(0), count, inner)
    asked = unit_vectors(np.random.default_rng(1), queries, inner).astype(np.float32)
    truth = build(stored, np.arange(count), kind="flat").search(asked, K)
    print(f"{count:,} vectors of {DIM} dimensions, {inner or DIM} inner ones, {queries} queries\n")
    print("| kind | build, s | memory beside the vectors, MB | p50, ms | p95, ms | CPU p95, ms | recall@10 |\n"
          "|---|---|---|---|---|---|---|")  # fmt: skip
    for kind in kinds:
        before, started = resident_mb(), time.perf_counter()
        cache = build(stored, np.arange(count), kind=_kind(kind))
        build_s, memory = time.perf_counter() - started, resident_mb() - before
        times = timed(asked, lambda query, cache=cache: cache.search(query[None], 100))
        found = [cache.search(query[None], 100)[0][:K] for query in asked]
        recall = np.array([len(set(a) & set(b)) / K for a, b in zip(truth, found, strict=True)])
        cells = [percentile(times[0], 50), percentile(times[0], 95), percentile(times[1], 95)]
        cells.append(interval(recall, lambda values: float(values.mean())))
        print(f"| {cache.kind} | {build_s:.1f} | {memory:.0f} | {' | '.join(cells)} |", flush=True)
        del cache
    print(f"\nLargest memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


def unit_vectors(random: np.random.Generator, count: int, inner: int) -> NDArray[np.float16]:
    """float16 of shape (count, DIM), length 1; the subspace of inner dimensions is the same for all seeds."""
    plane = np.random.default_rng(7).standard_normal((inner, DIM), dtype=np.float32)
    out = np.empty((count, DIM), dtype=np.float16)
    for at in range(0, count, 50_000):
        size = min(50_000, count - at)
        block = random.standard_normal((size, DIM), dtype=np.float32)
        if inner:  # a tenth of the length is noise
            block = random.standard_normal((size, inner), dtype=np.float32) @ plane / inner**0.5 + 0.1 * block
        out[at : at + size] = block / np.linalg.norm(block, axis=1, keepdims=True)
    return out


def _kind(name: str) -> Kind:
    kinds: dict[str, Kind] = {"flat": "flat", "sq8": "sq8", "hnsw": "hnsw", "ivfpq": "ivfpq"}
    return kinds[name]


def timed(items: Iterable[Any], run: Callable[[Any], object]) -> NDArray[np.float64]:
    """Milliseconds of each call, shape (2, calls): by the clock, and of the processor by this thread.

    The second says what a query costs where other programs share the machine.
    """
    times = []
    for item in items:
        started, worked = time.perf_counter(), time.thread_time()
        run(item)
        times.append((1000 * (time.perf_counter() - started), 1000 * (time.thread_time() - worked)))
    return np.array(times).T


def percentile(times: NDArray[np.float64], rank: int) -> str:
    """A percentile with its interval over queries."""
    return interval(times, lambda values: np.percentile(values, rank))


def interval(values: NDArray[np.float64], statistic: Callable[[NDArray[np.float64]], float]) -> str:
    """A statistic and its 95 % bootstrap interval."""
    draws = np.random.default_rng(0).choice(values, size=(1000, len(values)))
    low, high = np.quantile([statistic(draw) for draw in draws], [0.025, 0.975])
    return f"{statistic(values):.3g} [{low:.3g}, {high:.3g}]"


def resident_mb() -> float:
    """Memory that the process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()

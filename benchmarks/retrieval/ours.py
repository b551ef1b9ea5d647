"""Ours under the peers' harness: `Index` as `groundtone index` uses it, over a folder of Markdown files.

In mode "given" a file holds one passage and the file's name is its id (a passage beyond the chunk size has several
pieces); in mode "cut" the files are documents and the ids are those of our passages.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from benchmarks.retrieval.peers.harness import Found, Job, Search, main
from groundtone.models.encoders import MINILM, Encoder, load_encoder
from groundtone.types import Hit
from retrieval.index import Index

INDEX_FILE = "index.sqlite"
_PIECES_PER_PASSAGE = 3  # searched for in mode "given", so that k different passages come of the pieces


class Ours:
    """Defaults, but for sentence vectors and the encoder's engine where another one is asked for."""

    def __init__(self, *, sentence_vectors: bool, runtime: str) -> None:
        self._sentence_vectors = sentence_vectors
        self._runtime = runtime
        self._cut = False

    def load(self, model: Path, *, building: bool) -> None:
        """The encoder of the `offline` extra, the same weights as `model`; its engine too, which loads when needed."""
        self._encoder: Encoder = load_encoder(MINILM, device="cpu", runtime=self._runtime)
        if building:
            self._encoder.encode(["much text loads the engine " * 30] * 64)

    def build(self, job: Job) -> int:
        """Index the folder; every file must be read or be one that reading reports."""
        self._cut = job.cut
        self._path = job.store / INDEX_FILE
        self._index = Index.open(self._path, encoder=self._encoder, rebuild=True)
        report = self._index.update(job.documents, sentence_vectors=self._sentence_vectors)
        if report.failed and not job.cut:
            raise RuntimeError(f"{len(report.failed)} passages not read, the first: {report.failed[0]}")
        return report.passages

    def reopen(self, store: Path) -> None:
        """Open the index file."""
        self._path = store / INDEX_FILE
        self._index = Index.open(self._path, encoder=self._encoder)

    def arms(self, *, k: int) -> Mapping[str, Search]:
        """The default first; vectors alone and words alone over the same file."""
        vectors = Index.open(self._path, encoder=self._encoder, fusion_weight=1.0)
        words = Index.open(self._path, encoder=self._encoder, fusion_weight=0.0)
        return {
            "default": self._search(self._index, k),
            "vectors alone": self._search(vectors, k),
            "words alone": self._search(words, k),
        }

    def _search(self, index: Index, k: int) -> Search:
        pieces = k if self._cut else k * _PIECES_PER_PASSAGE
        return lambda query: [self._found(hit) for hit in index.search(query, k=pieces)]

    def _found(self, hit: Hit) -> Found:
        passage = hit.passage
        return Found(passage.id if self._cut else PurePosixPath(passage.source).stem, passage.text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--without-sentence-vectors", action="store_true")
    parser.add_argument("--runtime", default="auto")
    own, rest = parser.parse_known_args()
    main(lambda: Ours(sentence_vectors=not own.without_sentence_vectors, runtime=own.runtime), rest)

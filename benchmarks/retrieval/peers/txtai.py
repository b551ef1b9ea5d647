"""txtai: Embeddings(hybrid=True), dense and BM25 scores mixed half and half (its default).

Cutting: Segmentation(paragraphs=True), as its Textractor does in its examples on retrieval-augmented generation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from benchmarks.retrieval.peers.harness import Found, Job, Search, main


class Txtai:
    """A hybrid index without a database: pieces are numbered, their texts kept beside it."""

    def load(self, model: Path, *, building: bool) -> None:
        from txtai import Embeddings

        self._index = Embeddings(path=str(model), hybrid=True, gpu=False)
        self._pieces: list[Found] = []

    def build(self, job: Job) -> int:
        if job.cut:
            from txtai.pipeline import Segmentation

            segment = Segmentation(paragraphs=True)
            self._pieces = [Found(item.id, text) for item in job.items for text in segment(item.text)]
        else:
            self._pieces = [Found(item.id, item.text) for item in job.items]
        self._index.index((number, piece.text, None) for number, piece in enumerate(self._pieces))
        self._index.save(str(job.store))
        (job.store / "pieces.json").write_text(json.dumps([(p.id, p.text) for p in self._pieces]), encoding="utf-8")
        return len(self._pieces)

    def reopen(self, store: Path) -> None:
        self._index.load(str(store))
        rows = json.loads((store / "pieces.json").read_text(encoding="utf-8"))
        self._pieces = [Found(id, text) for id, text in rows]

    def arms(self, *, k: int) -> Mapping[str, Search]:
        return {
            "hybrid": lambda query: self._search(query, k, 0.5),
            "dense alone": lambda query: self._search(query, k, 1.0),
        }

    def _search(self, query: str, k: int, weight: float) -> list[Found]:
        return [self._pieces[int(number)] for number, _ in self._index.search(query, k, weights=weight)]


if __name__ == "__main__":
    main(Txtai)

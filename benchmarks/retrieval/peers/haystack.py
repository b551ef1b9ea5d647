"""Haystack: InMemoryBM25Retriever and InMemoryEmbeddingRetriever joined by reciprocal rank, as in its hybrid tutorial.

The embedder is its own integration of sentence-transformers. Cutting: DocumentSplitter's defaults (200 words).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.retrieval.peers.harness import Found, Job, Search, main


class Haystack:
    """Its in-memory store, which is what its tutorials use, saved as JSON."""

    def load(self, model: Path, *, building: bool) -> None:
        from haystack_integrations.components.embedders.sentence_transformers import (
            SentenceTransformersDocumentEmbedder,
            SentenceTransformersTextEmbedder,
        )

        self._documents = SentenceTransformersDocumentEmbedder(model=str(model), device=_cpu(), progress_bar=False)
        self._queries = SentenceTransformersTextEmbedder(model=str(model), device=_cpu(), progress_bar=False)
        self._documents.warm_up()
        self._queries.warm_up()

    def build(self, job: Job) -> int:
        from haystack import Document
        from haystack.document_stores.in_memory import InMemoryDocumentStore

        documents = [Document(content=item.text, meta={"item": item.id}) for item in job.items]
        if job.cut:
            from haystack.components.preprocessors import DocumentSplitter

            splitter = DocumentSplitter()
            splitter.warm_up()
            documents = splitter.run(documents=documents)["documents"]
        self._store = InMemoryDocumentStore()
        self._store.write_documents(self._documents.run(documents=documents)["documents"])
        self._store.save_to_disk(str(job.store / "store.json"))
        return len(documents)

    def reopen(self, store: Path) -> None:
        from haystack.document_stores.in_memory import InMemoryDocumentStore

        self._store = InMemoryDocumentStore.load_from_disk(str(store / "store.json"))

    def arms(self, *, k: int) -> Mapping[str, Search]:
        from haystack.components.joiners import DocumentJoiner
        from haystack.components.retrievers.in_memory import InMemoryBM25Retriever, InMemoryEmbeddingRetriever

        words = InMemoryBM25Retriever(self._store, top_k=k)
        dense = InMemoryEmbeddingRetriever(self._store, top_k=k)

        def by_words(query: str) -> list[Any]:
            return words.run(query=query)["documents"]

        def by_vector(query: str) -> list[Any]:
            return dense.run(query_embedding=self._queries.run(text=query)["embedding"])["documents"]

        def joined(mode: str) -> Callable[[str], list[Any]]:
            joiner = DocumentJoiner(join_mode=mode)
            return lambda query: joiner.run(documents=[by_words(query), by_vector(query)])["documents"]

        return {
            "joined, reciprocal rank": _search(joined("reciprocal_rank_fusion")),
            "joined, score distribution": _search(joined("distribution_based_rank_fusion")),
            "dense alone": _search(by_vector),
            "BM25 alone": _search(by_words),
        }


def _cpu() -> Any:
    from haystack.utils import ComponentDevice

    return ComponentDevice.from_str("cpu")


def _search(find: Callable[[str], list[Any]]) -> Search:
    return lambda query: [Found(doc.meta["item"], doc.content) for doc in find(query)]


if __name__ == "__main__":
    main(Haystack)

"""LlamaIndex: VectorStoreIndex and BM25Retriever (bm25s, stemmed) in a QueryFusionRetriever, as its example does.

mode="reciprocal_rerank" and num_queries=1, which needs no language model. Cutting: SentenceSplitter's defaults, which
are those of `VectorStoreIndex.from_documents` (1,024 tokens, 200 of them shared).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.retrieval.peers.harness import Found, Job, Search, main


class LlamaIndex:
    """Vectors in its simple store, words in bm25s."""

    def load(self, model: Path, *, building: bool) -> None:
        from llama_index.core import Settings
        from llama_index.core.llms import MockLLM
        from llama_index.embeddings.huggingface import HuggingFaceEmbedding

        Settings.llm = MockLLM()  # never asked
        Settings.embed_model = HuggingFaceEmbedding(model_name=str(model), device="cpu")

    def build(self, job: Job) -> int:
        from llama_index.core import Document, VectorStoreIndex
        from llama_index.core.node_parser import SentenceSplitter
        from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
        from llama_index.retrievers.bm25 import BM25Retriever

        if job.cut:
            documents = [Document(text=item.text, doc_id=item.id) for item in job.items]
            nodes = SentenceSplitter().get_nodes_from_documents(documents)
        else:
            nodes = [
                TextNode(text=i.text, id_=i.id, relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=i.id)})
                for i in job.items
            ]
        self._index = VectorStoreIndex(nodes)
        self._words = BM25Retriever.from_defaults(nodes=nodes)
        self._index.storage_context.persist(str(job.store / "vectors"))
        self._words.persist(str(job.store / "words"))
        return len(nodes)

    def reopen(self, store: Path) -> None:
        from llama_index.core import StorageContext, load_index_from_storage
        from llama_index.retrievers.bm25 import BM25Retriever

        context = StorageContext.from_defaults(persist_dir=str(store / "vectors"))
        self._index = load_index_from_storage(context)
        self._words = BM25Retriever.from_persist_dir(str(store / "words"))

    def arms(self, *, k: int) -> Mapping[str, Search]:
        from llama_index.core.retrievers import QueryFusionRetriever

        dense = self._index.as_retriever(similarity_top_k=k)
        self._words.similarity_top_k = min(k, len(self._words.corpus))
        made: dict[str, Search] = {}
        for name, mode in (("fusion, reciprocal rank", "reciprocal_rerank"), ("fusion, scores", "relative_score")):
            both = QueryFusionRetriever(
                [dense, self._words], mode=mode, similarity_top_k=k, num_queries=1, use_async=False
            )
            made[name] = _search(both)
        return made | {"dense alone": _search(dense), "BM25 alone": _search(self._words)}


def _search(retriever: Any) -> Search:
    return lambda query: [Found(hit.node.ref_doc_id, hit.node.text) for hit in retriever.retrieve(query)]


if __name__ == "__main__":
    main(LlamaIndex)

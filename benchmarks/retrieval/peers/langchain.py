"""LangChain: FAISS and BM25Retriever in an EnsembleRetriever with equal weights, as its how-to on hybrid search does.

Cutting as in its tutorials: RecursiveCharacterTextSplitter(chunk_size=1000, chunk_overlap=200). BM25Retriever splits
at white space (its default) and has no way to be stored: reopening makes it again from the stored documents.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.retrieval.peers.harness import Found, Job, Search, main


class LangChain:
    """FAISS flat index and rank_bm25 over the same documents."""

    def load(self, model: Path, *, building: bool) -> None:
        from langchain_huggingface import HuggingFaceEmbeddings

        self._embeddings = HuggingFaceEmbeddings(model_name=str(model), model_kwargs={"device": "cpu"})

    def build(self, job: Job) -> int:
        from langchain_community.vectorstores import FAISS
        from langchain_core.documents import Document

        self._docs = [Document(page_content=item.text, metadata={"id": item.id}) for item in job.items]
        if job.cut:
            from langchain_text_splitters import RecursiveCharacterTextSplitter

            splitter = RecursiveCharacterTextSplitter(chunk_size=1000, chunk_overlap=200)
            self._docs = splitter.split_documents(self._docs)
        self._faiss = FAISS.from_documents(self._docs, self._embeddings)
        self._faiss.save_local(str(job.store))
        return len(self._docs)

    def reopen(self, store: Path) -> None:
        from langchain_community.vectorstores import FAISS

        self._faiss = FAISS.load_local(str(store), self._embeddings, allow_dangerous_deserialization=True)
        self._docs = self._faiss.get_by_ids(list(self._faiss.index_to_docstore_id.values()))

    def arms(self, *, k: int) -> Mapping[str, Search]:
        from langchain_classic.retrievers import EnsembleRetriever
        from langchain_community.retrievers import BM25Retriever

        words = BM25Retriever.from_documents(self._docs, k=k)
        dense = self._faiss.as_retriever(search_kwargs={"k": k})
        both = EnsembleRetriever(retrievers=[words, dense], weights=[0.5, 0.5])
        return {"ensemble": _search(both), "FAISS alone": _search(dense), "BM25 alone": _search(words)}


def _search(retriever: Any) -> Search:
    return lambda query: [Found(doc.metadata["id"], doc.page_content) for doc in retriever.invoke(query)]


if __name__ == "__main__":
    main(LangChain)

"""The index as a LangChain retriever: the one file of this package that imports LangChain. Import it only to use it."""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document as LangChainDocument
from langchain_core.retrievers import BaseRetriever
from pydantic import Field

from groundtone.types import Hit

__all__ = ["GroundtoneRetriever"]


class GroundtoneRetriever(BaseRetriever):
    """Any groundtone retriever (such as `retrieval.index.Index`) inside a LangChain chain.

    `page_content` is the passage verbatim; the metadata say where it stands: source, doc_id, start, end, heading, page.
    """

    index: Any = Field(description="What searches: an object with `search(query, *, k, groups)`.")
    k: int = Field(5, ge=1, description="Passages per query.")
    groups: tuple[str, ...] = Field((), description="Groups that the reader belongs to.")

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[LangChainDocument]:
        return [_document(hit) for hit in self.index.search(query, k=self.k, groups=self.groups)]


def _document(hit: Hit) -> LangChainDocument:
    p = hit.passage
    place = {
        "source": p.source,
        "doc_id": p.doc_id,
        "start": p.start,
        "end": p.end,
        "heading": p.heading,
        "page": p.page,
    }
    return LangChainDocument(id=p.id, page_content=p.text, metadata={**place, "score": hit.score})

"""The index as a LangChain retriever: the one file of this package that imports LangChain. Import it only to use it.

chain = {"context": GroundtoneRetriever(index=index) | show, "question": RunnablePassthrough()} | prompt | model
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document as LangChainDocument
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables.config import run_in_executor
from pydantic import Field

from groundtone.types import Hit

__all__ = ["GroundtoneRetriever"]


class GroundtoneRetriever(BaseRetriever):
    """A groundtone index (`retrieval.index.Index`) inside a LangChain chain.

    `page_content` is the passage verbatim; the metadata say where it stands: source, doc_id, start, end, heading, page,
    and `evidence`, the passage's best sentence. k, groups and where can also be given per call:
    `retriever.invoke(question, groups=("hr",))`.
    """

    index: Any = Field(description="What searches: an object with `search(query, *, k, groups, where)`.")
    k: int = Field(5, ge=1, description="Passages per query.")
    groups: tuple[str, ...] = Field((), description="Groups that the reader belongs to.")
    where: Mapping[str, Any] | None = Field(None, description="Conditions on the documents' metadata.")

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        k: int | None = None,
        groups: tuple[str, ...] | None = None,
        where: Mapping[str, Any] | None = None,
    ) -> list[LangChainDocument]:
        hits = self.index.search(
            query,
            k=self.k if k is None else k,
            groups=self.groups if groups is None else groups,
            where=self.where if where is None else where,
        )
        return [_document(hit) for hit in hits]

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **given: Any
    ) -> list[LangChainDocument]:
        """The same in a thread; LangChain's own would not take k, groups and where."""
        return await run_in_executor(
            None, self._get_relevant_documents, query, run_manager=run_manager.get_sync(), **given
        )


def _document(hit: Hit) -> LangChainDocument:
    p = hit.passage
    best = p.text[slice(*hit.best[0])] if hit.best else p.text
    place = {
        "source": p.source,
        "doc_id": p.doc_id,
        "start": p.start,
        "end": p.end,
        "heading": p.heading,
        "page": p.page,
        "evidence": best,
    }
    return LangChainDocument(id=p.id, page_content=p.text, metadata={**place, "score": hit.score})

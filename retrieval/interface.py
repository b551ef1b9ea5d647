"""What an index offers, whatever holds it: a file (`retrieval.index.Index`) or a server (`retrieval.postgres`).

Code that only reads should ask for this protocol, so that it runs on both.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from groundtone.types import Document, Hit, Passage
from retrieval.filters import Where


class SearchableIndex(Protocol):
    """An open index. Each store's own class says what its methods raise."""

    def search(self, query: str, *, k: int = 5, groups: Sequence[str] = (), where: Where | None = None) -> list[Hit]:
        """The k best passages that `groups` may read and that meet `where`, best first."""
        ...

    def search_many(
        self, queries: Sequence[str], *, k: int = 5, groups: Sequence[str] = (), where: Where | None = None
    ) -> list[list[Hit]]:
        """`search` for each query, encoded together."""
        ...

    @property
    def passage_count(self) -> int:
        """How many passages the index holds."""
        ...

    def passages(self) -> list[Passage]:
        """All passages by source, in reading order."""
        ...

    def documents(self) -> list[str]:
        """The sources of all documents, sorted."""
        ...

    def document(self, doc_id: str) -> Document:
        """The document of that id, which is that of one version."""
        ...

    def locate(self, source: str, quote: str) -> list[Passage]:
        """The passages that overlap a quote in that source."""
        ...

    def content_hash(self) -> str:
        """Sixteen hex digits that change with any document, and with how they are cut and encoded."""
        ...

    def close(self) -> None:
        """Release the file or the connections."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

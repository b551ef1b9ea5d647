"""The index: a folder of documents made searchable, kept up to date by content.

An update reads changed files only and commits file by file: when it is stopped or killed, the index holds each document
either as it was or as it is, and the next update goes on from there.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from groundtone.errors import DataError
from groundtone.models.encoders import Encoder
from groundtone.types import Document, Hit, Passage, short_hash
from retrieval.chunk import CHUNK_TOKENS
from retrieval.loaders import MAX_FILE_MB, FailedFile
from retrieval.search import FUSION_WEIGHT, Snapshot, fold_quote, rank, snapshot
from retrieval.store import Store
from retrieval.update import IndexReport, Progress, update_store

__all__ = ["FailedFile", "Index", "IndexReport"]


class Index:
    """An open index. Searching is safe from several threads and notices what other processes have committed."""

    def __init__(self, store: Store, encoder: Encoder, *, fusion_weight: float) -> None:
        self._store = store
        self._encoder = encoder
        self._weight = fusion_weight
        self._lock = threading.Lock()
        self._snapshot: Snapshot | None = None
        self._seen_changes = -1

    @classmethod
    def open(cls, path: Path, *, encoder: Encoder, fusion_weight: float = FUSION_WEIGHT, rebuild: bool = False) -> Self:
        """Open the index file, made empty where there is none; `rebuild` throws away what it held.

        Raises IntegrityError for a damaged or foreign file, ProjectError for one made with another encoder.
        """
        if rebuild:
            for suffix in ("", "-wal", "-shm"):
                Path(f"{path}{suffix}").unlink(missing_ok=True)
        return cls(Store(path, encoder=encoder.name, dim=encoder.dim), encoder, fusion_weight=fusion_weight)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the file."""
        self._store.close()

    def update(
        self,
        folder: Path,
        *,
        chunk_tokens: int = CHUNK_TOKENS,
        max_file_mb: int = MAX_FILE_MB,
        progress: Progress | None = None,
    ) -> IndexReport:
        """Bring the index in line with the folder. `progress("index", files done, files in all)` after each file.

        A file that cannot be read is reported, and the version that was read before stays. Raises DocumentError when
        the folder is missing or empty: then nothing is removed.
        """
        report = update_store(
            self._store,
            self._encoder,
            folder,
            chunk_tokens=chunk_tokens,
            max_file_mb=max_file_mb,
            progress=progress,
        )
        self._forget_snapshot()
        return report

    def search(self, query: str, *, k: int = 5, groups: Sequence[str] = ()) -> list[Hit]:
        """The k best passages, best first, of public documents and those of `groups`; [] when the index is empty.

        `score` is 0 to 1 on the scale of the query's cosines (`search.convex`), so that queries can be compared.
        """
        return self.search_many([query], k=k, groups=groups)[0]

    def search_many(self, queries: Sequence[str], *, k: int = 5, groups: Sequence[str] = ()) -> list[list[Hit]]:
        """`search` for each query, encoded together."""
        if k < 1:
            raise DataError(f"k is {k}; ask for at least 1 passage")
        snap = self._current()
        vectors = self._encoder.encode(list(queries))
        return rank(snap, self._store, queries=queries, vectors=vectors, k=k, groups=groups, weight=self._weight)

    def _current(self) -> Snapshot:
        with self._lock:
            changes = self._store.change_count()
            if self._snapshot is None or changes != self._seen_changes:
                documents, stored = self._store.snapshot()
                self._snapshot = snapshot(documents, stored, dim=self._encoder.dim)
                self._seen_changes = changes
            return self._snapshot

    def _forget_snapshot(self) -> None:
        with self._lock:
            self._snapshot = None

    @property
    def passage_count(self) -> int:
        """How many passages the index holds."""
        return len(self._current().passages)

    def passages(self) -> list[Passage]:
        """All passages by source, in reading order."""
        return list(self._current().passages)

    def documents(self) -> list[str]:
        """The sources of all documents, sorted."""
        return list(self._store.versions())

    def document(self, doc_id: str) -> Document:
        """The document of that id. Raises DataError when it is not the version that is indexed now."""
        doc = self._store.document(doc_id)
        if doc is None:
            raise DataError(
                f"no document {doc_id!r} in {self._store.path}: it was changed or removed since; search again"
            )
        return doc

    def locate(self, source: str, quote: str) -> list[Passage]:
        """The passages that overlap a quote in that source, in order; [] when the quote is not there.

        White space, case, table pipes, emphasis marks and escapes do not count. Raises DataError for an unknown source.
        """
        doc = next((doc for doc in self._store.documents() if doc.source == source), None)
        if doc is None:
            raise DataError(
                f"no document {source!r} in {self._store.path}; it holds: {', '.join(self.documents()[:8])} ..."
            )
        folded, offsets = fold_quote(doc.text)
        wanted, _ = fold_quote(quote)
        found = [m.start() for m in re.finditer(f"(?={re.escape(wanted)})", folded)] if wanted else []
        spans = [(offsets[at], offsets[at + len(wanted) - 1] + 1) for at in found]
        mine = [p for p in self._current().passages if p.doc_id == doc.id]
        return [p for p in mine if any(p.start < end and start < p.end for start, end in spans)]

    def content_hash(self) -> str:
        """Sixteen hex digits that change with any document, and with how they are cut and encoded."""
        parts = [f"{doc.source} {doc.id} {doc.meta.get('groups', '')}" for doc in self._store.documents()]
        cuts = sorted({version.cut for version in self._store.versions().values()})
        return short_hash(self._encoder.name, *cuts, *parts)

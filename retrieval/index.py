"""The index: a folder of documents made searchable, kept up to date by content, searched by words and meaning.

    with Index.open(Path("index.sqlite"), encoder=load_encoder(MINILM)) as index:
        index.update(Path("documents"))
        for hit in index.search("What does a courier cost?", k=3, where={"source": "customers/*"}):
            print(hit.score, hit.passage.source, hit.passage.text)

An update reads changed files only; readers see the index as it was before or after, whole. A search filters by access
groups and metadata before it ranks, so that k results stay k.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from groundtone.errors import DataError
from groundtone.models.encoders import Encoder
from groundtone.types import Document, Hit, Passage, short_hash
from retrieval.chunk import CHUNK_TOKENS
from retrieval.filters import Where
from retrieval.lexical import MAX_QUERY_CHARS
from retrieval.loaders import MAX_FILE_MB, FailedFile
from retrieval.rerank import Reranker
from retrieval.search import FUSION_WEIGHT, Explained, Ranking, fold_quote, rank
from retrieval.snapshot import Snapshot, snapshot
from retrieval.store import KEEP_GENERATIONS, Neighbours, Store
from retrieval.update import IndexReport, Progress, update_store
from retrieval.vectors import Kind
from retrieval.versions import today_utc
from retrieval.widen import widened

__all__ = ["Explained", "FailedFile", "Index", "IndexReport"]


class Index:
    """An open index. Searching is safe from several threads and notices what other processes have committed."""

    def __init__(self, store: Store, encoder: Encoder, *, how: Ranking, vectors: Kind = "auto") -> None:
        self._store = store
        self._encoder = encoder
        self._how = how
        self._kind = vectors
        self._lock = threading.Lock()
        self._snapshot: Snapshot | None = None
        self._seen_changes = -1

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        encoder: Encoder,
        fusion_weight: float = FUSION_WEIGHT,
        vectors: Kind = "auto",
        mmr: float | None = None,
        reranker: Reranker | None = None,
        rebuild: bool = False,
    ) -> Self:
        """Open the index file, made empty where there is none; `rebuild` throws away what it held.

        `fusion_weight` is the share of the dense score; `vectors` the kind of FAISS index (`retrieval.vectors`); `mmr`
        between 0 (all variety) and 1 (none) spreads the results; `reranker` orders the first candidates again.
        Raises IntegrityError for a damaged or foreign file, ProjectError for one made with another encoder.
        """
        if rebuild:
            for suffix in ("", "-wal", "-shm"):
                Path(f"{path}{suffix}").unlink(missing_ok=True)
        store = Store(path, encoder=encoder.name, dim=encoder.dim)
        return cls(store, encoder, how=Ranking(fusion_weight, mmr, reranker), vectors=vectors)

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
        sentence_vectors: bool = True,
        keep_generations: int = KEEP_GENERATIONS,
        full: bool = False,
        progress: Progress | None = None,
    ) -> IndexReport:
        """Bring the index in line with the folder. `progress("index", files done, files in all)` after each file.

        A file that cannot be read is reported, and the version that was read before stays; it goes where the file no
        longer tells who may read it. Raises DocumentError when the folder is missing or empty: then nothing is removed.
        """
        return update_store(
            self._store,
            self._encoder,
            folder,
            chunk_tokens=chunk_tokens,
            max_file_mb=max_file_mb,
            sentence_vectors=sentence_vectors,
            keep_generations=keep_generations,
            full=full,
            progress=progress,
        )

    def search(self, query: str, *, k: int = 5, groups: Sequence[str] = (), where: Where | None = None) -> list[Hit]:
        """The k best passages, best first, of public documents and those of `groups`; [] when the index is empty.

        `where` maps keys of the documents' metadata to a value, or to several of which one must be met; the key
        "source" takes a glob. Fewer than k hits means that no more passages are allowed, or that the rest are copies.
        `score` is 0 to 1 on the scale of the query's cosines (`search.convex`), so that queries can be compared; a
        reranker or MMR changes the order, not the score. Any text is a query: signs are never syntax, what is too long
        is cut, and without a word in it nothing is found.
        Raises DataError for k below 1 and for a metadata key that no document has.
        """
        return self.search_many([query], k=k, groups=groups, where=where)[0]

    def search_many(
        self, queries: Sequence[str], *, k: int = 5, groups: Sequence[str] = (), where: Where | None = None
    ) -> list[list[Hit]]:
        """`search` for each query, encoded together."""
        return [[e.hit for e in found] for found in self._rank(queries, k=k, groups=groups, where=where)]

    def explain(
        self, query: str, *, k: int = 5, groups: Sequence[str] = (), where: Where | None = None
    ) -> list[Explained]:
        """`search` with the scores and ranks of every stage."""
        return self._rank([query], k=k, groups=groups, where=where)[0]

    def _rank(
        self, queries: Sequence[str], *, k: int, groups: Sequence[str], where: Where | None
    ) -> list[list[Explained]]:
        if k < 1:
            raise DataError(f"k is {k}; ask for at least 1 passage")
        snap = self._current()
        queries = [query[:MAX_QUERY_CHARS] for query in queries]
        vectors = self._encoder.encode(queries) if queries else np.zeros((0, self._encoder.dim), dtype=np.float32)
        return rank(snap, self._store, queries=queries, vectors=vectors, k=k, groups=groups, where=where, how=self._how)

    def _current(self) -> Snapshot:
        with self._lock:
            changes, day = self._store.change_count(), today_utc()
            if self._snapshot is None or changes != self._seen_changes:
                documents, stored = self._store.snapshot()
                self._snapshot = snapshot(
                    documents, stored, dim=self._encoder.dim, day=day, kind=self._kind, previous=self._snapshot
                )
                self._seen_changes = changes
            elif self._snapshot.day != day:  # a server runs past midnight
                self._snapshot = self._snapshot.on(day)
            return self._snapshot

    def neighbours(self, passage: Passage) -> Neighbours:
        """The passages before and after one in its document; None at its ends, or when the document has changed."""
        return self._store.neighbours(passage.id)

    def widen(self, hit: Hit, tokens: int) -> Hit:
        """The hit with its passage joined to its neighbours, up to so many of the encoder's tokens.

        Those of its own section come first. `doc.text[start:end] == text` holds as ever; the id says the new place.
        """
        document = self._store.document(hit.passage.doc_id)
        if document is None:
            return hit
        beside = self._current().of_document(document.id)
        return widened(
            hit, document.text, beside, count=lambda text: len(self._encoder.token_offsets(text)), most=tokens
        )

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
        doc = self._store.document_at(source)
        if doc is None:
            raise DataError(
                f"no document {source!r} in {self._store.path}; it holds: {', '.join(self.documents()[:8])} ..."
            )
        folded, offsets = fold_quote(doc.text)
        wanted, _ = fold_quote(quote)
        found = [m.start() for m in re.finditer(f"(?={re.escape(wanted)})", folded)] if wanted else []
        spans = [(offsets[at], offsets[at + len(wanted) - 1] + 1) for at in found]
        mine = self._current().of_document(doc.id)
        return [p for p in mine if any(p.start < end and start < p.end for start, end in spans)]

    def content_hash(self) -> str:
        """Sixteen hex digits that change with any document, and with how they are cut and encoded."""
        parts = [f"{doc.source} {doc.id} {doc.meta.get('groups', '')}" for doc in self._store.documents()]
        cuts = sorted({version.cut for version in self._store.versions().values()})
        return short_hash(self._encoder.name, *cuts, *parts)

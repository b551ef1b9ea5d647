"""The index: a folder of documents made searchable, kept up to date by content.

An update reads changed files only and commits file by file: when it is stopped or killed, the index holds each document
either as it was or as it is, and the next update goes on from there.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from groundtone.errors import DataError, DocumentError
from groundtone.files import sha256_file
from groundtone.models.encoders import Encoder
from groundtone.types import Document, Hit, Passage, short_hash
from retrieval.chunk import CHUNK_TOKENS, CHUNKER_VERSION, Chunk, chunk
from retrieval.loaders import LOADERS_VERSION, MAX_FILE_MB, FailedFile, failed, load, walk
from retrieval.search import FUSION_WEIGHT, Snapshot, fold_quote, rank, snapshot
from retrieval.store import Store, Version

__all__ = ["FailedFile", "Index", "IndexReport"]

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What an update did, in files; `passages` is how many the index holds now."""

    read: int
    unchanged: int
    removed: int
    passages: int
    failed: tuple[FailedFile, ...] = ()
    skipped: tuple[FailedFile, ...] = ()


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
        cut = short_hash(str(LOADERS_VERSION), str(CHUNKER_VERSION), str(chunk_tokens), self._encoder.name)
        entries = list(walk(folder))
        skipped = tuple(e for e in entries if isinstance(e, FailedFile) and e.skipped)
        bad = [e for e in entries if isinstance(e, FailedFile) and not e.skipped]
        files = [e for e in entries if isinstance(e, Path)]
        known = self._store.versions()
        read = unchanged = 0
        for done, path in enumerate(files, 1):
            source = path.relative_to(folder).as_posix()
            try:
                if self._update_file(
                    path, folder, cut, known.get(source), chunk_tokens=chunk_tokens, max_mb=max_file_mb
                ):
                    read += 1
                else:
                    unchanged += 1
            except DocumentError as error:
                report = failed(path, folder, error)
                kept = "; the version read before stays in the index" if source in known else ""
                bad.append(FailedFile(source, report.reason + kept))
            if progress:
                progress("index", done, len(files))
        gone = sorted(set(known) - {path.relative_to(folder).as_posix() for path in files} - {e.source for e in bad})
        for source in gone:
            self._store.remove(source)
        self._forget_snapshot()
        return IndexReport(read, unchanged, len(gone), self.passage_count, tuple(bad), skipped)

    def _update_file(
        self, path: Path, folder: Path, cut: str, known: Version | None, *, chunk_tokens: int, max_mb: int
    ) -> bool:
        """Whether the file had to be read again."""
        try:
            version = Version(sha256_file(path), cut)
        except OSError as error:
            raise DocumentError(f"cannot be read ({error.strerror or error}); check its permissions") from error
        if version == known:
            return False
        doc = load(path, folder, max_file_mb=max_mb)
        chunks = chunk(doc, self._encoder, chunk_tokens=chunk_tokens)
        if not chunks:
            raise DocumentError("it has a front matter but no sentences below; write some or remove it")
        self._store.put(doc, chunks, vectors=self._encode(chunks), version=version)
        return True

    def _encode(self, chunks: Sequence[Chunk]) -> list[NDArray[np.float32]]:
        """One block of vectors per passage; a text that occurs twice (a passage of one sentence) is encoded once."""
        texts = [made.embedded() for made in chunks]
        unique = list(dict.fromkeys(text for block in texts for text in block))
        row = {text: i for i, text in enumerate(unique)}
        vectors = self._encoder.encode(unique)
        return [vectors[[row[text] for text in block]] for block in texts]

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

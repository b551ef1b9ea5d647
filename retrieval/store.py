"""The index on disk: one SQLite file with documents, passages, sentence spans, float16 vectors and words (FTS5).

Documents are staged one by one, which survives a kill; one transaction then makes all of them, and the going of others,
a new generation: readers see the index before it or after it, never between. What is loaded is checked against the
checksum of its document.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from groundtone.errors import IntegrityError, ProjectError
from groundtone.types import Document, short_hash
from retrieval import generations
from retrieval.chunk import Chunk
from retrieval.generations import Generation, Purged
from retrieval.likeness import likeness
from retrieval.locking import writer_lock
from retrieval.postings import Postings, read_postings, token_of
from retrieval.records import (
    PASSAGE_COLUMNS,
    Neighbours,
    PassageRow,
    StoredPassage,
    Version,
    as_vectors,
    block_key,
    checksum,
)
from retrieval.schema import CURRENT, Facts, connect, how_to_rebuild, prepare

__all__ = ["KEEP_GENERATIONS", "Generation", "Neighbours", "Purged", "Store", "StoredPassage", "Version"]

KEEP_GENERATIONS = 3
_HEADING_WEIGHT, _TEXT_WEIGHT = 1.0, 1.0


class Store:
    """An open index file. Calls from several threads take turns."""

    def __init__(self, path: Path, *, encoder: str = "", dim: int = 0) -> None:
        """Open the file, made empty where there is none. Without encoder and dim: one that is there, as it was made.

        Raises IntegrityError for a damaged or foreign file, ProjectError for one made with another encoder.
        """
        self.path = path
        self._lock = threading.RLock()
        if not encoder and not path.is_file():
            raise ProjectError(f"there is no index at {path}: run `groundtone index` first")
        self._db = connect(path)
        try:
            facts = prepare(self._db, path, made_with=Facts(encoder, dim) if encoder else None)
        except BaseException:
            self._db.close()
            raise
        self.encoder, self.dim = facts.encoder, facts.dim

    def close(self) -> None:
        """Release the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        """One moment of the index."""
        with self._lock:
            try:
                self._db.execute("BEGIN")
                try:
                    yield self._db
                finally:
                    self._db.execute("COMMIT")
            except sqlite3.OperationalError as error:
                raise ProjectError(f"the index {self.path} cannot be read ({error}); run the command again") from error
            except sqlite3.DatabaseError as error:
                raise self._damaged(str(error)) from error

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield self._db
                except BaseException:
                    if self._db.in_transaction:  # a full disk has rolled back already
                        self._db.execute("ROLLBACK")
                    raise
                self._db.execute("COMMIT")
            except sqlite3.OperationalError as error:
                raise ProjectError(
                    f"the index {self.path} cannot be written ({error}); it is as it was before: see to the disk's "
                    "space and permissions and run the command again"
                ) from error
            except sqlite3.DatabaseError as error:
                raise self._damaged(str(error)) from error

    def _damaged(self, what: str) -> IntegrityError:
        return IntegrityError(f"the index {self.path} is damaged ({what}); {how_to_rebuild(self.path)}")

    # Writing

    def put(
        self, doc: Document, chunks: Sequence[Chunk], *, vectors: Sequence[NDArray[np.floating]], version: Version
    ) -> None:
        """Stage a document: nobody sees it before `publish`. `vectors[i]`: rows of `chunks[i]`, or its first alone."""
        rows = [self._row(made, block) for made, block in zip(chunks, vectors, strict=True)]
        meta = json.dumps(dict(doc.meta))
        check = checksum((doc.id, doc.source, doc.text, meta), (row[:6] + row[7:] for row in rows))
        known = (version.file_sha256, version.stat, version.cut, likeness(doc.text))
        with self._write() as db:
            staged = db.execute("SELECT row FROM documents WHERE added IS NULL AND source = ?", (doc.source,))
            generations.drop(db, [row for (row,) in staged.fetchall()])
            row = db.execute(
                "INSERT INTO documents"
                "(id, source, text, meta, file_sha256, file_stat, cut, likeness, passages, checksum) "
                "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (doc.id, doc.source, doc.text, meta, *known, len(rows), check),
            ).lastrowid
            db.executemany(
                "INSERT INTO passages(doc, id, start, end, heading, page, spans, key, vectors) "
                "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [(row, *values) for values in rows],
            )

    def _row(
        self, made: Chunk, block: NDArray[np.floating]
    ) -> tuple[str, int, int, str, int | None, bytes, bytes, bytes]:
        p = made.passage
        assert block.shape in ((1, self.dim), (1 + len(made.sentences), self.dim)), (
            "one vector, or one per sentence too"
        )
        spans = np.asarray(made.sentences, dtype="<i4").tobytes()
        key = block_key(self.encoder, made.embedded()[: len(block)])
        return p.id, p.start, p.end, p.heading, p.page, spans, key, block.astype("<f2").tobytes()

    def unstage(self, *, all_but: set[str]) -> None:
        """Let staged documents go whose source is not among these."""
        with self._write() as db:
            found = db.execute("SELECT row, source FROM documents WHERE added IS NULL").fetchall()
            generations.drop(db, [row for row, source in found if source not in all_but])

    def note_stats(self, stats: dict[str, str]) -> None:
        """Record size and times of current documents' files whose bytes were found unchanged, by source."""
        if stats:
            with self._write() as db:
                db.executemany(
                    f"UPDATE documents AS d SET file_stat = ? WHERE d.source = ? AND {CURRENT}",
                    [(stat, source) for source, stat in stats.items()],
                )

    def failures(self) -> dict[str, list[str]]:
        """What `note_failures` was given last."""
        with self._read() as db:
            row = db.execute("SELECT value FROM meta WHERE key = 'failures'").fetchone()
        found: dict[str, list[str]] = json.loads(row[0]) if row else {}
        return found

    def note_failures(self, failures: Mapping[str, Sequence[str]]) -> None:
        """Keep what is known of files that take long to fail, by source, so that they are not tried again in vain."""
        if failures != self.failures():
            with self._write() as db:
                db.execute("INSERT OR REPLACE INTO meta VALUES('failures', ?)", (json.dumps(failures),))

    def publish(self, *, gone: Sequence[str] = (), refused: Collection[str] = (), keep: int = KEEP_GENERATIONS) -> bool:
        """Make what is staged and the going of `gone` visible in one step; whether there was anything.

        Of `refused` no version stays, that of an earlier generation neither. The newest `keep` generations can be gone
        back to. A kill leaves the index before it or after it.
        """
        with self._lock:
            self._db.execute("PRAGMA synchronous = FULL")
            try:
                with self._write() as db:
                    changed = generations.publish(db, gone=gone, refused=refused)
                    generations.prune(db, keep=keep)
            finally:
                self._db.execute("PRAGMA synchronous = NORMAL")
        return changed

    def roll_back(self, number: int | None = None) -> int:
        """Make an earlier generation current (None: the one before); later ones go. Returns its number.

        A document that fewer may read now than then stays as it is. The next update goes forward to the folder's state,
        mostly without encoding. Raises ProjectError for a number that is not kept, or when another process writes.
        """
        with writer_lock(self.path, wait_s=0), self._write() as db:
            return generations.roll_back(db, number)

    def purge(self, source: str, *, copies_of: Collection[str] = ()) -> Purged:
        """Remove a document for good: every version in every generation, staged ones too, with its words and vectors.

        So goes whatever was read from a file with one of the SHA-256 `copies_of`, under any name. What they held is
        overwritten in the index file and its log. The next update reads a file that is still in the folder.
        """
        with writer_lock(self.path, wait_s=0):
            with self._write() as db:
                purged = generations.purge(db, source, copies_of=copies_of)
            with self._lock:
                busy = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            raise ProjectError(
                f"{source} is removed, but another process reads {self.path}, so its write-ahead log still holds the "
                "text; stop that process and run the command again"
            )
        return purged

    def would_purge(self, source: str, *, copies_of: Collection[str] = ()) -> Purged:
        """What `purge` would tell."""
        with self._read() as db:
            return generations.counted(db, source, generations.held(db, source, copies_of=copies_of))

    def held(self, source: str, *, copies_of: Collection[str] = ()) -> list[Document]:
        """Every version that `purge` would remove."""
        query = "SELECT id, text, source, meta FROM documents WHERE row = ?"
        with self._read() as db:
            rows = sorted(generations.held(db, source, copies_of=copies_of))
            return [self._document(*db.execute(query, (row,)).fetchone()) for row in rows]

    def file_hashes(self, source: str) -> list[str]:
        """SHA-256 of the files that the versions of a source were read from, in any generation, oldest first."""
        with self._read() as db:
            found = db.execute("SELECT file_sha256 FROM documents WHERE source = ? ORDER BY row", (source,))
            return [sha for (sha,) in found]

    # Reading: the current generation only

    def generations(self) -> list[Generation]:
        """Those that are kept, newest first; the first one is current."""
        with self._read() as db:
            return generations.generations(db)

    def versions(self, *, staged: bool = False) -> dict[str, Version]:
        """Each document's source with the version that is stored, or that is staged."""
        which = "d.added IS NULL" if staged else CURRENT
        with self._read() as db:
            rows = db.execute(
                f"SELECT source, file_sha256, cut, file_stat FROM documents d WHERE {which} ORDER BY source"
            )
            return {source: Version(sha, cut, stat) for source, sha, cut, stat in rows}

    def passage_count(self) -> int:
        """How many passages can be found."""
        with self._read() as db:
            found = db.execute(f"SELECT coalesce(sum(d.passages), 0) FROM documents d WHERE {CURRENT}")
            return int(found.fetchone()[0])

    def documents(self) -> list[Document]:
        """All documents by source."""
        with self._read() as db:
            rows = db.execute(f"SELECT id, text, source, meta FROM documents d WHERE {CURRENT} ORDER BY source")
            return [self._document(*row) for row in rows]

    def document(self, doc_id: str) -> Document | None:
        """The document with that id, if it is the version stored now."""
        with self._read() as db:
            row = db.execute(
                f"SELECT id, text, source, meta FROM documents d WHERE id = ? AND {CURRENT}", (doc_id,)
            ).fetchone()
        return self._document(*row) if row else None

    def document_at(self, source: str) -> Document | None:
        """The document that is stored now under that source."""
        with self._read() as db:
            row = db.execute(
                f"SELECT id, text, source, meta FROM documents d WHERE source = ? AND {CURRENT}", (source,)
            ).fetchone()
        return self._document(*row) if row else None

    def _document(self, doc_id: str, text: str, source: str, meta: str) -> Document:
        if short_hash(source, text) != doc_id:
            raise self._damaged(f"the text of {source} does not match its hash")
        return Document(doc_id, text, source, json.loads(meta))

    def duplicates(self) -> list[tuple[str, ...]]:
        """Groups of sources that say the same (`retrieval.likeness`), sorted; the first of each stands for all."""
        groups: dict[str, list[str]] = {}
        with self._read() as db:
            for source, like in db.execute(f"SELECT source, likeness FROM documents d WHERE {CURRENT} ORDER BY source"):
                groups.setdefault(like, []).append(source)
        return sorted(tuple(group) for group in groups.values() if len(group) > 1)

    def change_count(self) -> int:
        """A number that changes when what readers see has changed, whoever changed it."""
        with self._lock:
            return int(self._db.execute("SELECT value FROM meta WHERE key = 'changes'").fetchone()[0])

    def snapshot(self) -> tuple[list[Document], list[StoredPassage]]:
        """All documents and passages of one moment, passages by source in reading order, checksums compared."""
        docs: list[Document] = []
        passages: list[StoredPassage] = []
        with self._read() as db:
            found = db.execute(
                f"SELECT row, checksum, id, text, source, meta FROM documents d WHERE {CURRENT} ORDER BY source"
            )
            for row, expected, doc_id, text, source, meta in found:
                query = f"SELECT {PASSAGE_COLUMNS} FROM passages p WHERE doc = ? ORDER BY start, rowid"
                rows: list[PassageRow] = db.execute(query, (row,)).fetchall()
                if checksum((doc_id, source, text, meta), (r[1:] for r in rows)) != expected:
                    raise self._damaged(f"{source} does not match its checksum")
                doc = Document(doc_id, text, source, json.loads(meta))
                docs.append(doc)
                passages += [StoredPassage.of(doc, r, dim=self.dim) for r in rows]
        return docs, passages

    def neighbours(self, passage_id: str) -> Neighbours:
        """The passages that stand before and after one in its document, to be joined with it in an answer."""
        with self._read() as db:
            at = db.execute(
                "SELECT d.row, p.start, d.id, d.text, d.source, d.meta "
                f"FROM passages p JOIN documents d ON d.row = p.doc WHERE p.id = ? AND {CURRENT}",
                (passage_id,),
            ).fetchone()
            if at is None:
                return Neighbours(None, None)
            beside = (
                f"SELECT {PASSAGE_COLUMNS} FROM passages p WHERE doc = ? AND {side} LIMIT 1"
                for side in ("start < ? ORDER BY start DESC", "start > ? ORDER BY start")
            )
            rows = [db.execute(query, (at[0], at[1])).fetchone() for query in beside]
        doc = self._document(*at[2:])
        return Neighbours(*(StoredPassage.of(doc, row, dim=self.dim).passage if row else None for row in rows))

    def stored_blocks(self, source: str) -> list[tuple[Chunk, bytes, NDArray[np.float16]]]:
        """The passages of all versions of a source with the keys and the vectors of their embedded texts."""
        with self._read() as db:
            found = db.execute(
                f"SELECT d.id, d.text, p.key, {PASSAGE_COLUMNS} "
                "FROM documents d JOIN passages p ON p.doc = d.row WHERE d.source = ? ORDER BY d.row",
                (source,),
            ).fetchall()
        blocks = []
        for doc_id, text, key, *row in found:
            stored = StoredPassage.of(Document(doc_id, text, source), tuple(row), dim=self.dim)
            blocks.append((Chunk(stored.passage, stored.sentences), key, stored.vectors))
        return blocks

    def vectors(self, keys: Iterable[bytes]) -> dict[bytes, NDArray[np.float16]]:
        """The vectors that are stored under these keys by any document of any generation, staged ones included."""
        found = {}
        with self._read() as db:
            for key in keys:
                row = db.execute("SELECT vectors FROM passages WHERE key = ? LIMIT 1", (key,)).fetchone()
                if row:
                    found[key] = as_vectors(row[0], dim=self.dim)
        return found

    def term_scores(self, term: str) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Rows that match one FTS5 term, and its BM25 in each (higher is better)."""
        with self._lock:
            found = self._db.execute(
                f"SELECT rowid, -bm25(words, {_HEADING_WEIGHT}, {_TEXT_WEIGHT}) FROM words WHERE words MATCH ?", (term,)
            )
            pairs = np.fromiter(found, dtype=[("row", np.int64), ("score", np.float64)])
        return pairs["row"].copy(), pairs["score"].astype(np.float32)

    def postings(self) -> Postings:
        """Every word with its rows and BM25."""
        with self._read() as db:
            return read_postings(db)

    def token_of(self, term: str) -> str | None:
        """The word that a quoted term is cut into, if it is one."""
        with self._lock:
            return token_of(self._db, term)

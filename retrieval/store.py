"""The index on disk: one SQLite file with documents, passages, sentence spans, float16 vectors and words (FTS5).

One transaction per document version: readers see the old version whole or the new one whole, and a crash leaves the
last committed one. Opening checks the file's schema, pages, vector sizes and the encoder it was made with.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from groundtone.errors import IntegrityError, ProjectError
from groundtone.text import Span
from groundtone.types import Document, Passage
from retrieval.chunk import Chunk

SCHEMA_VERSION = 1
_APPLICATION_ID = 0x47_54_49_58  # "GTIX": tells an index from any other SQLite file
_BUSY_TIMEOUT_S = 30.0
_SCHEMA = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE documents(
  id TEXT PRIMARY KEY, source TEXT NOT NULL UNIQUE, text TEXT NOT NULL, meta TEXT NOT NULL,
  file_sha256 TEXT NOT NULL, cut TEXT NOT NULL);
CREATE TABLE passages(
  rowid INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, doc_id TEXT NOT NULL REFERENCES documents(id),
  start INTEGER NOT NULL, end INTEGER NOT NULL, heading TEXT NOT NULL, page INTEGER,
  spans BLOB NOT NULL, vectors BLOB NOT NULL);
CREATE INDEX passages_doc ON passages(doc_id);
CREATE VIRTUAL TABLE words USING fts5(heading, text, tokenize = 'porter unicode61 remove_diacritics 2');
"""
_HEADING_WEIGHT, _TEXT_WEIGHT = 1.0, 1.0


@dataclass(frozen=True, slots=True)
class StoredPassage:
    """One row of the index: `vectors` has shape (1 + sentences, dim), the whole passage's vector first."""

    rowid: int
    passage: Passage
    sentences: tuple[Span, ...]
    vectors: NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class Version:
    """What decides whether a file must be read again: its bytes, and how they were read and cut."""

    file_sha256: str
    cut: str


class Store:
    """An open index file. Calls from several threads take turns."""

    def __init__(self, path: Path, *, encoder: str, dim: int) -> None:
        """Open the file, made empty where there is none.

        Raises IntegrityError for a damaged or foreign file, ProjectError for one made with another encoder.
        """
        self.path = path
        self._dim = dim
        self._lock = threading.RLock()
        self._again = f"delete {path} and run: groundtone index"
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._db = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise ProjectError(
                f"the index {path} cannot be opened ({error}); check the folder's permissions"
            ) from error
        try:
            self._prepare(encoder)
        except sqlite3.OperationalError as error:
            self._db.close()
            if "fts5" in str(error):
                raise ProjectError(
                    f"this Python's SQLite {sqlite3.sqlite_version} lacks FTS5; use another Python"
                ) from error
            raise ProjectError(f"the index {path} cannot be used ({error})") from error
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise IntegrityError(f"the index {path} is damaged or no index ({error}); {self._again}") from error
        except BaseException:
            self._db.close()
            raise

    def _prepare(self, encoder: str) -> None:
        self._db.execute("PRAGMA foreign_keys = ON")
        with self._write():  # under the write lock: two processes may create the file at once
            empty = not self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if empty:
                self._db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                for statement in _SCHEMA.split(";\n"):
                    self._db.execute(statement)
                facts = {"schema": str(SCHEMA_VERSION), "encoder": encoder, "dim": str(self._dim)}
                self._db.executemany("INSERT INTO meta VALUES(?, ?)", facts.items())
        if empty:
            self._db.execute("PRAGMA journal_mode = WAL")
        self._check(encoder)

    def _check(self, encoder: str) -> None:
        if self._db.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
            raise IntegrityError(f"{self.path} is an SQLite file, but no index; choose another path")
        problems = [row[0] for row in self._db.execute("PRAGMA quick_check(3)")]
        if problems != ["ok"]:
            raise IntegrityError(f"the index {self.path} is damaged ({problems[0]}); {self._again}")
        facts = dict(self._db.execute("SELECT key, value FROM meta"))
        if facts.get("schema") != str(SCHEMA_VERSION):
            raise IntegrityError(
                f"the index {self.path} has schema {facts.get('schema')}, this version reads {SCHEMA_VERSION}; "
                f"{self._again}"
            )
        if (facts.get("encoder"), facts.get("dim")) != (encoder, str(self._dim)):
            raise ProjectError(
                f"the index {self.path} was made with encoder {facts.get('encoder')!r} ({facts.get('dim')} numbers), "
                f"now it is {encoder!r} ({self._dim}); set retrieval.encoder back, or {self._again}"
            )
        torn = self._db.execute(
            "SELECT count(*) FROM passages WHERE length(spans) % 8 OR length(vectors) != (1 + length(spans) / 8) * ?",
            (2 * self._dim,),
        ).fetchone()[0]
        unmatched = self._db.execute(
            "SELECT (SELECT count(*) FROM passages) - (SELECT count(*) FROM words_docsize)"
        ).fetchone()[0]
        if torn or unmatched:
            raise IntegrityError(
                f"the index {self.path}: {torn} passages lack vectors, {abs(unmatched)} lack words; {self._again}"
            )

    def close(self) -> None:
        """Release the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def _write(self) -> Iterator[None]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def put(
        self, doc: Document, chunks: Sequence[Chunk], *, vectors: Sequence[NDArray[np.float32]], version: Version
    ) -> None:
        """Replace whatever the document's source held, in one transaction. `vectors[i]`: rows of `chunks[i]`."""
        assert len(chunks) == len(vectors), "one block of vectors per passage"
        with self._write():
            self._delete(doc.source)
            self._db.execute(
                "INSERT INTO documents VALUES(?, ?, ?, ?, ?, ?)",
                (doc.id, doc.source, doc.text, json.dumps(dict(doc.meta)), version.file_sha256, version.cut),
            )
            for made, block in zip(chunks, vectors, strict=True):
                p = made.passage
                assert block.shape == (1 + len(made.sentences), self._dim), "one vector per sentence and one for all"
                spans = np.asarray(made.sentences, dtype="<i4").tobytes()
                row = self._db.execute(
                    "INSERT INTO passages(id, doc_id, start, end, heading, page, spans, vectors) "
                    "VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
                    (p.id, p.doc_id, p.start, p.end, p.heading, p.page, spans, block.astype("<f2").tobytes()),
                ).lastrowid
                self._db.execute("INSERT INTO words(rowid, heading, text) VALUES(?, ?, ?)", (row, p.heading, p.text))

    def remove(self, source: str) -> None:
        """Forget a document: text, passages, vectors and words."""
        with self._write():
            self._delete(source)

    def _delete(self, source: str) -> None:
        rows = self._db.execute(
            "SELECT p.rowid FROM passages p JOIN documents d ON d.id = p.doc_id WHERE d.source = ?", (source,)
        ).fetchall()
        self._db.executemany("DELETE FROM words WHERE rowid = ?", rows)
        self._db.executemany("DELETE FROM passages WHERE rowid = ?", rows)
        self._db.execute("DELETE FROM documents WHERE source = ?", (source,))

    def versions(self) -> dict[str, Version]:
        """Each document's source with the version that is stored."""
        with self._lock:
            rows = self._db.execute("SELECT source, file_sha256, cut FROM documents ORDER BY source")
            return {source: Version(sha, cut) for source, sha, cut in rows}

    def passage_count(self) -> int:
        """How many passages are stored."""
        with self._lock:
            return int(self._db.execute("SELECT count(*) FROM passages").fetchone()[0])

    def documents(self) -> list[Document]:
        """All documents by source."""
        with self._lock:
            rows = self._db.execute("SELECT id, text, source, meta FROM documents ORDER BY source").fetchall()
        return [Document(i, text, source, json.loads(meta)) for i, text, source, meta in rows]

    def document(self, doc_id: str) -> Document | None:
        """The document with that id, if it is the version stored now."""
        with self._lock:
            row = self._db.execute("SELECT id, text, source, meta FROM documents WHERE id = ?", (doc_id,)).fetchone()
        return Document(row[0], row[1], row[2], json.loads(row[3])) if row else None

    def change_count(self) -> int:
        """A number that changes when another process or connection has changed the file."""
        with self._lock:
            return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    def snapshot(self) -> tuple[list[Document], list[StoredPassage]]:
        """All documents and passages of one moment, passages in reading order."""
        with self._lock:
            self._db.execute("BEGIN")
            try:
                docs = {doc.id: doc for doc in self.documents()}
                rows = self._db.execute(
                    "SELECT p.rowid, p.id, doc_id, start, end, heading, page, spans, vectors FROM passages p "
                    "JOIN documents d ON d.id = p.doc_id ORDER BY d.source, start, p.rowid"
                ).fetchall()
            finally:
                self._db.execute("COMMIT")
        return list(docs.values()), [self._stored(docs[row[2]], row) for row in rows]

    def _stored(
        self, doc: Document, row: tuple[int, str, str, int, int, str, int | None, bytes, bytes]
    ) -> StoredPassage:
        rowid, passage_id, _, start, end, heading, page, spans, vectors = row
        passage = Passage(passage_id, doc.id, doc.source, doc.text[start:end], start, end, heading, page)
        pairs = np.frombuffer(spans, dtype="<i4").reshape(-1, 2).tolist()
        return StoredPassage(
            rowid, passage, tuple((a, b) for a, b in pairs), np.frombuffer(vectors, dtype="<f2").reshape(-1, self._dim)
        )

    def match(self, expression: str, *, depth: int, keep: Callable[[int], bool]) -> list[tuple[int, float]]:
        """Rows that match an FTS5 expression, best first with their BM25 score (higher is better), `keep` applied."""
        found: list[tuple[int, float]] = []
        with self._lock:
            rows = self._db.execute(
                f"SELECT rowid, bm25(words, {_HEADING_WEIGHT}, {_TEXT_WEIGHT}) AS score FROM words WHERE words MATCH ? "
                "ORDER BY score, rowid",
                (expression,),
            )
            for rowid, score in rows:
                if keep(rowid):
                    found.append((rowid, -score))
                    if len(found) == depth:
                        break
            rows.close()
        return found

"""The tables of an index file, how it is opened and what is checked before anything is read from it.

A document row is one version of one source. `added` is the generation in which it became visible (NULL: staged, seen by
nobody), `removed` the one in which it was replaced or went (NULL: still current). `words` (FTS5) holds the passages of
the current generation only, so that BM25's statistics are those of a fresh index.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from groundtone.errors import IntegrityError, ProjectError

SCHEMA_VERSION = 2
_APPLICATION_ID = 0x47_54_49_58  # "GTIX": tells an index from any other SQLite file
_BUSY_TIMEOUT_S = 60.0
_CACHE_KIB = 32_768
_SCAN_BYTES = 256_000_000  # larger files are not scanned when opened (about 1 s): each document's checksum is, at load
TOKENIZE = "porter unicode61 remove_diacritics 2"  # how FTS5 cuts words, of documents and of queries
CURRENT = "d.added IS NOT NULL AND d.removed IS NULL"
_SCHEMA = f"""
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE generations(
  number INTEGER PRIMARY KEY AUTOINCREMENT, created TEXT NOT NULL,
  documents INTEGER NOT NULL, passages INTEGER NOT NULL);
CREATE TABLE documents(
  row INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, source TEXT NOT NULL, text TEXT NOT NULL, meta TEXT NOT NULL,
  file_sha256 TEXT NOT NULL, file_stat TEXT NOT NULL, cut TEXT NOT NULL, likeness TEXT NOT NULL,
  passages INTEGER NOT NULL, checksum TEXT NOT NULL, added INTEGER, removed INTEGER);
CREATE UNIQUE INDEX documents_current ON documents(source) WHERE added IS NOT NULL AND removed IS NULL;
CREATE UNIQUE INDEX documents_staged ON documents(source) WHERE added IS NULL;
CREATE INDEX documents_id ON documents(id);
CREATE TABLE passages(
  rowid INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, doc INTEGER NOT NULL REFERENCES documents(row),
  start INTEGER NOT NULL, end INTEGER NOT NULL, heading TEXT NOT NULL, page INTEGER,
  spans BLOB NOT NULL, key BLOB NOT NULL, vectors BLOB NOT NULL);
CREATE INDEX passages_doc ON passages(doc, start);
CREATE INDEX passages_id ON passages(id);
CREATE INDEX passages_key ON passages(key);
CREATE VIRTUAL TABLE words USING fts5(heading, text, tokenize = '{TOKENIZE}');
"""


@dataclass(frozen=True, slots=True)
class Facts:
    """What an index was made with."""

    encoder: str
    dim: int


def how_to_rebuild(path: Path) -> str:
    """The end of every message about a file that cannot be mended."""
    return f"delete {path} and run: groundtone index"


def connect(path: Path) -> sqlite3.Connection:
    """A connection; nothing is read yet. Raises ProjectError where it cannot be opened."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    except (sqlite3.Error, OSError) as error:
        raise ProjectError(f"the index {path} cannot be opened ({error}); check the folder's permissions") from error


def prepare(db: sqlite3.Connection, path: Path, *, made_with: Facts | None) -> Facts:
    """Create the tables in an empty file, check any other; `made_with` None takes what the file says.

    Raises IntegrityError for a damaged or foreign file, ProjectError for one made with another encoder.
    """
    try:
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("PRAGMA secure_delete = ON")
        db.execute("PRAGMA synchronous = NORMAL")  # in WAL mode safe against kills; publishing raises it to FULL
        db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        _create(db, path, made_with)
        return _check(db, path, made_with)
    except sqlite3.OperationalError as error:
        if "fts5" in str(error):
            raise ProjectError(
                f"this Python's SQLite {sqlite3.sqlite_version} lacks FTS5; use another Python"
            ) from error
        raise ProjectError(
            f"the index {path} cannot be used ({error}); see to the disk's space and permissions and run the command "
            "again"
        ) from error
    except sqlite3.DatabaseError as error:
        raise IntegrityError(f"the index {path} is damaged or no index ({error}); {how_to_rebuild(path)}") from error


def _create(db: sqlite3.Connection, path: Path, made_with: Facts | None) -> None:
    db.execute("BEGIN IMMEDIATE")  # under the write lock: two processes may create the file at once
    try:
        empty = not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if empty and made_with is None:
            raise ProjectError(f"the index {path} is empty: run `groundtone index` first")
        if empty and made_with:
            db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            for statement in _SCHEMA.split(";\n"):
                db.execute(statement)
            facts = {"schema": SCHEMA_VERSION, "encoder": made_with.encoder, "dim": made_with.dim, "changes": 0}
            db.executemany("INSERT INTO meta VALUES(?, ?)", [(key, str(value)) for key, value in facts.items()])
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")
    if empty:
        db.execute("PRAGMA journal_mode = WAL")


def _check(db: sqlite3.Connection, path: Path, made_with: Facts | None) -> Facts:
    again = how_to_rebuild(path)
    if db.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
        raise IntegrityError(f"{path} is an SQLite file, but no index; choose another path")
    small = path.stat().st_size <= _SCAN_BYTES
    problems = [row[0] for row in db.execute("PRAGMA quick_check(3)")] if small else ["ok"]
    if problems != ["ok"]:
        raise IntegrityError(f"the index {path} is damaged ({problems[0]}); {again}")
    facts = dict(db.execute("SELECT key, value FROM meta"))
    if facts.get("schema") != str(SCHEMA_VERSION):
        raise IntegrityError(
            f"the index {path} has schema {facts.get('schema')}, this version reads {SCHEMA_VERSION}; {again}"
        )
    found = Facts(facts["encoder"], int(facts["dim"]))
    if made_with and found != made_with:
        raise ProjectError(
            f"the index {path} was made with encoder {found.encoder!r} ({found.dim} numbers), now it is "
            f"{made_with.encoder!r} ({made_with.dim}); set retrieval.encoder back, or {again}"
        )
    _check_counts(db, path, found.dim, small=small)
    return found


def _check_counts(db: sqlite3.Connection, path: Path, dim: int, *, small: bool) -> None:
    """Passages lack neither words nor vectors: one vector without sentence vectors, else one per sentence too."""
    torn = 0
    if small:
        torn = db.execute(
            "SELECT count(*) FROM passages "
            "WHERE length(spans) % 8 OR length(vectors) NOT IN (?1, (1 + length(spans) / 8) * ?1)",
            (2 * dim,),
        ).fetchone()[0]
    unmatched = db.execute(
        f"SELECT (SELECT coalesce(sum(d.passages), 0) FROM documents d WHERE {CURRENT}) "
        "- (SELECT count(*) FROM words_docsize)"
    ).fetchone()[0]
    if torn or unmatched:
        raise IntegrityError(
            f"the index {path}: {torn} passages lack vectors, {abs(unmatched)} lack words; {how_to_rebuild(path)}"
        )

"""What makes staged documents visible, takes a generation back, lets old ones go, and removes a document for good.

Each function is called inside one write transaction of `store.Store`, which commits it whole or not at all.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from groundtone.errors import ProjectError
from groundtone.files import now_iso
from retrieval.lexical import index_text
from retrieval.schema import CURRENT

_BATCH = 500  # SQLite's bound variables are limited (999 in older builds)


@dataclass(frozen=True, slots=True)
class Generation:
    """One state of the index that readers see or saw: when it was made (ISO, UTC), and how much it holds."""

    number: int
    created: str
    documents: int
    passages: int


@dataclass(frozen=True, slots=True)
class Purged:
    """What a purge took away, over all generations and staged work; `copies`: other sources that held the same file."""

    source: str
    versions: int
    passages: int
    vectors: int
    copies: tuple[str, ...] = ()


def generations(db: sqlite3.Connection) -> list[Generation]:
    """The generations that are kept, newest first; the first one is current."""
    rows = db.execute("SELECT number, created, documents, passages FROM generations ORDER BY number DESC")
    return [Generation(*row) for row in rows]


def publish(db: sqlite3.Connection, *, gone: Sequence[str], refused: Collection[str] = ()) -> bool:
    """Make what is staged, and the going of `gone`, a new generation. False: there was nothing to do.

    `refused` are those of `gone` whose readers are not known any more: going back must not show them to anybody, so
    that they leave the earlier generations too.
    """
    staged = _rows(db, "SELECT row FROM documents WHERE added IS NULL")
    replaced = _rows(
        db,
        f"SELECT d.row FROM documents d WHERE {CURRENT} "
        "AND d.source IN (SELECT source FROM documents WHERE added IS NULL)",
    )
    for some in _batches(gone):
        replaced |= _rows(db, f"SELECT d.row FROM documents d WHERE {CURRENT} AND d.source IN ({_marks(some)})", some)
    if staged or replaced:
        _new_generation(db, staged, replaced)
    for some in _batches(sorted(refused)):
        drop(db, _rows(db, f"SELECT row FROM documents WHERE removed NOT NULL AND source IN ({_marks(some)})", some))
    if staged or replaced or refused:
        _count(db)
    return bool(staged or replaced)


def _new_generation(db: sqlite3.Connection, staged: set[int], replaced: set[int]) -> None:
    _hide(db, replaced)
    _show(db, staged)
    number = db.execute("INSERT INTO generations(created, documents, passages) VALUES(?, 0, 0)", (now_iso(),)).lastrowid
    assert number is not None
    _mark(db, replaced, "removed", number)
    _mark(db, staged, "added", number)
    _changed(db)


def roll_back(db: sqlite3.Connection, number: int | None) -> int:
    """Make an earlier generation current (None: the one before), later ones go; returns its number.

    What they had added becomes staged work, so that the next update finds it done. A document that fewer may read now
    than then stays as it is: going back gives nobody a right. Raises ProjectError for a number that is not kept.
    """
    kept = [g.number for g in generations(db)]
    earlier = kept[1:]
    if number is None and not earlier:
        raise ProjectError(f"there is no earlier generation of the index; kept: {kept or 'none'}")
    number = earlier[0] if number is None else number
    if number not in earlier:
        raise ProjectError(f"generation {number} cannot be gone back to; choose one of {earlier or 'none'}")
    before = _rows(db, f"SELECT d.row FROM documents d WHERE {CURRENT}")
    after = _rows(
        db, "SELECT row FROM documents WHERE added <= ? AND (removed IS NULL OR removed > ?)", (number, number)
    )
    for old, now in _narrowed(db, before, after):
        after = after - {old} | {now}
        _mark(db, [old], "removed", number)
        _mark(db, [now], "added", number)
    _hide(db, before - after)
    _show(db, after - before)
    drop(db, _rows(db, "SELECT row FROM documents WHERE added IS NULL"))
    later = "SELECT max(row) FROM documents WHERE added > ? GROUP BY source"
    drop(db, _rows(db, f"SELECT row FROM documents WHERE added > ? AND row NOT IN ({later})", (number, number)))
    db.execute("UPDATE documents SET added = NULL, removed = NULL WHERE added > ?", (number,))
    db.execute("UPDATE documents SET removed = NULL WHERE removed > ?", (number,))
    db.execute("DELETE FROM generations WHERE number > ?", (number,))
    _count(db)
    _changed(db)
    return number


def _narrowed(db: sqlite3.Connection, before: set[int], after: set[int]) -> list[tuple[int, int]]:
    """Pairs of a source's rows (then, now) where the one of then has readers whom the one of now keeps out."""
    now = {source: (row, readers) for row, source, readers in _readers(db, before - after)}
    found = []
    for row, source, readers in _readers(db, after - before):
        current, allowed = now.get(source, (0, frozenset()))
        if allowed and not (readers and readers <= allowed):
            found.append((row, current))
    return found


def _readers(db: sqlite3.Connection, rows: Iterable[int]) -> Iterable[tuple[int, str, frozenset[str]]]:
    """Each document row with its source and groups; no group: everybody."""
    for row in rows:
        source, meta = db.execute("SELECT source, meta FROM documents WHERE row = ?", (row,)).fetchone()
        yield row, source, frozenset(json.loads(meta).get("groups", ()))


def prune(db: sqlite3.Connection, *, keep: int) -> None:
    """Let all generations but the newest `keep` go, with what only they held."""
    row = db.execute("SELECT number FROM generations ORDER BY number DESC LIMIT 1 OFFSET ?", (keep - 1,)).fetchone()
    if row is None:
        return
    db.execute("DELETE FROM generations WHERE number < ?", row)
    drop(db, _rows(db, "SELECT row FROM documents WHERE removed <= ?", row))


def held(db: sqlite3.Connection, source: str, *, copies_of: Collection[str]) -> dict[int, str]:
    """The document rows that a purge removes, each with its source.

    They are the source's own and, under whatever name, those of files with these SHA-256: copies and former names.
    """
    rows = dict(db.execute("SELECT row, source FROM documents WHERE source = ?", (source,)))
    for sha in copies_of:
        rows |= dict(db.execute("SELECT row, source FROM documents WHERE file_sha256 = ? AND ? != ''", (sha, sha)))
    return rows


def counted(db: sqlite3.Connection, source: str, rows: Mapping[int, str]) -> Purged:
    """What these rows hold, as `purge` tells it."""
    dim = int(db.execute("SELECT value FROM meta WHERE key = 'dim'").fetchone()[0])
    query = "SELECT count(*), coalesce(sum(length(vectors)), 0) FROM passages WHERE doc = ?"
    sizes = [db.execute(query, (row,)).fetchone() for row in rows]
    copies = tuple(sorted(set(rows.values()) - {source}))
    return Purged(source, len(rows), sum(n for n, _ in sizes), sum(b for _, b in sizes) // (2 * dim), copies)


def purge(db: sqlite3.Connection, source: str, *, copies_of: Collection[str] = ()) -> Purged:
    """Remove every version of a source, and of the copies, from every table; generations that held it count anew."""
    rows = held(db, source, copies_of=copies_of)
    purged = counted(db, source, rows)
    _hide(db, _rows(db, f"SELECT d.row FROM documents d WHERE {CURRENT}") & rows.keys())
    drop(db, rows)
    db.execute("INSERT INTO words(words) VALUES('optimize')")  # FTS5 keeps deleted words until its segments are merged
    _count(db)
    _changed(db)
    return purged


def drop(db: sqlite3.Connection, rows: Iterable[int]) -> None:
    """Delete document rows that are not visible, with their passages."""
    values = [(row,) for row in rows]
    db.executemany("DELETE FROM passages WHERE doc = ?", values)
    db.executemany("DELETE FROM documents WHERE row = ?", values)


def _hide(db: sqlite3.Connection, rows: Iterable[int]) -> None:
    for row in rows:
        db.execute("DELETE FROM words WHERE rowid IN (SELECT rowid FROM passages WHERE doc = ?)", (row,))


def _show(db: sqlite3.Connection, rows: Iterable[int]) -> None:
    for row in sorted(rows):
        text = db.execute("SELECT text FROM documents WHERE row = ?", (row,)).fetchone()[0]
        found = db.execute("SELECT rowid, heading, start, end FROM passages WHERE doc = ? ORDER BY start", (row,))
        db.executemany(
            "INSERT INTO words(rowid, heading, text) VALUES(?, ?, ?)",
            [(at, index_text(heading), index_text(text[start:end])) for at, heading, start, end in found.fetchall()],
        )


def _mark(db: sqlite3.Connection, rows: Iterable[int], column: str, number: int) -> None:
    db.executemany(f"UPDATE documents SET {column} = ? WHERE row = ?", [(number, row) for row in rows])


def _count(db: sqlite3.Connection) -> None:
    held = "FROM documents d WHERE d.added <= number AND (d.removed IS NULL OR d.removed > number)"
    db.execute(
        f"UPDATE generations SET documents = (SELECT count(*) {held}), "
        f"passages = (SELECT coalesce(sum(d.passages), 0) {held})"
    )


def _changed(db: sqlite3.Connection) -> None:
    db.execute("UPDATE meta SET value = CAST(value AS INTEGER) + 1 WHERE key = 'changes'")


def _rows(db: sqlite3.Connection, query: str, values: Sequence[object] = ()) -> set[int]:
    return {row for (row,) in db.execute(query, tuple(values))}


def _batches(names: Sequence[str]) -> Iterable[Sequence[str]]:
    return (names[at : at + _BATCH] for at in range(0, len(names), _BATCH))


def _marks(some: Sequence[str]) -> str:
    return ",".join("?" * len(some))

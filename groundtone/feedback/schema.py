"""The tables of the feedback store, and how a file of an older schema becomes one of this."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from groundtone.errors import GroundtoneError, IntegrityError, ProjectError

SCHEMA_VERSION = 2
BUSY_TIMEOUT_S = 30.0  # a writer holds the lock for milliseconds; whoever waits longer has another problem

# Version n is what the first n scripts make; each can run again without harm, for two processes may both find work.
_MIGRATIONS = (
    """
CREATE TABLE IF NOT EXISTS verdicts (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, claim_key TEXT NOT NULL, person TEXT NOT NULL, value TEXT NOT NULL,
  correction TEXT NOT NULL DEFAULT '', time TEXT NOT NULL, about TEXT NOT NULL DEFAULT '{}');
CREATE INDEX IF NOT EXISTS verdicts_by_claim ON verdicts (claim_key, person, seq);
CREATE TABLE IF NOT EXISTS votes (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, person TEXT NOT NULL, outcome TEXT NOT NULL, prompt TEXT NOT NULL,
  chosen TEXT NOT NULL, rejected TEXT NOT NULL, context TEXT NOT NULL DEFAULT '[]', reason TEXT NOT NULL DEFAULT '',
  time TEXT NOT NULL, about TEXT NOT NULL DEFAULT '{}');
CREATE VIEW IF NOT EXISTS latest_verdicts AS
  SELECT * FROM verdicts WHERE seq IN (SELECT max(seq) FROM verdicts GROUP BY claim_key, person);
""",
    """
CREATE TABLE IF NOT EXISTS training_rows (
  id TEXT PRIMARY KEY, kind TEXT NOT NULL, row TEXT NOT NULL, reason TEXT NOT NULL, origins TEXT NOT NULL,
  notes TEXT NOT NULL DEFAULT '[]');
CREATE TABLE IF NOT EXISTS reviews (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, row_id TEXT NOT NULL, reviewer TEXT NOT NULL, decision TEXT NOT NULL,
  row TEXT NOT NULL DEFAULT '', why TEXT NOT NULL DEFAULT '', time TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS exports (sha256 TEXT, path TEXT, lines TEXT, time TEXT, PRIMARY KEY (sha256, path));
CREATE VIEW IF NOT EXISTS latest_reviews AS
  SELECT * FROM reviews WHERE seq IN (SELECT max(seq) FROM reviews GROUP BY row_id);
""",
)
assert len(_MIGRATIONS) == SCHEMA_VERSION


def prepare(connection: sqlite3.Connection) -> None:
    """Bring a file to our schema in write-ahead mode, keeping what an older one holds.

    Raises IntegrityError for a newer schema and for a database of somebody else's, which is left as it is.
    """
    version, tables = connection.execute(  # one statement, so that both are read of one state of the file
        "SELECT (SELECT user_version FROM pragma_user_version), (SELECT count(*) FROM sqlite_master)"
    ).fetchone()
    if version == SCHEMA_VERSION:
        return
    if version > SCHEMA_VERSION:
        raise IntegrityError(
            f"the feedback store has schema {version}, this version reads {SCHEMA_VERSION}: upgrade groundtone"
        )
    if version == 0 and tables:
        raise IntegrityError(f"this is a database with {tables} tables, but not a feedback store: move the file away")
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:  # SQLite answers "locked" at once, without the busy timeout, when two processes switch modes together
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            break
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
    scripts = "".join(_MIGRATIONS[version:])
    connection.executescript(f"BEGIN IMMEDIATE; {scripts} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")


def as_store_error(error: sqlite3.DatabaseError, path: Path) -> GroundtoneError:
    """What SQLite says, with the file and what to do about it."""
    if isinstance(error, sqlite3.OperationalError):
        full = error.sqlite_errorcode == sqlite3.SQLITE_FULL
        what = "free some space on this disk and try again" if full else "check permissions and disk space"
        kept = "; nothing of this was stored, what was said before is kept" if full else ""
        return ProjectError(f"{path}: the feedback store cannot be used ({error}){kept}: {what}")
    return IntegrityError(
        f"{path}: this is not a feedback store ({error}); move the file away and a new one is started"
    )

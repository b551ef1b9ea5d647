"""The one SQLite store of what people say: verdicts on claims, votes between replies, corrections.

Several processes may write at once (write-ahead log, one short transaction per statement, a busy timeout); what a call
returned from is on disk. A person may change their mind: every verdict is kept, the latest per (claim, person) counts.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast

from groundtone.errors import IntegrityError, ProjectError
from groundtone.types import HumanVerdict, Preference, Verdict

__all__ = ["Agreement", "Counts", "Feedback", "JudgedClaim", "Vote", "agreement", "cohens_kappa"]

Outcome = Literal["chosen", "tie", "both bad"]
SCHEMA_VERSION = 1
BUSY_TIMEOUT_S = 30.0  # a writer holds the lock for milliseconds; whoever waits longer has another problem

_SCHEMA = """
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
"""


@dataclass(frozen=True, slots=True)
class JudgedClaim:
    """A verdict and what it is about (run, arm, item, question, claim, evidence, detector: what the writer knew)."""

    verdict: Verdict
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Vote:
    """A person's choice between two replies; for a tie or "both bad" chosen and rejected carry no order."""

    preference: Preference
    person: str
    outcome: Outcome = "chosen"
    time: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Counts:
    """How much there is: `verdicts` and `corrections` count the latest per (claim, person)."""

    verdicts: int = 0
    claims: int = 0
    people: int = 0
    corrections: int = 0
    votes: int = 0


@dataclass(frozen=True, slots=True)
class Agreement:
    """Detector against people on n judged claims; `kappa` is None where it is undefined (n == 0, or one class only)."""

    kappa: float | None
    agreed: int
    n: int


class Feedback:
    """The store at `path`. Reading a file that does not exist yet finds nothing; the first write creates it."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    def add_verdict(self, verdict: Verdict, *, about: Mapping[str, Any] | None = None) -> Verdict:
        """Store a verdict and return it with its time (UTC, ISO 8601), set here where it was empty."""
        stamped = verdict if verdict.time else _with_time(verdict)
        with self._writing() as connection:
            connection.execute(
                "INSERT INTO verdicts (claim_key, person, value, correction, time, about) VALUES (?, ?, ?, ?, ?, ?)",
                (*_verdict_columns(stamped), _dump(about or {})),
            )
        return stamped

    def undo_verdict(self, person: str) -> Verdict | None:
        """Remove the person's last verdict and return it; None where there is none. An earlier one counts again."""
        with self._writing() as connection:
            row = connection.execute(
                "DELETE FROM verdicts WHERE seq = (SELECT max(seq) FROM verdicts WHERE person = ?)"
                " RETURNING claim_key, person, value, correction, time",
                (person,),
            ).fetchone()
        return Verdict(*row) if row else None

    def add_vote(self, vote: Vote) -> Vote:
        """Store a vote and return it with its time."""
        preference = vote.preference
        when = vote.time or _now()
        with self._writing() as connection:
            connection.execute(
                "INSERT INTO votes (person, outcome, prompt, chosen, rejected, context, reason, time, about)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    _storable(vote.person),
                    vote.outcome,
                    *(_storable(text) for text in (preference.prompt, preference.chosen, preference.rejected)),
                    _dump(preference.context),
                    _storable(preference.reason),
                    when,
                    _dump(vote.about),
                ),
            )
        return Vote(preference, vote.person, vote.outcome, when, vote.about)

    def judged(self, *, latest: bool = True) -> list[JudgedClaim]:
        """Verdicts with what they are about, oldest first; `latest` keeps the last per (claim, person)."""
        table = "latest_verdicts" if latest else "verdicts"
        rows = self._read(f"SELECT claim_key, person, value, correction, time, about FROM {table} ORDER BY seq")
        return [JudgedClaim(Verdict(*row[:5]), json.loads(row[5])) for row in rows]

    def verdicts(self, *, latest: bool = True) -> list[Verdict]:
        """Verdicts alone, oldest first."""
        return [claim.verdict for claim in self.judged(latest=latest)]

    def corrections(self) -> list[JudgedClaim]:
        """The latest verdicts that carry a corrected text: candidates for training rows."""
        return [claim for claim in self.judged() if claim.verdict.correction]

    def votes(self) -> list[Vote]:
        """Every vote, oldest first."""
        rows = self._read(
            "SELECT prompt, chosen, rejected, context, reason, person, outcome, time, about FROM votes ORDER BY seq"
        )
        return [
            Vote(
                Preference(prompt, chosen, rejected, tuple(json.loads(context)), reason),
                person,
                cast(Outcome, outcome),
                when,
                json.loads(about),
            )
            for prompt, chosen, rejected, context, reason, person, outcome, when, about in rows
        ]

    def preferences(self) -> list[Preference]:
        """Votes that chose one reply over the other: what preference tuning can use."""
        return [vote.preference for vote in self.votes() if vote.outcome == "chosen"]

    def counts(self) -> Counts:
        """How many verdicts, people, corrections and votes there are."""
        rows = self._read(
            "SELECT count(*), count(DISTINCT claim_key), count(DISTINCT person), coalesce(sum(correction != ''), 0),"
            " (SELECT count(*) FROM votes) FROM latest_verdicts"
        )
        return Counts(*(int(value) for value in rows[0])) if rows else Counts()

    def export(self) -> Iterator[str]:
        """The latest verdicts, then the votes, as JSON lines without line ends; `kind` tells them apart."""
        for claim in self.judged():
            verdict = claim.verdict
            yield _dump(
                {
                    "kind": "verdict",
                    "claim_key": verdict.claim_key,
                    "person": verdict.person,
                    "value": verdict.value,
                    "correction": verdict.correction,
                    "time": verdict.time,
                    "about": dict(claim.about),
                }
            )
        for vote in self.votes():
            preference = vote.preference
            yield _dump(
                {
                    "kind": "vote",
                    "person": vote.person,
                    "outcome": vote.outcome,
                    "prompt": preference.prompt,
                    "chosen": preference.chosen,
                    "rejected": preference.rejected,
                    "context": list(preference.context),
                    "reason": preference.reason,
                    "time": vote.time,
                    "about": dict(vote.about),
                }
            )

    def forget(self, quotes: Callable[[str, str], bool], *, dry_run: bool = False) -> tuple[int, int]:
        """Remove what `quotes(claim key, all its text)` is true of ("" for votes); how many verdicts and votes.

        What they held is overwritten in the file and its log. A dry run counts only.
        """
        columns = {
            "verdicts": "claim_key, person || ' ' || correction || ' ' || about",
            "votes": "'', prompt || ' ' || chosen || ' ' || rejected || ' ' || context || ' ' || about",
        }
        found = {
            table: [(seq,) for seq, key, text in self._read(f"SELECT seq, {some} FROM {table}") if quotes(key, text)]
            for table, some in columns.items()
        }
        if not dry_run and any(found.values()):
            with self._writing() as connection:
                connection.execute("PRAGMA secure_delete = ON")
                for table, rows in found.items():
                    connection.executemany(f"DELETE FROM {table} WHERE seq = ?", rows)
            with self._connected() as connection:
                connection.execute("VACUUM")  # pages that were freed before may hold older copies
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return len(found["verdicts"]), len(found["votes"])

    def _read(self, query: str) -> list[tuple[Any, ...]]:
        if not self.path.exists():
            return []
        with self._connected() as connection:
            return connection.execute(query).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction that takes the write lock at its start, so that no statement inside it can lose a race."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None)) as connection:
                _prepare(connection)
                yield connection
        except sqlite3.OperationalError as error:
            raise ProjectError(
                f"{self.path}: the feedback store cannot be used ({error}); check permissions and disk space"
            ) from error
        except sqlite3.DatabaseError as error:
            raise IntegrityError(
                f"{self.path}: this is not a feedback store ({error}); move the file away and a new one is started"
            ) from error


def _prepare(connection: sqlite3.Connection) -> None:
    """Bring a new file to our schema in write-ahead mode; a file of a newer schema is refused."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version == SCHEMA_VERSION:
        return
    if version > SCHEMA_VERSION:
        raise IntegrityError(
            f"the feedback store has schema {version}, this version reads {SCHEMA_VERSION}: upgrade groundtone"
        )
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:  # SQLite answers "locked" at once, without the busy timeout, when two processes switch modes together
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            break
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
    connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")


def cohens_kappa(pairs: Iterable[tuple[bool, bool]]) -> float | None:
    """Chance-corrected agreement of two raters with two classes (Cohen 1960, doi:10.1177/001316446002000104).

    1 is perfect, 0 what chance gives. None for no pairs, and where both raters used one and the same class throughout.
    """
    table = list(pairs)
    if not table:
        return None
    n = len(table)
    observed = sum(a == b for a, b in table) / n
    first, second = sum(a for a, _ in table) / n, sum(b for _, b in table) / n
    expected = first * second + (1 - first) * (1 - second)
    return None if expected == 1 else (observed - expected) / (1 - expected)


def agreement(pairs: Iterable[tuple[str, HumanVerdict]]) -> Agreement:
    """Agreement of the detector's verdict with a person's, each read as "supported by the passages shown, or not".

    "true elsewhere" counts as not supported: the passages that the detector saw do not carry the claim. Claims that
    the detector left unchecked, and people's "unsure", say nothing and are left out.
    """
    judged = [
        (detector == "supported", person == "supported")
        for detector, person in pairs
        if detector in ("supported", "contradicted", "unsupported") and person != "unsure"
    ]
    return Agreement(cohens_kappa(judged), sum(a == b for a, b in judged), len(judged))


def _verdict_columns(verdict: Verdict) -> tuple[str, str, str, str, str]:
    return (
        _storable(verdict.claim_key),
        _storable(verdict.person),
        verdict.value,
        _storable(verdict.correction),
        verdict.time,
    )


def _with_time(verdict: Verdict) -> Verdict:
    return Verdict(verdict.claim_key, verdict.person, verdict.value, verdict.correction, _now())


def _storable(text: str) -> str:
    """SQLite stores UTF-8: a lone surrogate (half an emoji cut by a tokenizer) becomes a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace").decode("utf-8")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")

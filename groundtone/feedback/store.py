"""The one SQLite store of what people say: verdicts on claims, votes between replies, corrections.

Several processes may write at once (write-ahead log, one short transaction per call, a busy timeout); what a call
returned from is on disk. A person may change their mind: every verdict is kept, the latest per (claim, person) counts.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from groundtone.errors import ProjectError
from groundtone.feedback import erasing, lines
from groundtone.feedback.nouns import Counts, JudgedClaim, Loaded, Outcome, Removed, Review, Vote
from groundtone.feedback.schema import BUSY_TIMEOUT_S, as_store_error, prepare
from groundtone.types import Preference, Verdict

__all__ = ["Feedback"]

_VERDICT = "claim_key, person, value, correction, time"
_VOTE = "prompt, chosen, rejected, context, reason, person, outcome, time, about"


class Feedback:
    """The store at `path`. Reading a file that does not exist yet finds nothing; the first write creates it.

    Raises ProjectError where the file cannot be read or written (a full disk, no permission), IntegrityError where it
    is no store.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    def add_verdict(self, verdict: Verdict, *, about: Mapping[str, Any] | None = None) -> Verdict:
        """Store a verdict and return it with its time (UTC, ISO 8601), set here where it was empty."""
        stamped = verdict if verdict.time else _with_time(verdict)
        with self.writing() as connection:
            lines.insert_verdict(connection, stamped, about or {})
        return stamped

    def undo_verdict(self, person: str) -> Verdict | None:
        """Remove the person's last verdict and return it; None where there is none. An earlier one counts again."""
        with self.writing() as connection:
            row = connection.execute(
                "DELETE FROM verdicts WHERE seq = (SELECT max(seq) FROM verdicts WHERE person = ?)"
                f" RETURNING {_VERDICT}",
                (person,),
            ).fetchone()
        return Verdict(*row) if row else None

    def undo(self, person: str) -> Verdict | Vote | Review | None:
        """Take back the last thing that a person did, verdict, vote or review, and return it; None where nothing is."""
        with self.writing() as connection:
            last = connection.execute(
                "SELECT * FROM (SELECT 'verdicts', max(seq) AS seq, time FROM verdicts WHERE person = :who"
                " UNION ALL SELECT 'votes', max(seq), time FROM votes WHERE person = :who"
                " UNION ALL SELECT 'reviews', max(seq), time FROM reviews WHERE reviewer = :who)"
                " WHERE seq NOTNULL ORDER BY time DESC LIMIT 1",
                {"who": person},
            ).fetchone()
            if last is None:
                return None
            table, seq, _ = last
            columns = {"verdicts": _VERDICT, "votes": _VOTE, "reviews": lines.REVIEW}[table]
            row = connection.execute(f"DELETE FROM {table} WHERE seq = ? RETURNING {columns}", (seq,)).fetchone()
        if table == "verdicts":
            return Verdict(*row)
        return _vote(row) if table == "votes" else lines.review_of(row)

    def add_vote(self, vote: Vote) -> Vote:
        """Store a vote and return it with its time."""
        stamped = Vote(vote.preference, vote.person, vote.outcome, vote.time or now(), vote.about)
        with self.writing() as connection:
            lines.insert_vote(connection, stamped)
        return stamped

    def add_correction(self, preference: Preference, *, person: str, about: Mapping[str, Any] | None = None) -> Vote:
        """Store a reply as it should have been: a vote for `preference.chosen`, the corrected text, marked as such."""
        return self.add_vote(Vote(preference, person, about={**(about or {}), "kind": "correction"}))

    def judged(self, *, latest: bool = True) -> list[JudgedClaim]:
        """Verdicts with what they are about, oldest first; `latest` keeps the last per (claim, person)."""
        table = "latest_verdicts" if latest else "verdicts"
        rows = self.read(f"SELECT {_VERDICT}, about FROM {table} ORDER BY seq")
        return [JudgedClaim(Verdict(*row[:5]), json.loads(row[5])) for row in rows]

    def verdicts(self, *, latest: bool = True) -> list[Verdict]:
        """Verdicts alone, oldest first."""
        return [claim.verdict for claim in self.judged(latest=latest)]

    def corrections(self) -> list[JudgedClaim]:
        """The latest verdicts that carry a corrected text: candidates for training rows."""
        return [claim for claim in self.judged() if claim.verdict.correction]

    def votes(self) -> list[Vote]:
        """Every vote, oldest first."""
        return [_vote(row) for row in self.read(f"SELECT {_VOTE} FROM votes ORDER BY seq")]

    def preferences(self) -> list[Preference]:
        """Votes that chose one reply over the other: what preference tuning can use."""
        return [vote.preference for vote in self.votes() if vote.outcome == "chosen"]

    def people(self) -> list[str]:
        """Everybody who said or reviewed something, by name."""
        rows = self.read(
            "SELECT person FROM verdicts UNION SELECT person FROM votes UNION SELECT reviewer FROM reviews ORDER BY 1"
        )
        return [name for (name,) in rows]

    def counts(self) -> Counts:
        """How many verdicts, people, corrections and votes there are."""
        rows = self.read(
            "SELECT count(*), count(DISTINCT claim_key), count(DISTINCT person), coalesce(sum(correction != ''), 0),"
            " (SELECT count(*) FROM votes) FROM latest_verdicts"
        )
        return Counts(*(int(value) for value in rows[0])) if rows else Counts()

    def export(self) -> Iterator[str]:
        """Everything as JSON lines without line ends; `kind` tells verdicts, votes, rows, reviews and files apart.

        `load` into an empty store gives a store that exports the same lines.
        """
        if self.path.exists():
            with self._connected() as connection:
                connection.execute("BEGIN")  # one state of the store, however long the reading takes
                yield from lines.export(connection)
                connection.execute("COMMIT")

    def load(self, some: Iterable[str]) -> Loaded:
        """Add lines of `export`, all of them or none; what is there already is counted and left alone.

        Raises DataError naming the line that is none of ours.
        """
        read = lines.parse(some)
        with self.writing() as connection:
            return lines.load(connection, read)

    def forget(self, quotes: Callable[[str, str], bool], *, dry_run: bool = False) -> tuple[int, int]:
        """Remove what `quotes(claim key, all its text)` is true of ("" for votes); how many verdicts and votes.

        Rows made for training go with it. What they held is overwritten in the file and its log. A dry run counts only.
        """
        found = erasing.quoting(self.read, quotes)
        if not dry_run and any(found.values()):
            with self._erasing() as connection:
                for table, keys in found.items():
                    erasing.delete(connection, table, keys)
        return len(found["verdicts"]), len(found["votes"])

    def remove(self, *, person: str | None = None, before: datetime | None = None, dry_run: bool = False) -> Removed:
        """Remove what `person` said, or what anybody said before a time, with the rows that nobody else said too.

        Reviews keep their decision and lose the reviewer's name. Overwritten like in `forget`.
        """
        assert (person is None) != (before is None), "one of the two"
        if not self.path.exists():
            return Removed()
        who = erasing.Whose(person, before)
        with self._connected() as connection:
            found = erasing.find(connection, who)
        if found and not dry_run:
            with self._erasing() as connection:
                found = erasing.find(connection, who)
                erasing.remove(connection, who, found)
        return found

    def read(self, query: str, values: Mapping[str, Any] | tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Rows of a query; none where there is no file yet."""
        if not self.path.exists():
            return []
        with self._connected() as connection:
            return connection.execute(query, values).fetchall()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction that takes the write lock at its start, so that no statement inside it can lose a race."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._connected() as connection, _transaction(connection):
            yield connection

    @contextmanager
    def _erasing(self) -> Iterator[sqlite3.Connection]:
        """A transaction after which neither the file nor its log holds what was deleted."""
        with self._connected() as connection:
            connection.execute("PRAGMA secure_delete = ON")
            with _transaction(connection):
                yield connection
            connection.execute("VACUUM")  # pages that were freed before may hold older copies
            busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise ProjectError(
                f"{self.path}: removed, but another process kept reading and the log still holds the old pages; close "
                "the dashboard and the server, and run it again"
            )

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None)) as connection:
                prepare(connection)
                yield connection
        except sqlite3.DatabaseError as error:
            raise as_store_error(error, self.path) from error


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite rolls back by itself when the disk is full
            connection.execute("ROLLBACK")
        raise


def _vote(row: tuple[Any, ...]) -> Vote:
    prompt, chosen, rejected, context, reason, person, outcome, when, about = row
    preference = Preference(prompt, chosen, rejected, tuple(json.loads(context)), reason)
    return Vote(preference, person, cast(Outcome, outcome), when, json.loads(about))


def _with_time(verdict: Verdict) -> Verdict:
    return Verdict(verdict.claim_key, verdict.person, verdict.value, verdict.correction, now())


def now() -> str:
    """UTC, ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")

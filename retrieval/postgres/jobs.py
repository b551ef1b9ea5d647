"""The job table: one row per file, taken by one worker at a time, taken over when that worker goes silent.

A claim is a lease: it runs out unless it is renewed, and its number fences the result. A worker that was given up but
still lives finds its number gone when it commits, and its transaction is rolled back: each file is stored once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retrieval.loaders import FailedFile

if TYPE_CHECKING:
    from retrieval.postgres.connect import Connection


@dataclass(frozen=True, slots=True)
class Job:
    """A file that this worker holds; `tries` counts this one."""

    source: str
    claim: int
    tries: int


@dataclass(frozen=True, slots=True)
class JobCounts:
    """Files by state: `done` are in the index, `failed` were given up with a reason."""

    waiting: int
    running: int
    done: int
    failed: int

    @property
    def open(self) -> int:
        """Files that somebody still has to finish."""
        return self.waiting + self.running

    @property
    def total(self) -> int:
        """All files."""
        return self.open + self.done + self.failed


class LeaseLostError(Exception):
    """Somebody else holds the job now, or its file is gone: what was made of it must not be stored."""


def queue(connection: Connection, sources: Sequence[str]) -> None:
    """Ask for each file to be looked at; one that is being read now is read again, for it may have changed."""
    connection.execute(
        "INSERT INTO jobs(source, state) SELECT unnest(%s::text[]), 'waiting' ON CONFLICT (source) DO UPDATE SET "
        "again = jobs.state = 'running', tries = CASE WHEN jobs.state = 'running' THEN jobs.tries ELSE 0 END, "
        "state = CASE WHEN jobs.state = 'running' THEN 'running' ELSE 'waiting' END, reason = '', queued = now()",
        (list(sources),),
    )


def keep_only(connection: Connection, sources: Sequence[str]) -> None:
    """Drop the jobs of files that are gone; who reads one at this moment will not be able to store it."""
    connection.execute("DELETE FROM jobs WHERE source != ALL(%s)", (list(sources),))


def take(connection: Connection, *, worker: str, lease_s: float, max_tries: int) -> Job | None:
    """The next file that waits or whose worker went silent; None where there is none now.

    SKIP LOCKED: workers that ask at the same moment get different files and none waits for another.
    """
    while True:
        row = connection.execute(
            "UPDATE jobs SET state = 'running', tries = tries + 1, worker = %s, claim = nextval('claims'), "
            "lease_until = clock_timestamp() + make_interval(secs => %s) "
            "WHERE source = (SELECT source FROM jobs "
            "WHERE state = 'waiting' OR (state = 'running' AND lease_until < clock_timestamp()) "
            "ORDER BY queued, source LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING source, claim, tries",
            (worker, lease_s),
        ).fetchone()
        if row is None:
            return None
        job = Job(*row)
        if job.tries <= max_tries:
            return job
        give_up(connection, job, f"{max_tries} workers stopped while they read it, perhaps out of memory; "
                "split or remove it")  # fmt: skip


def renew(connection: Connection, job: Job, *, lease_s: float) -> bool:
    """Hold the job for another `lease_s` seconds; False when it is held no more."""
    return connection.execute(
        "UPDATE jobs SET lease_until = clock_timestamp() + make_interval(secs => %s) "
        "WHERE source = %s AND claim = %s AND state = 'running'",
        (lease_s, job.source, job.claim),
    ).rowcount == 1  # fmt: skip


def finish(connection: Connection, job: Job, *, outcome: str) -> None:
    """Mark the job done, in the transaction that stores its document. Raises LeaseLostError when it is not ours."""
    held = connection.execute(
        "UPDATE jobs SET state = CASE WHEN again THEN 'waiting' ELSE 'done' END, again = false, outcome = %s, "
        "reason = '', finished = now() WHERE source = %s AND claim = %s AND state = 'running'",
        (outcome, job.source, job.claim),
    ).rowcount
    if not held:
        raise LeaseLostError(job.source)


def give_back(connection: Connection, job: Job, reason: str) -> None:
    """Let the job be tried again, after all that wait now."""
    connection.execute(
        "UPDATE jobs SET state = 'waiting', again = false, reason = %s, queued = clock_timestamp() "
        "WHERE source = %s AND claim = %s AND state = 'running'",
        (reason, job.source, job.claim),
    )


def give_up(connection: Connection, job: Job, reason: str) -> bool:
    """Record why the file could not be read; it is tried again when it is queued again. False: it is not ours."""
    held = connection.execute(
        "UPDATE jobs SET state = CASE WHEN again THEN 'waiting' ELSE 'failed' END, again = false, reason = %s, "
        "finished = now() WHERE source = %s AND claim = %s AND state = 'running'",
        (reason, job.source, job.claim),
    ).rowcount
    return held == 1


def counts(connection: Connection) -> JobCounts:
    """Files by state."""
    found: dict[str, int] = dict(connection.execute("SELECT state, count(*) FROM jobs GROUP BY state").fetchall())
    return JobCounts(*(int(found.get(state, 0)) for state in ("waiting", "running", "done", "failed")))


def failures(connection: Connection) -> list[FailedFile]:
    """Files that were given up, by source."""
    rows = connection.execute("SELECT source, reason FROM jobs WHERE state = 'failed' ORDER BY source").fetchall()
    return [FailedFile(source, reason) for source, reason in rows]

"""Workers that share the reading of one folder: any number of processes, on any number of machines that mount it.

`enqueue` lists the folder's files and removes documents whose file is gone; `work` takes files until none is left. Each
document is replaced in one transaction, together with the note that its job is done.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from groundtone.errors import DocumentError, GroundtoneError, ReadersError
from groundtone.files import sha256_file
from groundtone.manifest import this_process
from groundtone.models.encoders import Encoder
from groundtone.types import short_hash
from retrieval.chunk import CHUNK_TOKENS, CHUNKER_VERSION, Chunk, chunk
from retrieval.loaders import LOADERS_VERSION, MAX_FILE_MB, FailedFile, failed, hidden_by, walk
from retrieval.postgres import documents, jobs
from retrieval.postgres.connect import Database
from retrieval.postgres.documents import Stored
from retrieval.postgres.jobs import Job, JobCounts, LeaseLostError
from retrieval.postgres.schema import build_vector_index, prepare
from retrieval.reading import MAX_MEMORY_MB, MAX_SECONDS, Reader
from retrieval.update import Progress

LEASE_S = 60.0
MAX_TRIES = 3
_POLL_S = 1.0  # how often a worker without a file looks whether one was given back or its worker went silent


@dataclass(frozen=True, slots=True)
class Limits:
    """How files are read and cut: tokens of a passage; megabytes, seconds and memory of a file; sentences embedded."""

    chunk_tokens: int = CHUNK_TOKENS
    max_file_mb: int = MAX_FILE_MB
    max_seconds: float = MAX_SECONDS
    max_memory_mb: int = MAX_MEMORY_MB
    sentence_vectors: bool = True


@dataclass(frozen=True, slots=True)
class QueueReport:
    """What `enqueue` did: files to be looked at, documents removed, files that no worker needs to see."""

    sources: tuple[str, ...]
    removed: int
    failed: tuple[FailedFile, ...] = ()
    skipped: tuple[FailedFile, ...] = ()


@dataclass(frozen=True, slots=True)
class WorkReport:
    """What this worker did, in files; `lost`: read, but stored by another worker that had taken over."""

    read: int
    unchanged: int
    failed: int
    lost: int


def enqueue(dsn: str, folder: Path, *, schema: str = "groundtone") -> QueueReport:
    """Queue every file of the folder and remove the documents of files that are gone, at once.

    Raises DocumentError when the folder is missing or empty (then nothing is removed), ProjectError without tables.
    """
    database = Database(dsn, schema=schema)
    try:
        return enqueue_in(database, folder)
    finally:
        database.close()


def enqueue_in(database: Database, folder: Path) -> QueueReport:
    """`enqueue` over an open database."""
    entries = list(walk(folder))
    files = tuple(e.relative_to(folder).as_posix() for e in entries if isinstance(e, Path))
    bad = tuple(e for e in entries if isinstance(e, FailedFile) and not e.skipped)
    there = {*files, *(e.source for e in bad)}
    with database.connection() as connection, connection.transaction():
        known = documents.versions(connection)
        there |= hidden_by(bad, known)
        jobs.keep_only(connection, sorted(there))
        gone = [source for source in known if source not in there]
        jobs.queue(connection, files)
        removed = documents.remove(connection, gone)
    return QueueReport(files, removed, bad, tuple(e for e in entries if isinstance(e, FailedFile) and e.skipped))


def work(
    dsn: str,
    folder: Path,
    *,
    encoder: Encoder,
    chunk_tokens: int = CHUNK_TOKENS,
    max_file_mb: int = MAX_FILE_MB,
    max_seconds: float = MAX_SECONDS,
    max_memory_mb: int = MAX_MEMORY_MB,
    sentence_vectors: bool = True,
    lease_s: float = LEASE_S,
    max_tries: int = MAX_TRIES,
    schema: str = "groundtone",
    language: str = "english",
    progress: Progress | None = None,
) -> WorkReport:
    """Take queued files until none is waiting and nobody reads one; then build the vector index where it is worth it.

    `folder` is where this machine sees the folder that was queued. A worker that says nothing for `lease_s` seconds
    loses its file to another one; a file is given up after `max_tries`. `progress("index", files done, files in all)`.
    """
    database = Database(dsn, schema=schema)
    try:
        kept = prepare(database, encoder=encoder.name, dim=encoder.dim, language=language, rebuild=False)
        limits = Limits(chunk_tokens, max_file_mb, max_seconds, max_memory_mb, sentence_vectors)
        worker = Worker(database, folder, encoder=encoder, language=kept, limits=limits)
        return worker.run(lease_s=lease_s, max_tries=max_tries, progress=progress)
    finally:
        database.close()


def status(dsn: str, *, schema: str = "groundtone") -> tuple[JobCounts, list[FailedFile]]:
    """How far the queue is, and which files were given up and why."""
    database = Database(dsn, schema=schema)
    try:
        with database.connection() as connection:
            return jobs.counts(connection), jobs.failures(connection)
    finally:
        database.close()


class Worker:
    """One worker; it has a name of its own, also among threads."""

    def __init__(self, database: Database, folder: Path, *, encoder: Encoder, language: str, limits: Limits) -> None:
        self.name = f"{this_process()}:{uuid.uuid4().hex[:8]}"
        self._database = database
        self._folder = folder
        self._encoder = encoder
        self._language = language
        self._limits = limits
        facts = (LOADERS_VERSION, CHUNKER_VERSION, limits.chunk_tokens, encoder.name)
        self._cut = short_hash(*map(str, facts), *(() if limits.sentence_vectors else ("passage",)))

    def run(
        self, *, lease_s: float = LEASE_S, max_tries: int = MAX_TRIES, progress: Progress | None = None
    ) -> WorkReport:
        """See `work`."""
        limits = self._limits
        with Reader(
            max_seconds=limits.max_seconds, max_memory_mb=limits.max_memory_mb, max_file_mb=limits.max_file_mb
        ) as read:
            report = self._take_all(read, lease_s=lease_s, max_tries=max_tries, progress=progress)
        build_vector_index(self._database)
        return report

    def _take_all(self, read: Reader, *, lease_s: float, max_tries: int, progress: Progress | None) -> WorkReport:
        done = {"read": 0, "unchanged": 0, "failed": 0, "lost": 0}
        while True:
            with self._database.connection() as connection:
                job = jobs.take(connection, worker=self.name, lease_s=lease_s, max_tries=max_tries)
                counts = jobs.counts(connection) if progress or job is None else None
            if progress and counts:
                progress("index", counts.total - counts.open, counts.total)
            if job:
                done[self._do(job, read, lease_s=lease_s, max_tries=max_tries)] += 1
            elif counts and counts.open:
                time.sleep(min(_POLL_S, lease_s / 4))
            else:
                return WorkReport(**done)

    def _do(self, job: Job, read: Reader, *, lease_s: float, max_tries: int) -> str:
        """What came of the file: "read", "unchanged", "failed" or "lost"."""
        try:
            with self._held(job, lease_s=lease_s):
                return self._ingest(job, read)
        except LeaseLostError:
            return "lost"
        except ReadersError as error:
            return self._hidden(job, error)
        except DocumentError as error:
            return self._refused(job, error, max_tries=max_tries)
        except BaseException:  # Ctrl-C, a full disk, a bug: another worker need not wait until the lease runs out
            with self._database.connection() as connection:
                jobs.give_back(connection, job, f"worker {self.name} stopped")
            raise

    def _hidden(self, job: Job, error: ReadersError) -> str:
        """Who may read the file cannot be told: its earlier version goes, in the transaction that says so."""
        reason = failed(self._folder / job.source, self._folder, error).reason
        with self._database.connection() as connection, connection.transaction():
            if jobs.give_up(connection, job, reason):
                documents.remove(connection, [job.source])
        return "failed"

    def _refused(self, job: Job, error: DocumentError, *, max_tries: int) -> str:
        reason = failed(self._folder / job.source, self._folder, error).reason
        with self._database.connection() as connection:
            if documents.version(connection, job.source):
                reason += "; the version read before stays in the index"
            if job.tries < max_tries:  # a share that is away for a moment looks like a file that cannot be read
                jobs.give_back(connection, job, reason)
            else:
                jobs.give_up(connection, job, reason)
        return "failed"

    @contextmanager
    def _held(self, job: Job, *, lease_s: float) -> Iterator[None]:
        """Renew the lease from a thread of its own as long as the file is being read."""
        over = threading.Event()

        def keep() -> None:
            while not over.wait(lease_s / 3):
                try:
                    with self._database.connection() as connection:
                        if not jobs.renew(connection, job, lease_s=lease_s):
                            return
                except GroundtoneError:  # the lease runs out, and `finish` will tell
                    return

        thread = threading.Thread(target=keep, name=f"lease of {job.source}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _ingest(self, job: Job, read: Reader) -> str:
        path = self._folder / job.source
        if not path.resolve().is_relative_to(self._folder.resolve()):
            raise DocumentError("it lies outside of the documents folder; who wrote this job?")
        try:
            version = Stored(sha256_file(path), self._cut)
        except OSError as error:
            raise DocumentError(
                f"cannot be read ({error.strerror or error}); check its rights and {self._folder}"
            ) from error
        with self._database.connection() as connection:
            unchanged = documents.version(connection, job.source) == version
        if unchanged:
            with self._database.connection() as connection:
                jobs.finish(connection, job, outcome="unchanged")
            return "unchanged"
        doc = documents.storable(read(path, self._folder))
        chunks = chunk(doc, self._encoder, chunk_tokens=self._limits.chunk_tokens)
        if not chunks:
            raise DocumentError("it has a front matter but no sentences below; write some or remove it")
        vectors = _encode(self._encoder, chunks, sentences=self._limits.sentence_vectors)
        with self._database.connection() as connection, connection.transaction():
            jobs.finish(connection, job, outcome="read")
            documents.put(connection, doc, chunks, vectors=vectors, version=version, language=self._language)
        return "read"


def _encode(encoder: Encoder, chunks: Sequence[Chunk], *, sentences: bool) -> list[NDArray[np.float32]]:
    """One block of vectors per passage; a text that occurs twice (a passage of one sentence) is encoded once."""
    texts = [made.embedded() if sentences else made.embedded()[:1] for made in chunks]
    unique = list(dict.fromkeys(text for block in texts for text in block))
    row = {text: i for i, text in enumerate(unique)}
    vectors = encoder.encode(unique)
    return [vectors[[row[text] for text in block]] for block in texts]

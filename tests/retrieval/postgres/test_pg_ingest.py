from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from groundtone.errors import DocumentError, ProjectError
from retrieval.postgres import ingest, jobs
from retrieval.postgres.connect import Database
from retrieval.postgres.index import PgIndex
from tests.retrieval.hashing_encoder import HashingEncoder

ROOT = Path(__file__).resolve().parents[3]
_WORKER = """
import dataclasses, json, sys, time
from pathlib import Path
from retrieval.postgres.ingest import work
from tests.retrieval.hashing_encoder import HashingEncoder

class Slow(HashingEncoder):
    def encode(self, texts):
        time.sleep(float(sys.argv[4]))
        return super().encode(texts)

report = work(sys.argv[1], Path(sys.argv[2]), encoder=Slow(), schema=sys.argv[3], lease_s=2.0)
print(json.dumps(dataclasses.asdict(report)))
"""


@pytest.fixture
def database(dsn: str, schema: str, pg: PgIndex) -> Iterator[Database]:
    """Of an index that holds the three small documents."""
    opened = Database(dsn, schema=schema)
    yield opened
    opened.close()


def wait_for(found: Callable[[], bool]) -> None:
    """Until it is so; the test's own time limit ends what never becomes so."""
    while not found():
        time.sleep(0.1)


def test_three_workers_share_the_files_and_a_killed_one_is_replaced(dsn: str, schema: str, tmp_path: Path) -> None:
    for n in range(12):
        (tmp_path / f"page-{chr(97 + n)}.md").write_text(
            f"# Page\n\nThis is what page {chr(97 + n) * 3} says of bikes.\n"
        )
    PgIndex.open(dsn, encoder=HashingEncoder(), schema=schema).close()
    assert len(ingest.enqueue(dsn, tmp_path, schema=schema).sources) == 12

    def start(delay_s: float) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", _WORKER, dsn, str(tmp_path), schema, str(delay_s)],
            stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip

    stuck = start(600.0)  # holds one file until it is killed, and keeps its lease
    wait_for(lambda: ingest.status(dsn, schema=schema)[0].running == 1)
    others = [start(0.02), start(0.02)]
    wait_for(lambda: ingest.status(dsn, schema=schema)[0].done == 11)
    time.sleep(2.5)
    assert ingest.status(dsn, schema=schema)[0] == jobs.JobCounts(waiting=0, running=1, done=11, failed=0)
    stuck.send_signal(signal.SIGKILL)
    stuck.wait()
    reports = [json.loads(worker.communicate()[0]) for worker in others]
    assert sum(report["read"] for report in reports) == 12, "each file by one worker"
    assert all(report["failed"] == report["lost"] == report["unchanged"] == 0 for report in reports)
    with psycopg.connect(dsn) as connection:
        tries = connection.execute(f"SELECT tries, count(*) FROM {schema}.jobs GROUP BY tries ORDER BY 1").fetchall()
        assert tries == [(1, 11), (2, 1)]
        rows = connection.execute(f"SELECT source, count(*) FROM {schema}.documents GROUP BY source").fetchall()
        assert sorted(rows) == [(f"page-{chr(97 + n)}.md", 1) for n in range(12)]
    with PgIndex.open(dsn, encoder=HashingEncoder(), schema=schema) as index:
        assert index.passage_count == 12
        assert len(index.search("what does a page say of bikes", k=12)) == 12


def test_a_worker_that_lost_its_lease_stores_nothing(
    dsn: str, database: Database, schema: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another worker takes the file while this one still encodes it."""
    (folder / "returns.txt").write_text("Returns\n\nA bike can be returned within 55 days.\n")
    ingest.enqueue(dsn, folder, schema=schema)

    class Robbed(HashingEncoder):
        def encode(self, texts):  # type: ignore[no-untyped-def]
            with database.connection() as connection:
                connection.execute("UPDATE jobs SET claim = claim + 1000 WHERE state = 'running'")
                connection.execute("UPDATE jobs SET lease_until = now() WHERE state = 'running'")
            monkeypatch.setattr(Robbed, "encode", HashingEncoder.encode)
            return super().encode(texts)

    report = ingest.work(dsn, folder, encoder=Robbed(), schema=schema)
    assert report == ingest.WorkReport(read=1, unchanged=2, failed=0, lost=1)
    assert ingest.status(dsn, schema=schema)[0].done == 3


def test_a_bad_file_is_tried_again_and_then_given_up_with_its_reason(
    dsn: str, schema: str, pg: PgIndex, folder: Path
) -> None:
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 broken")
    (folder / "delivery.md").write_bytes(b"\x00\x01\x02")
    ingest.enqueue(dsn, folder, schema=schema)
    report = ingest.work(dsn, folder, encoder=HashingEncoder(), schema=schema, max_tries=2)
    assert (report.unchanged, report.failed) == (2, 4)
    counts, failures = ingest.status(dsn, schema=schema)
    assert counts == jobs.JobCounts(waiting=0, running=0, done=2, failed=2)
    reasons = {f.source: f.reason for f in failures}
    assert set(reasons) == {"broken.pdf", "delivery.md"}
    assert reasons["delivery.md"].endswith("the version read before stays in the index")
    assert "delivery.md" in pg.documents()
    (folder / "delivery.md").write_text("# Delivery\n\nBy boat.\n")
    (folder / "broken.pdf").unlink()
    ingest.enqueue(dsn, folder, schema=schema)
    assert ingest.work(dsn, folder, encoder=HashingEncoder(), schema=schema).read == 1
    assert ingest.status(dsn, schema=schema)[0] == jobs.JobCounts(waiting=0, running=0, done=3, failed=0)


def test_a_document_that_no_longer_tells_its_readers_goes(dsn: str, schema: str, pg: PgIndex, folder: Path) -> None:
    (folder / "delivery.md").write_text("---\nGroups: [board\n---\n# Delivery\n\nBy boat.\n")
    ingest.enqueue(dsn, folder, schema=schema)
    assert ingest.work(dsn, folder, encoder=HashingEncoder(), schema=schema).failed == 1, "it is not tried again"
    assert pg.documents() == ["people/leave.md", "returns.txt"]
    (failure,) = ingest.status(dsn, schema=schema)[1]
    assert "shown to nobody" in failure.reason
    assert "stays in the index" not in failure.reason
    (folder / "delivery.md").write_text("---\nGroups: [board]\n---\n# Delivery\n\nBy boat.\n")
    assert pg.update(folder).failed == ()
    assert [hit.passage.source for hit in pg.search("by boat", groups=["board"], k=1)] == ["delivery.md"]


def test_a_worker_that_lost_its_lease_removes_nothing(database: Database, folder: Path) -> None:
    with database.connection() as connection:
        jobs.queue(connection, ["delivery.md"])
        job = jobs.take(connection, worker="w", lease_s=0.0, max_tries=3)
        assert job is not None
        time.sleep(0.01)
        taken_over = jobs.take(connection, worker="x", lease_s=60, max_tries=3)
        assert taken_over is not None
        assert not jobs.give_up(connection, job, "too late")
        assert jobs.give_up(connection, taken_over, "in time")


def test_documents_of_a_folder_that_cannot_be_listed_stay(
    dsn: str, schema: str, pg: PgIndex, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def failing(path: Path) -> object:
        if Path(path).name == "people":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr("retrieval.loaders.os.scandir", failing)
    queued = ingest.enqueue(dsn, folder, schema=schema)
    assert (queued.removed, [f.source for f in queued.failed], queued.skipped) == (0, ["people"], ())
    assert "people/leave.md" in pg.documents()
    assert ingest.status(dsn, schema=schema)[0].total == 3, "its job is kept with it"


def test_a_file_that_kills_its_workers_is_given_up(database: Database) -> None:
    with database.connection() as connection:
        jobs.queue(connection, ["delivery.md"])
        for _ in range(2):
            assert jobs.take(connection, worker="w", lease_s=0.0, max_tries=2) is not None
            time.sleep(0.01)
        assert jobs.take(connection, worker="w", lease_s=0.0, max_tries=2) is None
        assert ["2 workers stopped" in f.reason for f in jobs.failures(connection)] == [True]


def test_a_file_queued_while_it_is_read_is_read_again(database: Database) -> None:
    with database.connection() as connection:
        jobs.queue(connection, ["delivery.md"])
        job = jobs.take(connection, worker="w", lease_s=60, max_tries=3)
        assert job is not None
        jobs.queue(connection, ["delivery.md"])
        assert jobs.take(connection, worker="x", lease_s=60, max_tries=3) is None
        assert jobs.renew(connection, job, lease_s=60)
        jobs.finish(connection, job, outcome="read")
        again = jobs.take(connection, worker="x", lease_s=60, max_tries=3)
        assert again is not None
        assert again.claim > job.claim
        assert not jobs.renew(connection, job, lease_s=60)


def test_workers_that_ask_together_get_different_files(database: Database) -> None:
    with database.connection() as one, database.connection() as two:
        jobs.queue(one, ["delivery.md", "returns.txt"])
        with one.transaction():
            first = jobs.take(one, worker="a", lease_s=60, max_tries=3)
            second = jobs.take(two, worker="b", lease_s=60, max_tries=3)  # does not wait for the open transaction
            assert first is not None
            assert second is not None
            assert first.source != second.source


def test_a_bug_or_ctrl_c_gives_the_file_back_at_once(dsn: str, schema: str, pg: PgIndex, folder: Path) -> None:
    class Broken(HashingEncoder):
        def encode(self, texts):  # type: ignore[no-untyped-def]
            raise KeyboardInterrupt

    (folder / "returns.txt").write_text("Returns\n\nA bike can be returned within 55 days.\n")
    ingest.enqueue(dsn, folder, schema=schema)
    with pytest.raises(KeyboardInterrupt):
        ingest.work(dsn, folder, encoder=Broken(), schema=schema)
    assert ingest.status(dsn, schema=schema)[0].running == 0
    assert ingest.work(dsn, folder, encoder=HashingEncoder(), schema=schema).read == 1


def test_a_job_cannot_lead_out_of_the_folder(dsn: str, database: Database, schema: str, folder: Path) -> None:
    (folder.parent / "private.md").write_text("# Private\n\nNot for the index.\n")
    with database.connection() as connection:
        jobs.queue(connection, ["../private.md"])
    ingest.work(dsn, folder, encoder=HashingEncoder(), schema=schema, max_tries=1)
    assert "outside" in ingest.status(dsn, schema=schema)[1][0].reason


def test_enqueueing_needs_tables_and_a_folder(dsn: str, schema: str, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# A\n\nSomething.\n")
    with pytest.raises(ProjectError, match="holds no index in schema"):
        ingest.enqueue(dsn, tmp_path, schema=schema)
    with pytest.raises(DocumentError, match="does not exist"):
        ingest.enqueue(dsn, tmp_path / "gone", schema=schema)

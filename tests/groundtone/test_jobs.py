"""Jobs: they end as they say, one at a time, outlive who started them, and only what is ours is signalled."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from groundtone.errors import UserError
from groundtone.jobs import KEPT, Job, Jobs, progress_in

SLEEPER = (
    "import sys, time\n"
    "print('reading: 0/4', file=sys.stderr)\n"
    "try:\n"
    "    time.sleep(60)\n"
    "except KeyboardInterrupt:\n"
    "    print('stopped by the user')\n"
    "    sys.exit(130)\n"
)


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    """The jobs of an empty folder; what still runs at the end is cancelled."""
    found = Jobs(tmp_path / "jobs")
    yield found
    for job in found.listed():
        found.cancel(job.id)
    until(lambda: all(job.state != "running" for job in found.listed()))


def until(true: Callable[[], bool]) -> None:
    """Wait until something holds, at most as long as a slow machine may take."""
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def run(jobs: Jobs, code: str, kind: str = "index") -> Job:
    """Start a line of Python in the folder above."""
    return jobs.start(kind, [sys.executable, "-c", code], cwd=jobs.folder.parent)


def ended(jobs: Jobs, job: Job) -> Job:
    """The job when it is over."""
    until(lambda: now(jobs, job).state != "running")
    return now(jobs, job)


def now(jobs: Jobs, job: Job) -> Job:
    """The job as it stands."""
    return next(other for other in jobs.listed() if other.id == job.id)


def test_a_job_that_ends_well_keeps_its_log_and_code(jobs: Jobs) -> None:
    started = run(jobs, "import os; print('in', os.getcwd()); print('x\\rreading: 3/4')")
    job = ended(jobs, started)
    assert (job.state, job.code, job.kind) == ("done", 0, "index")
    assert job.finished > job.created
    assert jobs.log(job.id) == f"in {jobs.folder.parent}\nreading: 3/4\n"


def test_a_job_that_fails_says_so(jobs: Jobs) -> None:
    job = ended(jobs, run(jobs, "import sys; sys.exit('no documents')"))
    assert (job.state, job.code) == ("failed", 1)
    assert "no documents" in jobs.log(job.id)


def test_a_command_that_is_not_there_is_a_failed_job(jobs: Jobs) -> None:
    job = ended(jobs, jobs.start("tune", ["/no/such/program"], cwd=jobs.folder.parent))
    assert (job.state, job.code) == ("failed", 127)
    assert "No such file" in jobs.log(job.id)


def test_one_at_a_time_and_cancelling_is_ctrl_c(jobs: Jobs) -> None:
    job = run(jobs, SLEEPER)
    until(lambda: "reading" in jobs.log(job.id))
    with pytest.raises(UserError, match=rf"index \({job.id}\) is still running"):
        run(jobs, "print()")
    assert jobs.cancel(job.id)
    over = ended(jobs, job)
    assert (over.state, over.code) == ("cancelled", 130)
    assert "stopped by the user" in jobs.log(job.id)
    assert not jobs.cancel(job.id)
    assert ended(jobs, run(jobs, "print()")).state == "done"


def test_a_job_has_a_session_of_its_own(jobs: Jobs) -> None:
    job = ended(jobs, run(jobs, "import os; print(os.getsid(0))"))
    assert int(jobs.log(job.id)) == job.pid != os.getsid(0)


def test_a_killed_supervisor_leaves_an_interrupted_job(jobs: Jobs) -> None:
    job = run(jobs, SLEEPER)
    until(lambda: now(jobs, job).worker > 0)
    os.kill(job.pid, 9)
    until(lambda: now(jobs, job).state == "interrupted")
    with pytest.raises(UserError, match="still running"):  # its command is, and holds the lock
        run(jobs, "print()")
    os.kill(now(jobs, job).worker, 9)
    until(lambda: _starts(jobs))


def _starts(jobs: Jobs) -> bool:
    try:
        ended(jobs, run(jobs, "print()"))
    except UserError:
        return False
    return True


def test_a_process_that_only_has_the_same_number_is_never_signalled(jobs: Jobs) -> None:
    job = ended(jobs, run(jobs, "print()"))
    path = jobs.folder / job.id / "job.json"
    stored = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(stored | {"status": "running", "pid": os.getpid()}), encoding="utf-8")
    assert now(jobs, job).state == "interrupted"
    assert not jobs.cancel(job.id)  # SIGTERM would have ended this test


def test_old_jobs_are_forgotten_and_looking_makes_nothing(jobs: Jobs) -> None:
    assert jobs.latest() is None
    assert not jobs.folder.exists()
    first = ended(jobs, run(jobs, "print()"))
    stored = json.loads((jobs.folder / first.id / "job.json").read_text(encoding="utf-8"))
    for number in range(KEPT + 2):
        folder = jobs.folder / f"tune-20260101-000000-{number:04x}"
        folder.mkdir()
        (folder / "job.json").write_text(json.dumps(stored | {"id": folder.name, "created": "2026"}), encoding="utf-8")
    newest = ended(jobs, run(jobs, "print()"))
    kept = jobs.listed()
    assert [job.id for job in kept[:2]] == [newest.id, first.id]
    assert KEPT <= len(kept) <= KEPT + 1
    assert jobs.latest() == newest


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"id": "index-20260101-000000-0000"}'])
def test_a_broken_job_file_is_passed_over(jobs: Jobs, text: str) -> None:
    folder = jobs.folder / "index-20260101-000000-0000"
    folder.mkdir(parents=True)
    (folder / "job.json").write_text(text, encoding="utf-8")
    assert jobs.listed() == []
    assert jobs.log(folder.name) == ""


@pytest.mark.parametrize("job_id", ["../../etc", "", "index-20260101-000000-0000/../x"])
def test_an_id_is_never_a_path(jobs: Jobs, job_id: str) -> None:
    assert jobs.log(job_id) == ""
    assert not jobs.cancel(job_id)


def test_progress_is_the_last_counted_stage() -> None:
    found = progress_in("reading: 0/4\nreading: 3/4\nNext: groundtone tune   1/2\nwarning: 5")
    assert found is not None
    assert (found.stage, found.done, found.total, found.share) == ("reading", 3, 4, 0.75)
    assert progress_in("reading: 2/0\nhello") is None

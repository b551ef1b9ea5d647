"""Long work beside the process that asked for it: one command at a time, with its log, its state and a way to stop it.

`python -m groundtone.jobs` supervises the command in a session of its own, so that a page may be reloaded and the
dashboard stopped without ending an hour of training. The supervisor holds a file lock, which the kernel frees however
it ends: there is no stale lock to clear. A process is signalled only while its start time is the one written down, for
a process id is used again sooner or later.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Literal

from groundtone.errors import UserError
from groundtone.files import as_user_error, now_iso, write_atomic

__all__ = ["Job", "Jobs", "Progress", "progress_in"]

JobState = Literal["running", "done", "failed", "cancelled", "interrupted"]
KEPT = 20  # finished jobs, with their logs
GRACE_S = (20.0, 5.0)  # after Ctrl-C, for writing the run's manifest; after SIGTERM, before SIGKILL
TAIL_BYTES = 64_000
POLL_S = 0.1
_ID = re.compile(r"[a-z]+-\d{8}-\d{6}-[0-9a-f]{4}")
_PROGRESS = re.compile(r"(?P<stage>[^\s:][^:\n]{0,60}): (?P<done>\d+)/(?P<total>\d+)")


@dataclass(frozen=True, slots=True)
class Job:
    """One command as its job.json tells it. `pid` and `born` are the supervisor's, `worker` the command's process id.

    `code` is the command's exit code, None until it ended.
    """

    id: str
    kind: str
    command: tuple[str, ...]
    created: str
    pid: int
    born: str
    status: JobState = "running"
    worker: int = 0
    finished: str = ""
    code: int | None = None

    @property
    def state(self) -> JobState:
        """The status, or "interrupted" where it says running and its supervisor is gone."""
        gone = self.status == "running" and not (self.born and _born(self.pid) == self.born)
        return "interrupted" if gone else self.status


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a stage is; `total` is at least 1."""

    stage: str
    done: int
    total: int

    @property
    def share(self) -> float:
        """Between 0 and 1."""
        return min(1.0, self.done / self.total)


class Jobs:
    """The jobs in a folder. Looking touches nothing; the folder appears with the first job."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def listed(self) -> list[Job]:
        """Every readable job, newest first."""
        found = [_read(path) for path in self.folder.glob("*/job.json")]
        return sorted((job for job in found if job), key=lambda job: (job.created, job.id), reverse=True)

    def latest(self) -> Job | None:
        """The job that runs, or the one that ended last; None where none was started."""
        return next(iter(self.listed()), None)

    def start(self, kind: str, command: Sequence[str], *, cwd: Path) -> Job:
        """Start a command that reads nothing, in `cwd`. Raises UserError while another job of this folder runs."""
        assert re.fullmatch(r"[a-z]+", kind), f"a job's kind becomes part of a folder name, got {kind!r}"
        lock = self._lock()
        try:
            job_id = f"{kind}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
            path = self.folder / job_id
            path.mkdir()
            with (path / "log.txt").open("ab") as log:
                supervisor = subprocess.Popen(
                    [sys.executable, "-P", "-m", "groundtone.jobs", str(path.resolve()), str(lock.fileno())],
                    cwd=cwd,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                    pass_fds=(lock.fileno(),),
                    start_new_session=True,
                )
        except OSError as error:
            raise as_user_error(error, self.folder) from error
        finally:
            lock.close()  # the supervisor's copy keeps it
        job = Job(job_id, kind, tuple(command), now_iso(), supervisor.pid, _born(supervisor.pid))
        _write(path, job)
        with supervisor.stdin as go:  # type: ignore[union-attr]
            go.write(b"go\n")  # only now: from here on job.json is the supervisor's
        threading.Thread(target=supervisor.wait, daemon=True).start()
        self._forget_old()
        return job

    def cancel(self, job_id: str) -> bool:
        """Ask a running job to stop, as Ctrl-C does; whether there was one to ask. Its state says when it ended."""
        job = self._job(job_id)
        if job is None or job.state != "running":
            return False
        try:
            os.kill(job.pid, signal.SIGTERM)
        except ProcessLookupError:
            return False
        return True

    def log(self, job_id: str) -> str:
        """The last of what the command printed, both streams, with "\\r" lines reduced to what stood there last."""
        if self._job(job_id) is None:
            return ""
        try:
            with (self.folder / job_id / "log.txt").open("rb") as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(0, file.tell() - TAIL_BYTES))
                text = file.read().decode("utf-8", "replace")
        except OSError:
            return ""
        return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))

    def _job(self, job_id: str) -> Job | None:
        return _read(self.folder / job_id / "job.json") if _ID.fullmatch(job_id) else None

    def _lock(self) -> IO[bytes]:
        if os.name != "posix":
            raise UserError("work is started from the dashboard on Linux and macOS only: run the command in a terminal")
        import fcntl

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / "lock").open("ab")
        except OSError as error:
            raise as_user_error(error, self.folder) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.close()
            running = self.latest()
            what = f"{running.kind} ({running.id})" if running else "another command"
            raise UserError(f"{what} is still running in this project: wait for it, or cancel it") from error
        return lock

    def _forget_old(self) -> None:
        for job in [job for job in self.listed() if job.state != "running"][KEPT:]:
            for name in ("log.txt", "job.json"):
                (self.folder / job.id / name).unlink(missing_ok=True)
            (self.folder / job.id).rmdir()


def progress_in(log: str) -> Progress | None:
    """The last "stage: done/total" of a log; None where no stage has a known length."""
    for line in reversed(log.splitlines()):
        match = _PROGRESS.fullmatch(line.strip())
        if match and int(match["total"]) > 0:
            return Progress(match["stage"], int(match["done"]), int(match["total"]))
    return None


def _read(path: Path) -> Job | None:
    try:
        data: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        known = {field.name: data[field.name] for field in fields(Job)}
        return Job(**{**known, "command": tuple(known["command"])})
    except (OSError, ValueError, KeyError, TypeError):  # half-written, foreign, or removed just now
        return None


def _write(path: Path, job: Job) -> None:
    write_atomic(path / "job.json", json.dumps(asdict(job), indent=2) + "\n")


def _born(pid: int) -> str:
    """When a living process began, in the system's own words; "" where there is none, or only its exit status."""
    if sys.platform.startswith("linux"):
        try:
            after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
        except OSError:
            return ""
        state, *rest = after_name.split()
        return "" if state in "ZX" else rest[18]  # field 22, starttime, in clock ticks since boot: proc(5)
    said = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, born = said.stdout.strip().partition(" ")
    return "" if state.startswith("Z") else born.strip()


def _supervise(path: Path, lock: int) -> None:
    """Run the job's command to its end, or until SIGTERM asks for its end, and write down how it ended."""
    asked = threading.Event()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # an ignored Ctrl-C would be inherited by the command
    signal.signal(signal.SIGTERM, lambda *_: asked.set())
    job = _read(path / "job.json")
    assert job is not None, "job.json is written before the supervisor is told to go"
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with (path / "log.txt").open("ab") as log:
        try:
            # The lock goes on to the command: should this process be killed, the next job still waits for the command.
            worker = subprocess.Popen(
                job.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=(lock,), env=environment
            )
        except OSError as error:
            log.write(f"{job.command[0]}: {error.strerror}\n".encode())
            log.flush()  # whoever reads that it failed reads the log next
            _write(path, replace(job, status="failed", finished=now_iso(), code=127))
            return
    job = replace(job, worker=worker.pid)
    _write(path, job)
    while worker.poll() is None and not asked.wait(POLL_S):
        continue
    stopped = worker.poll() is None
    code = _stop(worker) if stopped else worker.wait()
    status: JobState = "cancelled" if stopped else "done" if code == 0 else "failed"
    os.close(lock)  # first: whoever reads that it ended may start the next one
    _write(path, replace(job, status=status, finished=now_iso(), code=code))


def _stop(worker: subprocess.Popen[bytes]) -> int:
    """Ctrl-C first, so that the run is marked as stopped by the user; then less and less politely."""
    for ask, wait_s in zip((signal.SIGINT, signal.SIGTERM), GRACE_S, strict=True):
        worker.send_signal(ask)
        try:
            return worker.wait(wait_s)
        except subprocess.TimeoutExpired:
            continue
    worker.kill()
    return worker.wait()


if __name__ == "__main__":
    if sys.stdin.readline() == "go\n":
        _supervise(Path(sys.argv[1]), int(sys.argv[2]))

"""Reading files in a process of its own, so that a hostile one costs its own document and nothing else.

The worker gets one request per line on its standard input and answers each with one line of JSON: nothing is unpickled,
and the parent imports no parser. It has a limit of memory (where the system has one: RLIMIT_AS), and is killed and
started anew when a file takes too long, runs out of memory or crashes it. Time is the processor's (by the clock five
times as much, and on Windows by the clock alone), so that a busy machine gives up on no file that a quiet one reads.
Small files of plain text are read in the parent: no parser of theirs can hang. The worker starts with the first file
that needs it.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from groundtone.errors import DocumentError, ReadersError
from groundtone.types import Document
from retrieval.loaders import MAX_FILE_MB, load

MAX_SECONDS = 60.0
MAX_MEMORY_MB = 1500
_PLAIN = frozenset({".md", ".markdown", ".txt", ".csv", ".tsv"})
_PLAIN_BYTES = 2_000_000  # larger ones go to the worker, whatever they are
_START_S = 120.0  # a busy machine may take a while to start Python; this is no file's fault
_BY_THE_CLOCK = 5 if sys.platform != "win32" else 1  # times the limit in seconds of the processor
_GRACE_S = 10  # the worker ends itself this long after the limit, should its parent be gone
_START = "import sys; sys.path[:] = {path!r}; from retrieval.reading import serve; serve()"


class Reader:
    """A worker process that turns files into documents: `with Reader() as read: document = read(path, root)`.

    Not for several threads at once. `max_seconds` (of the processor) and `max_memory_mb` are per file; `max_file_mb` is
    its size on disk.
    """

    def __init__(
        self,
        *,
        max_seconds: float = MAX_SECONDS,
        max_memory_mb: int = MAX_MEMORY_MB,
        max_file_mb: int = MAX_FILE_MB,
    ) -> None:
        self.max_seconds = max_seconds
        self.max_memory_mb = max_memory_mb
        self.max_file_mb = max_file_mb
        self._worker: subprocess.Popen[bytes] | None = None
        self._answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __call__(self, path: Path, root: Path) -> Document:
        """The document in a file, as `retrieval.loaders.load` makes it.

        Raises DocumentError as `load` does, and where the file reaches a limit or crashes the worker.
        """
        if path.suffix.lower() in _PLAIN and _size(path) <= _PLAIN_BYTES:
            return load(path, root, max_file_mb=self.max_file_mb)
        source = path.relative_to(root).as_posix()
        answer = self._ask({"path": str(path), "root": str(root), "max_file_mb": self.max_file_mb}, source)
        if "error" in answer:
            if answer.get("spent"):  # its memory may be in pieces
                self.close()
            raise (ReadersError if answer.get("readers") else DocumentError)(answer["error"])
        return Document.of(answer["source"], answer["text"], **answer["meta"])

    def close(self) -> None:
        """End the worker at once. The next file starts another."""
        worker, self._worker = self._worker, None
        if worker is None:
            return
        worker.kill()
        worker.wait()
        for stream in (worker.stdin, worker.stdout):
            assert stream is not None
            stream.close()

    def _ask(self, request: dict[str, Any], source: str) -> dict[str, Any]:
        worker = self._started()
        assert worker.stdin is not None
        try:
            worker.stdin.write(json.dumps(request).encode() + b"\n")
            worker.stdin.flush()
            line = self._answers.get(timeout=_BY_THE_CLOCK * self.max_seconds)
        except queue.Empty:
            self.close()
            raise DocumentError(f"{source}: {self._too_long()}") from None
        except BrokenPipeError:
            line = b""
        if not line.endswith(b"\n"):
            code = worker.wait()
            self.close()
            timed_out = sys.platform != "win32" and code == -signal.SIGPROF
            raise DocumentError(f"{source}: {self._too_long() if timed_out else self._crash(code)}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _started(self) -> subprocess.Popen[bytes]:
        if self._worker is None or self._worker.poll() is not None:
            self.close()
            arguments = [sys.executable, "-P", "-c", _START.format(path=sys.path)]
            limits = [str(self.max_memory_mb), str(self.max_seconds)]
            self._worker = subprocess.Popen(
                [*arguments, *limits],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # parsers warn there about files that they read all the same
                env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"},
            )
            self._answers = queue.SimpleQueue()
            assert self._worker.stdout is not None
            threading.Thread(target=_pump, args=(self._worker.stdout, self._answers), daemon=True).start()
            self._await_start()
        return self._worker

    def _await_start(self) -> None:
        """Wait for the worker's first line, so that starting does not count as reading."""
        try:
            ready = self._answers.get(timeout=_START_S)
        except queue.Empty:
            ready = b""
        if not ready:
            self.close()
            raise DocumentError(
                f"the process that reads files does not start with {self.max_memory_mb} MB of memory; raise "
                "retrieval.max_memory_mb"
            )

    def _too_long(self) -> str:
        limit = f"{self.max_seconds:g} s"
        return f"reading took more than the limit of {limit}; split the file, or raise retrieval.max_seconds"

    def _crash(self, code: int) -> str:
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return (
            f"its reader crashed ({how}): the file is broken, or needs more than {self.max_memory_mb} MB of memory; "
            "save it again, or raise retrieval.max_memory_mb"
        )


def _pump(answers: IO[bytes], into: queue.SimpleQueue[bytes]) -> None:
    """Hand each answer over as it comes; an empty one says that the worker has ended."""
    try:
        for line in answers:
            into.put(line)
    except ValueError:  # the pipe was closed on this side, with the worker
        return
    into.put(b"")


def _size(path: Path) -> int:
    """Bytes of a file; of one that cannot be looked at none, so that `load` says why."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def serve() -> None:
    """The worker: answers requests until its input ends. Its arguments are the limits in MB and in seconds."""
    max_memory_mb, max_seconds = int(sys.argv[1]), float(sys.argv[2])
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a parser that prints must not speak into the answers
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    _limit_memory(max_memory_mb)
    answers.write(b"ready\n")
    answers.flush()
    for line in sys.stdin.buffer:
        _set_timers(max_seconds)
        answers.write(json.dumps(_answer(json.loads(line), max_memory_mb)).encode() + b"\n")
        answers.flush()
        _set_timers(0)


def _set_timers(seconds: float) -> None:
    """End this process after so many seconds of the processor, or five times that by the clock; 0: unset."""
    if sys.platform != "win32":  # their signals' default is to end the process, also inside a parser's C code
        signal.setitimer(signal.ITIMER_PROF, seconds)
        signal.setitimer(signal.ITIMER_REAL, _BY_THE_CLOCK * seconds + _GRACE_S if seconds else 0)


def _limit_memory(megabytes: int) -> None:
    if sys.platform == "win32":  # no such limit there; time and size limits remain
        return
    import resource

    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    wanted = megabytes * 1_000_000
    resource.setrlimit(resource.RLIMIT_AS, (wanted if hard < 0 else min(wanted, hard), hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash leaves no image of the memory


def _answer(request: dict[str, Any], max_memory_mb: int) -> dict[str, Any]:
    path, root = Path(request["path"]), Path(request["root"])
    try:
        document = load(path, root, max_file_mb=request["max_file_mb"])
    except DocumentError as error:
        return {"error": str(error), "readers": isinstance(error, ReadersError)}
    except MemoryError:
        source = path.relative_to(root).as_posix()
        return {
            "error": f"{source}: reading needs more than the limit of {max_memory_mb} MB of memory; split the file, or "
            "raise retrieval.max_memory_mb",
            "spent": True,
        }
    return {"source": document.source, "text": document.text, "meta": document.meta}

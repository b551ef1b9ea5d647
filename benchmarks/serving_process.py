"""A server as a process of its own, and the plain HTTP client that measures it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import yaml

from groundtone import pipeline
from groundtone.project import Project
from groundtone.settings import load_settings

DATA = Path(__file__).resolve().parents[1] / "data"
MAX_TOKENS = 48


def check(port: int, question: str, expected: str) -> bool:
    """Whether the answer is lost or another one; every second question is streamed."""
    if question.encode()[-2] % 2:
        _, text = streamed(port, question, model="base")
        return text != expected
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    text = whole(connection, question)
    connection.close()
    return text != expected


def whole(connection: HTTPConnection, question: str) -> str:
    """The content of a whole reply."""
    connection.request("POST", "/v1/chat/completions", body(question, model="base", stream=False), JSON)
    found = json.loads(connection.getresponse().read())
    return str(found["choices"][0]["message"]["content"])


def streamed(port: int, question: str, *, model: str) -> tuple[float, str]:
    """Seconds to the first piece, and the text of all."""
    connection = HTTPConnection("127.0.0.1", port, timeout=120)
    began = time.perf_counter()
    connection.request("POST", "/v1/chat/completions", body(question, model=model, stream=True), JSON)
    first, text = 0.0, ""
    for line in connection.getresponse():
        if line.startswith(b"data: {"):
            choices = json.loads(line[6:])["choices"]
            piece = choices[0]["delta"].get("content") if choices else None
            if piece and not first:
                first = time.perf_counter() - began
            text += piece or ""
    connection.close()
    return first, text


JSON = {"Content-Type": "application/json"}


def body(question: str, *, model: str, stream: bool) -> bytes:
    """A chat request."""
    messages = [{"role": "user", "content": question}]
    return json.dumps({"model": model, "messages": messages, "stream": stream, "max_tokens": MAX_TOKENS}).encode()


def make_project(root: Path, config: dict[str, Any]) -> Project:
    """The sample handbook, indexed in a folder of its own."""
    root.mkdir(exist_ok=True)
    given = {"documents": {"folder": str(DATA / "handbook")}, **config}
    (root / "groundtone.yaml").write_text(yaml.safe_dump(given))
    project = Project(root)
    pipeline.index(project, load_settings(root))
    return project


@contextmanager
def server(project: Project, *overrides: str) -> Iterator[tuple[int, int]]:
    """The port and the process id of a server of the project."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    flags = [flag for override in (f"server.port={port}", *overrides) for flag in ("--set", override)]
    command = [sys.executable, "-m", "groundtone.server", "--project", str(project.root), *flags]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            while not answers(port):
                if process.poll() is not None:
                    raise RuntimeError(f"the server ended with code {process.returncode}: {' '.join(command)}")
                time.sleep(0.1)
            yield port, process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def answers(port: int) -> bool:
    """Whether the server is up."""
    try:
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False


def memory_mb(process: int) -> float:
    """Resident memory of a process (Linux)."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def processor_s(process: int) -> float:
    """Seconds of processor time that a process has used, its own and the system's for it (Linux)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

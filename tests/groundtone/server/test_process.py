"""`groundtone serve` as people start it, and a server in front of another one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from groundtone.project import Project
from groundtone.server.run import listen
from tests.groundtone.server.conftest import REPLY, Served, Start, make_project, until


def command(project: Project, port: int) -> list[str]:
    where = ["--project", str(project.root), "--port", str(port)]
    return [sys.executable, "-m", "groundtone.cli.main", "serve", *where]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_it_serves_refuses_a_taken_port_and_stops_when_told(scripted_project: Project) -> None:
    port = free_port()
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command(scripted_project, port), stderr=subprocess.PIPE, text=True, env=environment) as first:

        def up() -> bool:
            assert first.poll() is None, "the server ended"
            try:
                return httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
            except httpx.TransportError:
                return False

        until(up)
        second = subprocess.run(
            command(scripted_project, port), capture_output=True, text=True, env=environment, check=False
        )
        assert second.returncode == 2
        assert f"port {port} on 127.0.0.1 cannot be used" in second.stderr
        assert "Traceback" not in second.stderr
        first.send_signal(signal.SIGTERM)
        _, shown = first.communicate(timeout=30)
    assert first.returncode == 0
    assert "Traceback" not in shown


def test_a_server_behind_the_chat_backend_speaks_through_this_one(
    tmp_path: Path, scripted: Served, start: Start
) -> None:
    pytest.importorskip("langchain_openai")
    project = make_project(tmp_path / "front", model="openai:base")
    served = start(project, f"model.base_url={scripted.url}/v1")
    reply = served.ask(model="base")
    assert reply["choices"][0]["message"]["content"] == "Parcels are kept for 14 days."
    assert reply["usage"]["completion_tokens"] == len(REPLY.split())
    body = {"model": "base", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    assert "14 days" in "".join(httpx.post(f"{served.url}/v1/chat/completions", json=body, timeout=30).text.split("\n"))
    gone = make_project(tmp_path / "nobody", model="openai:base")
    lost = start(gone, f"model.base_url=http://127.0.0.1:{free_port()}/v1")
    refused = httpx.post(f"{lost.url}/v1/chat/completions", json=body | {"stream": False}, timeout=60)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "not_available")


def test_small_pieces_are_sent_at_once() -> None:
    with listen("127.0.0.1", 0) as listening:
        listening.listen()
        client = socket.create_connection(listening.getsockname())
        accepted, _ = listening.accept()
        with accepted, client:
            assert accepted.proto == socket.IPPROTO_TCP, "asyncio sets TCP_NODELAY on such sockets alone"

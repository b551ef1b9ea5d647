"""A hundred hostile requests: no 5xx, no hang, and the next good request is answered."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from groundtone.project import Project
from tests.groundtone.server.conftest import Start, until
from tests.groundtone.server.hostile import Attack, attacks, post, send


def test_a_hundred_hostile_requests_harm_nobody(tiny_project: Project, start: Start) -> None:
    served = start(tiny_project, "server.max_body_kb=64")
    good = served.ask(model="base", max_tokens=4)["choices"]
    sent = list(attacks(100, seed=7, max_body_bytes=64 * 1024))
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda attack: send(served.url, attack), sent))
    failed = [(a.name, s) for a, s in zip(sent, statuses, strict=True) if s is not None and s >= 500]
    assert failed == []
    assert {200, 400, 404, 413} <= set(statuses)
    assert served.ask(model="base", max_tokens=4)["choices"] == good


def test_a_body_that_never_ends_is_given_up(tiny_project: Project, start: Start) -> None:
    served = start(tiny_project, "server.body_timeout_s=0.3")
    attack = Attack("never ends", post(b'{"model": ', length=1000))
    assert send(served.url, attack) == 400


def test_a_client_that_reads_nothing_holds_no_place(tiny_project: Project, start: Start) -> None:
    served = start(tiny_project, "server.max_running=1", "server.max_waiting=0")
    place = urlsplit(served.url)
    body = b'{"model": "base", "stream": true, "max_tokens": 20, "messages": [{"role": "user", "content": "Hi"}]}'
    with socket.create_connection((place.hostname, place.port)) as silent:
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        silent.sendall(post(body))
        until(lambda: b"groundtone_replies_total{" in served.state.metrics.text() and served.state.desk.inside == 0)
        assert served.ask(model="base", max_tokens=2)["choices"]

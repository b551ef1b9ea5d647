"""Requests that nobody means well with, as raw bytes; `benchmarks/serving.py` sends a thousand of them."""

from __future__ import annotations

import json
import random
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

PATHS = (
    "/v1/models/../../etc/passwd",
    "/v1/models/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "/v1/models/%00",
    "/v1/models/" + "a" * 3000,
    "//v1///models//",
    "/..;/metrics",
    "/v1/chat/completions/../models",
    "/%ff%fe",
    "/v1/models/tune-20200101-000000-abcd%2f..%2f..",
    "/.groundtone/keys.json",
    "/docs/../.groundtone/keys.json",
)
ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1e308,
    2**70,
    "",
    "\ud83d",
    "\x00",
    [],
    {},
    [[]],
    [None],
    {"a": {"b": []}},
    "a" * 5000,
)
FIELDS = ("model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "stop", "n")


@dataclass(frozen=True, slots=True)
class Attack:
    """Bytes to send; `pause_s` between its two halves, then the answer is read, unless the client `leaves`."""

    name: str
    data: bytes
    pause_s: float = 0.0
    leaves: bool = False


def attacks(count: int, *, seed: int, max_body_bytes: int) -> Iterator[Attack]:
    """So many attacks of all kinds in turn, the same for the same seed."""
    random_ = random.Random(seed)
    kinds = (_odd_field, _odd_message, _broken_json, _path, _huge, _slow, _leaving, _broken_http, _deep, _odd_feedback)
    for n in range(count):
        yield kinds[n % len(kinds)](random_, max_body_bytes)


def send(url: str, attack: Attack, *, timeout_s: float = 30) -> int | None:
    """The status of the answer; None where the connection was closed without one, or the client left."""
    place = urlsplit(url)
    with socket.create_connection((place.hostname, place.port), timeout=timeout_s) as connection:
        half = len(attack.data) // 2
        try:
            connection.sendall(attack.data[:half])
            if attack.pause_s:
                time.sleep(attack.pause_s)
            connection.sendall(attack.data[half:])
            if attack.leaves:
                return None
            head = connection.recv(64)
        except (BrokenPipeError, ConnectionResetError):
            return None
    return int(head.split(b" ")[1]) if head.startswith(b"HTTP/1.1 ") else None


def post(body: bytes, path: str = "/v1/chat/completions", *, length: int | None = None) -> bytes:
    """A POST request as bytes; `length` is what it claims to be."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body) if length is None else length}\r\nConnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body


def _body(**changes: Any) -> bytes:
    good = {"model": "base", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 3}
    return json.dumps(good | changes).encode()


def _odd_field(random_: random.Random, _: int) -> Attack:
    field, value = random_.choice(FIELDS), random_.choice(ODD)
    return Attack(f"{field}={str(value)[:20]!r}", post(_body(**{field: value})))


def _odd_message(random_: random.Random, _: int) -> Attack:
    message = {
        "role": random_.choice(["user", "root", None]),
        "content": random_.choice(ODD),
        "name": random_.choice(ODD),
    }
    return Attack("odd message", post(_body(messages=[message] * random_.choice([1, 3]))))


def _broken_json(random_: random.Random, _: int) -> Attack:
    body = bytearray(_body())
    for _n in range(3):
        body[random_.randrange(len(body))] = random_.randrange(256)
    return Attack("broken JSON", post(bytes(body)))


def _path(random_: random.Random, _: int) -> Attack:
    method, path = random_.choice(["GET", "POST", "DELETE", "TRACE", "PUT"]), random_.choice(PATHS)
    return Attack(f"{method} {path[:40]}", f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())


def _huge(random_: random.Random, max_body_bytes: int) -> Attack:
    if random_.random() < 0.5:
        return Attack("claims to be huge", post(b"{}", length=10**12))
    return Attack("is huge", post(_body(messages=[{"role": "user", "content": "a" * max_body_bytes}])))


def _slow(random_: random.Random, _: int) -> Attack:
    return Attack("slow", post(_body()), pause_s=0.1)


def _leaving(random_: random.Random, _: int) -> Attack:
    body = _body(stream=random_.random() < 0.5, max_tokens=400)
    if random_.random() < 0.3:
        return Attack("leaves in the midst of its body", post(body, length=len(body) + 100), leaves=True)
    return Attack("leaves before the answer", post(body), leaves=True)


def _broken_http(random_: random.Random, _: int) -> Attack:
    lines = (
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # somebody speaks TLS
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfe\r\nConnection: close\r\n\r\n",
    )
    data = random_.choice(lines)
    return Attack("broken HTTP", data, leaves=data.startswith(b"\x16"))


def _deep(random_: random.Random, _: int) -> Attack:
    depth = random_.choice([500, 50_000])
    return Attack("deep JSON", post(b'{"model": "base", "messages": ' + b"[" * depth + b"]" * depth + b"}"))


def _odd_feedback(random_: random.Random, _: int) -> Attack:
    row = {
        "kind": random_.choice(["vote", "verdict", "x", None]),
        "prompt": random_.choice(ODD),
        "about": random_.choice(ODD),
    }
    return Attack("odd feedback", post(json.dumps(row).encode(), "/v1/feedback"))

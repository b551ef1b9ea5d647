"""How the server holds up: throughput, time to the first token, ten thousand answers, overhead, hostile requests.

    python -m benchmarks.serving [--requests 10000] [--hostile 1000] [--repeats 5]

Throughput is measured twice on the starter: 16 replies written together by the batching engine against one-at-a-time
`generate` of the same grounded prompts, and 16 HTTP clients against one on the arms base and base+rag (search, reader
and check included); ways take turns within a repeat. The ten thousand requests ask a scripted model for replies that
all differ, half of them streamed, and every reply is compared. Overhead is the server's time for one request minus the
scripted model's own. Servers are processes of their own; medians come with the smallest and largest of n repeats.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import yaml

from groundtone import pipeline, prompts
from groundtone.models.batching import BatchingEngine
from groundtone.models.generate import LocalModel
from groundtone.models.scripted import ScriptedModel
from groundtone.project import Project
from groundtone.settings import load_settings
from groundtone.types import Prompt
from tests.groundtone.server.hostile import attacks, send

DATA = Path(__file__).resolve().parents[1] / "data"
STREAMS = 16
MAX_TOKENS = 48


def main() -> None:
    """Run everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--hostile", type=int, default=1_000)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before it began")
    with tempfile.TemporaryDirectory() as folder:
        engine_throughput(given.repeats)
        http_throughput(Path(folder) / "starter", given.repeats)
        many_requests(Path(folder) / "scripted", given.requests, hostile=given.hostile)


def engine_throughput(repeats: int) -> None:
    """16 replies together against one at a time, on the same weights in one process."""
    asked = grounded_prompts(STREAMS)
    alone, shared = LocalModel.load("starter"), LocalModel.load("starter")
    engine = BatchingEngine(shared, rows=STREAMS)

    def one_by_one() -> list[Any]:
        return [alone.generate([prompt], max_new_tokens=MAX_TOKENS)[0] for prompt in asked]

    def together() -> list[Any]:
        return engine.view().generate(asked, max_new_tokens=MAX_TOKENS)

    same = sum(a == b for a, b in zip(one_by_one(), together(), strict=True))
    tokens = sum(generation.reply_tokens for generation in together())
    times = [(timed(one_by_one), timed(together)) for _ in range(repeats)]
    engine.close()
    print(f"\nengine, {STREAMS} grounded prompts, {tokens} tokens of reply, {same} of {STREAMS} replies identical")
    print(f"  one at a time  {spread([tokens / a for a, _ in times])} tokens/s")
    print(f"  together       {spread([tokens / b for _, b in times])} tokens/s")
    print(f"  together is    {spread([a / b for a, b in times], digits=2)} times as fast")


def http_throughput(root: Path, repeats: int) -> None:
    """16 clients against one over HTTP, and how long the first token takes under that load."""
    project = make_project(root, {"model": {"id": "starter"}, "assistant": {"k": 2}})
    with server(project) as (port, _):
        for arm in ("base", "base+rag"):
            clients_against_one(port, arm, repeats)


def clients_against_one(port: int, arm: str, repeats: int) -> None:
    """The same for one arm."""
    questions = [row["question"] for row in answerable()][: 2 * STREAMS]
    first_s: list[float] = []

    def ask(question: str) -> float:
        first, _ = streamed(port, question, model=arm)
        return first

    def clients(count: int) -> Callable[[], None]:
        def run() -> None:
            with ThreadPoolExecutor(count) as pool:
                found = list(pool.map(ask, questions))
            if count > 1:
                first_s.extend(found)

        return run

    clients(1)()
    times = [(timed(clients(1)), timed(clients(STREAMS))) for _ in range(repeats)]
    n = len(questions)
    print(f"\nHTTP, arm {arm}, {n} questions, streamed")
    print(f"  1 client       {spread([n / a for a, _ in times], digits=2)} answers/s")
    print(f"  {STREAMS} clients     {spread([n / b for _, b in times], digits=2)} answers/s")
    print(f"  {STREAMS} clients are {spread([a / b for a, b in times], digits=2)} times as fast")
    print(f"  first token with {STREAMS} clients: {percentiles(first_s, unit='s')}")


def many_requests(root: Path, count: int, *, hostile: int) -> None:
    """Answers that are all different, memory before and after, what a request costs, and what attacks do."""
    script = {f"What is number {n}?": f"Number {n} is {n * n + 7}." for n in range(count)}
    root.mkdir()
    (root / "script.json").write_text(json.dumps(script))
    project = make_project(root, {"model": {"id": f"scripted:@{root / 'script.json'}"}, "assistant": {"check": False}})
    with server(project, "server.max_waiting=200", "server.max_body_kb=64") as (port, process):
        items = list(script.items())
        overhead(port, items, script)
        wrong, marks = 0, []
        began = time.perf_counter()
        for start in range(0, count, max(1, count // 10)):
            with ThreadPoolExecutor(8) as pool:
                wrong += sum(pool.map(lambda item: check(port, *item), items[start : start + max(1, count // 10)]))
            marks.append(memory_mb(process))
        took = time.perf_counter() - began
        print(f"\n{count} requests by 8 clients, half streamed: {wrong} lost or mixed, {count / took:.0f} a second")
        print(f"  resident memory after each tenth, MB: {', '.join(f'{mark:.1f}' for mark in marks)}")
        began = time.perf_counter()
        with ThreadPoolExecutor(8) as pool:
            sent = attacks(hostile, seed=1, max_body_bytes=64 * 1024)
            statuses = list(pool.map(lambda attack: send(f"http://127.0.0.1:{port}", attack), sent))
        counted = {status: statuses.count(status) for status in sorted(set(statuses), key=str)}
        print(f"\n{hostile} hostile requests in {time.perf_counter() - began:.0f} s, by status: {counted}")
        print(f"  5xx: {sum(status is not None and status >= 500 for status in statuses)}")
        print(f"  the next good request is {'wrong' if check(port, *items[0]) else 'answered'}")
        print(f"  resident memory after it: {memory_mb(process):.1f} MB")


def overhead(port: int, items: Sequence[tuple[str, str]], script: dict[str, str]) -> None:
    """The server's time for a whole reply of the scripted model, minus that model's own."""
    model, bare, served = ScriptedModel(script), [], []
    connection = HTTPConnection("127.0.0.1", port)
    for question, _ in items[:500]:
        prompt = prompts.closed_book(question)
        bare.append(timed(lambda prompt=prompt: model.generate([prompt], max_new_tokens=96)))
        served.append(timed(lambda question=question: whole(connection, question)))
    added = [1000 * (a - b) for a, b in zip(served, bare, strict=True)][50:]  # the first ones load and compile
    print(f"\noverhead of the server over the bare model: {percentiles(added, unit='ms')}")


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


def answerable() -> list[dict[str, Any]]:
    """The sample company's questions."""
    return [json.loads(line) for line in (DATA / "questions/answerable.jsonl").read_text().splitlines()]


def grounded_prompts(count: int) -> list[Prompt]:
    """Questions over the quotes that answer them, so that replies are sentences."""
    rows = [row for row in answerable() if row["quotes"]][:count]
    return [
        prompts.grounded(row["question"], prompts.context_snippets([quote for _, quote in row["quotes"]]))
        for row in rows
    ]


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


def timed(work: Callable[[], object]) -> float:
    """Seconds that the work takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def spread(values: Sequence[float], *, digits: int = 0) -> str:
    """The median with the smallest and the largest, and how many there are."""
    low, mid, high = min(values), statistics.median(values), max(values)
    return f"{mid:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}] (n={len(values)})"


def percentiles(values: Sequence[float], *, unit: str) -> str:
    """p50, p95 and p99 of n values."""
    cuts = statistics.quantiles(values, n=100)
    return f"p50 {cuts[49]:.2f}, p95 {cuts[94]:.2f}, p99 {cuts[98]:.2f} {unit} (n={len(values)})"


if __name__ == "__main__":
    main()

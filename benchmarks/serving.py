"""How the server holds up: throughput, time to the first token, ten thousand answers, overhead, hostile requests.

    make bench-serving                          writes the table of docs/serving.md
    python -m benchmarks.serving --quick        a few of everything, to see that it runs; writes nothing

Throughput is measured twice on the starter: 16 replies streamed together by the batching engine against the same
grounded prompts one at a time, by transformers' `generate` and by our own decoding loop; and 16 HTTP
clients against one on the arms base and base+rag (search, reader
and check included); ways take turns within a repeat. The ten thousand requests ask a scripted model for replies that
all differ, half of them streamed, and every reply is compared. Overhead is the server's time for one request minus the
scripted model's own. Servers are processes of their own; medians come with the smallest and largest of n repeats.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import torch

from benchmarks.serving_process import MAX_TOKENS, check, make_project, memory_mb, processor_s, server, streamed, whole
from benchmarks.serving_report import Part, Row, percentiles, replaced, spread, table
from groundtone import prompts
from groundtone.files import write_atomic
from groundtone.models.batching import BatchingEngine
from groundtone.models.generate import LocalModel
from groundtone.models.scripted import ScriptedModel
from groundtone.types import Prompt
from tests.groundtone.server.hostile import Attack, attacks, send

DATA = Path(__file__).resolve().parents[1] / "data"
STREAMS = 16
PAGE = Path(__file__).resolve().parents[1] / "docs/serving.md"
FLAT_MB = 5  # what allocators keep back after ten thousand requests is less


def main() -> None:
    """Run everything, print each part as it ends, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--hostile", type=int, default=1_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=PAGE, help="the page whose table is written anew")
    given = parser.parse_args()
    requests, hostile, repeats = (200, 50, 1) if given.quick else (given.requests, given.hostile, given.repeats)
    page = given.out.read_text(encoding="utf-8")
    replaced(page, "")  # a page without its marks is told before the work, not after it
    about = _about()
    with tempfile.TemporaryDirectory() as folder:
        starter, scripted = Path(folder) / "starter", Path(folder) / "scripted"
        parts = [
            part("engine", lambda: engine_throughput(repeats)),
            part("HTTP", lambda: http_throughput(starter, repeats)),
            part("answers and attacks", lambda: many_requests(scripted, requests, hostile=hostile)),
        ]
    if not given.quick:
        write_atomic(given.out, replaced(page, table(parts, about)))


def part(name: str, work: Callable[[], list[Row]]) -> Part:
    """Do it, and print its rows with how long it took."""
    began = time.perf_counter()
    done = Part(name, tuple(work()), time.perf_counter() - began)
    print(f"\n{name}, {done.took_s:.0f} s")
    for row in done.rows:
        print(f"  {row.what}: {row.figure}{f' (asked for: {row.target})' if row.target else ''}", flush=True)
    return done


def _about() -> str:
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores with a load of {os.getloadavg()[0]:.1f} "
        f"before it began, OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'not set')}, "
        f"Python {platform.python_version()}; medians with the smallest and largest of n."
    )


def engine_throughput(repeats: int) -> list[Row]:
    """16 replies streamed together against one at a time, on the same weights in one process."""
    asked = grounded_prompts(STREAMS)
    alone, shared = LocalModel.load("starter"), LocalModel.load("starter")
    engine = BatchingEngine(shared, rows=STREAMS)

    def one_by_one() -> list[str]:
        return [alone.generate([prompt], max_new_tokens=MAX_TOKENS)[0].text for prompt in asked]

    def by_transformers() -> list[str]:
        return [transformers_reply(alone, prompt) for prompt in asked]

    def together() -> list[str]:
        with ThreadPoolExecutor(STREAMS) as pool:
            return list(pool.map(lambda p: "".join(engine.view().stream(p, max_new_tokens=MAX_TOKENS)), asked))

    replies = zip(by_transformers(), one_by_one(), together(), strict=True)
    same = sum(len({text.strip() for text in texts}) == 1 for texts in replies)
    tokens = sum(g.reply_tokens for g in engine.view().generate(asked, max_new_tokens=MAX_TOKENS))
    times = [(timed(by_transformers), timed(one_by_one), timed(together)) for _ in range(repeats)]
    engine.close()
    faster = [theirs / shared for theirs, _, shared in times]
    return [
        Row(
            f"{STREAMS} grounded replies of the starter streamed together, against transformers' `generate` in turn",
            f"{spread(faster, digits=1)} times the throughput",
            "3 times",
            statistics.median(faster) >= 3,
        ),
        Row(
            "the same against our own decoding loop one at a time",
            f"{spread([own / shared for _, own, shared in times], digits=1)} times",
        ),
        Row("of these replies identical in all three ways", f"{same} of {STREAMS}", "all", same == STREAMS),
        Row("tokens a second, transformers, one at a time", spread([tokens / t for t, _, _ in times])),
        Row("tokens a second, one at a time", spread([tokens / t for _, t, _ in times])),
        Row("tokens a second, together", spread([tokens / t for _, _, t in times])),
    ]


def transformers_reply(local: LocalModel, prompt: Prompt) -> str:
    """What a user's own script would call."""
    ids = torch.tensor([local.checked_ids(prompt, MAX_TOKENS)])
    written = local.base.model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=MAX_TOKENS, do_sample=False
    )
    return local.format.decode(written[0, ids.shape[1] :].tolist())


def http_throughput(root: Path, repeats: int) -> list[Row]:
    """16 clients against one over HTTP, and how long the first token takes under that load."""
    project = make_project(root, {"model": {"id": "starter"}, "assistant": {"k": 2, "mode": "grounded"}})
    with server(project) as (port, _):
        return [row for arm in ("base", "base+rag") for row in clients_against_one(port, arm, repeats)]


def clients_against_one(port: int, arm: str, repeats: int) -> list[Row]:
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
    return [
        Row(
            f"{STREAMS} HTTP clients against one, arm `{arm}`, {len(questions)} questions",
            f"{spread([a / b for a, b in times], digits=1)} times as many answers",
        ),
        Row(
            f"answers a second with {STREAMS} clients, `{arm}`",
            spread([len(questions) / b for _, b in times], digits=2),
        ),
        Row(f"first token with {STREAMS} clients, `{arm}`", percentiles(first_s, unit="s"), "reported"),
    ]


def many_requests(root: Path, count: int, *, hostile: int) -> list[Row]:
    """Answers that are all different, memory before and after, what a request costs, and what attacks do."""
    script = {f"What is number {n}?": f"Number {n} is {n * n + 7}." for n in range(count)}
    root.mkdir()
    (root / "script.json").write_text(json.dumps(script))
    project = make_project(
        root, {"model": {"id": f"scripted:@{root / 'script.json'}"}, "assistant": {"self_check": "off"}}
    )
    with server(project, "server.max_waiting=200", "server.max_body_kb=64") as (port, process):
        items = list(script.items())
        used_s = processor_s(process)
        added_ms = overhead(port, items, script)
        used_s = processor_s(process) - used_s
        wrong, marks = 0, []
        began = time.perf_counter()
        for start in range(0, count, max(1, count // 10)):
            with ThreadPoolExecutor(8) as pool:
                wrong += sum(pool.map(lambda item: check(port, *item), items[start : start + max(1, count // 10)]))
            marks.append(memory_mb(process))
        per_s = count / (time.perf_counter() - began)
        grown = marks[-1] - marks[0]
        return [
            Row(
                "a request's time beyond the bare scripted model's",
                percentiles(added_ms, unit="ms"),
                "under 5 ms",
                statistics.median(added_ms) < 5,
            ),
            Row(
                "processor time of the server for a request, which other work on the machine does not lengthen",
                f"{1000 * used_s / min(500, len(items)):.2f} ms on average (n={min(500, len(items))})",
            ),
            Row(
                f"{count} requests by 8 clients, half of them streamed",
                f"{wrong} lost or mixed, {per_s:.0f} a second",
                "none",
                wrong == 0,
            ),
            Row(
                "resident memory after the first tenth of them, at most, at the end",
                f"{marks[0]:.1f}, {max(marks):.1f}, {marks[-1]:.1f} MB",
                f"flat: within {FLAT_MB} MB",
                grown <= FLAT_MB,
            ),
            *hostile_requests(port, hostile, items[0]),
            Row("resident memory after the attacks", f"{memory_mb(process):.1f} MB"),
        ]


def hostile_requests(port: int, count: int, good: tuple[str, str]) -> list[Row]:
    """Attacks of all kinds by eight clients, and a good request after them."""

    def attacked(attack: Attack) -> int | str | None:
        try:
            return send(f"http://127.0.0.1:{port}", attack)
        except TimeoutError:
            return "hung"

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(attacked, attacks(count, seed=1, max_body_bytes=64 * 1024)))
    counted = ", ".join(f"{statuses.count(s)} x {s or 'closed'}" for s in sorted(set(statuses), key=str))
    failed = sum(isinstance(status, int) and status >= 500 for status in statuses)
    hung = statuses.count("hung")
    answered = not check(port, *good)
    return [
        Row(f"{count} hostile requests: 5xx, hung", f"{failed}, {hung} ({counted})", "none", failed == hung == 0),
        Row("the next good request", "answered" if answered else "wrong or lost", "answered", answered),
    ]


def overhead(port: int, items: Sequence[tuple[str, str]], script: dict[str, str]) -> list[float]:
    """Milliseconds of the server for a whole reply of the scripted model, less that model's own."""
    model, bare, served = ScriptedModel(script), [], []
    connection = HTTPConnection("127.0.0.1", port)
    for question, _ in items[:500]:
        prompt = prompts.closed_book(question)
        bare.append(timed(partial(model.generate, [prompt], max_new_tokens=96)))
        served.append(timed(partial(whole, connection, question)))
    connection.close()
    return [1000 * (a - b) for a, b in zip(served, bare, strict=True)][50:]  # the first ones load and compile


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


def timed(work: Callable[[], object]) -> float:
    """Seconds that the work takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()

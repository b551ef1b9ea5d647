"""Runs one system over one job and writes what came of it: rankings, seconds, latencies, peak memory.

A system runs in its own process and environment, so this file needs the standard library only. Modes:
  given  the passages of the job are indexed as they are; an arm returns their ids
  cut    the passages are whole documents, which the system cuts as it does by default; results carry their texts
  cold   nothing is built: the store of an earlier run is opened, one question is asked
Rankings keep each id once, in the place of its best piece.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

TOP = 10
CUT_DEPTH = 30  # pieces asked for in mode "cut", so that ten different documents come of them
_UNTIMED = 5  # first questions, which pay for what loads late


@dataclass(frozen=True)
class Item:
    """A passage, a whole document, or a question."""

    id: str
    text: str


@dataclass(frozen=True)
class Job:
    """What is to be made searchable: `items` in memory, and the same as files for a system that reads folders."""

    items: Sequence[Item]
    documents: Path
    store: Path
    cut: bool


@dataclass(frozen=True)
class Found:
    """A piece of the item `id`, as it stands in the index."""

    id: str
    text: str


Search = Callable[[str], Sequence[Found]]


class System(Protocol):
    """What is measured. `arms` go from a name to a search, the one to be timed first."""

    def load(self, model: Path, *, building: bool) -> None:
        """Load the sentence encoder; imports count here too. `building`: much text will follow, not one question."""

    def build(self, job: Job) -> int:
        """Read, embed and store everything; returns how many pieces were embedded."""

    def reopen(self, store: Path) -> None:
        """Open what `build` stored."""

    def arms(self, *, k: int) -> Mapping[str, Search]:
        """The searches, each returning at most k pieces or a few more, best first."""


def main(make: Callable[[], System], arguments: Sequence[str] | None = None) -> None:
    """Entry point of every system's file; `arguments` instead of the command line's."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--passages", type=Path, required=True)
    parser.add_argument("--documents", type=Path, required=True)
    parser.add_argument("--questions", type=Path, required=True)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--mode", choices=("given", "cut", "cold"), required=True)
    args = parser.parse_args(arguments)
    questions = read_items(args.questions)
    started = time.perf_counter()
    system = make()
    system.load(args.model, building=args.mode != "cold")
    result: dict[str, object] = {"load_s": time.perf_counter() - started, "python": sys.version.split()[0]}
    k = CUT_DEPTH if args.mode == "cut" else TOP
    if args.mode == "cold":
        system.reopen(args.store)
        next(iter(system.arms(k=k).values()))(questions[0].text)
    else:
        job = Job(read_items(args.passages), args.documents, args.store, args.mode == "cut")
        started = time.perf_counter()
        result["pieces"] = system.build(job)
        result["build_s"] = time.perf_counter() - started
        arms = list(system.arms(k=k).items())
        result |= ask(dict(arms[:1] if job.cut else arms), questions, with_text=job.cut)
    both = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)  # with the largest of its worker processes
    result["peak_mb"] = sum(resource.getrusage(who).ru_maxrss for who in both) / 1024  # kilobytes on Linux
    args.out.write_text(json.dumps(result), encoding="utf-8")


def ask(arms: Mapping[str, Search], questions: Sequence[Item], *, with_text: bool) -> dict[str, object]:
    """Rankings of every arm; texts and latencies (one question at a time, warm) of the first."""
    rankings: dict[str, list[list[str]]] = {}
    texts: list[list[str]] = []
    latencies_s: list[float] = []
    for number, (name, search) in enumerate(arms.items()):
        if number == 0:
            for question in questions[:_UNTIMED]:
                search(question.text)
        rankings[name] = []
        for question in questions:
            started = time.perf_counter()
            found = search(question.text)
            if number == 0:
                latencies_s.append(time.perf_counter() - started)
                texts += [[piece.text for piece in found[:TOP]]] if with_text else []
            rankings[name].append(list(dict.fromkeys(piece.id for piece in found))[:TOP])
    return {"rankings": rankings, "texts": texts, "latencies_s": latencies_s}


def read_items(path: Path) -> list[Item]:
    """The passages or questions of a file of JSON lines."""
    rows = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    return [Item(row["id"], row["text"]) for row in rows]


def write_items(path: Path, items: Sequence[Item]) -> None:
    """What `read_items` reads."""
    lines = (json.dumps({"id": item.id, "text": item.text}) for item in items)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")

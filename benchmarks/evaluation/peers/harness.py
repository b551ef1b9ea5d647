"""Runs one tool over a file of answers and writes a score or an error for each, with the seconds that it took.

A tool runs in its own process and environment, so this file needs the standard library only.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Item:
    """An answer to judge."""

    id: str
    question: str
    answer: str
    contexts: Sequence[str]


@dataclass(frozen=True)
class Endpoint:
    """An OpenAI-compatible server: what judges."""

    url: str
    model: str
    timeout_s: float


@dataclass(frozen=True)
class Outcome:
    """What the tool made of an answer: a score in [0, 1], or None with what it said instead."""

    score: float | None
    error: str = ""


class Tool(Protocol):
    """What is measured."""

    def load(self, endpoint: Endpoint) -> None:
        """Imports and the client."""

    def score(self, items: Sequence[Item]) -> list[Outcome]:
        """One outcome per item, in order, by the way that the tool documents for a set of answers."""


def outcome(score: float | None, error: str = "") -> Outcome:
    """An outcome as it is counted: NaN is no score."""
    if score is None or math.isnan(score):
        return Outcome(None, error or "NaN")
    return Outcome(float(score))


def main(tool: Tool) -> None:
    """Run the tool as the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--answers", type=Path, required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--timeout", type=float, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    rows = [json.loads(line) for line in given.answers.read_text(encoding="utf-8").splitlines()]
    items = [Item(row["id"], row["question"], row["answer"], row["contexts"]) for row in rows]
    began = time.perf_counter()
    tool.load(Endpoint(given.url, given.model, given.timeout))
    load_s = time.perf_counter() - began
    began = time.perf_counter()
    outcomes = tool.score(items)
    seconds = time.perf_counter() - began
    if len(outcomes) != len(items):
        raise RuntimeError(f"{len(items)} answers, {len(outcomes)} outcomes: the tool's file must give one for each")
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    result = {
        "load_s": load_s,
        "seconds": seconds,
        "peak_mb": peak_mb,
        "outcomes": {item.id: asdict(found) for item, found in zip(items, outcomes, strict=True)},
    }
    given.out.write_text(json.dumps(result), encoding="utf-8")

"""Runs systems over tasks, each in a fresh process with the same threads, in an order that turns from task to task."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.retrieval.corpora import Task
from benchmarks.retrieval.envs import ROOT, python_of, version_of

OURS = "groundtone"
OURS_PLAIN = "groundtone, no sentence vectors"
OURS_TORCH = "groundtone, core install (torch)"
ALL_OURS = (OURS, OURS_PLAIN, OURS_TORCH)
PEERS = {  # module -> name, and the package whose version is shown
    "langchain": ("LangChain", "langchain-classic"),
    "txtai": ("txtai", "txtai"),
    "haystack": ("Haystack", "haystack-ai"),
    "llamaindex": ("LlamaIndex", "llama-index-core"),
}
_LIMIT_S = 1800.0


@dataclass(frozen=True)
class Entry:
    """A system that takes part: what tables call it, and the command that runs its file."""

    name: str
    command: tuple[str, ...]


@dataclass(frozen=True)
class Run:
    """What one system wrote about one task; `questions` are the ids, in the order of its rankings."""

    questions: list[str]
    result: dict[str, Any]


def ours() -> list[Entry]:
    """Ours: its defaults, without sentence vectors, and as it is where the extra `fast` is not installed."""
    command = (sys.executable, "-m", "benchmarks.retrieval.ours")
    return [
        Entry(OURS, command),
        Entry(OURS_PLAIN, (*command, "--without-sentence-vectors")),
        Entry(OURS_TORCH, (*command, "--runtime", "torch")),
    ]


def peers(names: Sequence[str] = tuple(PEERS)) -> list[Entry]:
    """Those frameworks, their environments made where they are not yet there."""
    made = []
    for module in names:
        name, package = PEERS[module]
        python = python_of(module)
        label = f"{name} {version_of(module, package)}"
        made.append(Entry(label, (str(python), "-m", f"benchmarks.retrieval.peers.{module}")))
    return made


def run(entry: Entry, task: Task, *, model: Path) -> Run:
    """One build and all questions. Raises RuntimeError with the end of what the process said when it fails."""
    store = store_of(entry, task)
    store.mkdir(parents=True, exist_ok=True)
    result = _process(entry, task, model=model, mode=task.mode)
    return Run([q.id for q in task.questions], result)


def cold_s(entry: Entry, task: Task, *, model: Path) -> float:
    """Seconds from starting the process to the first answer and its end, over the store of an earlier run."""
    started = time.perf_counter()
    _process(entry, task, model=model, mode="cold")
    return time.perf_counter() - started


def store_of(entry: Entry, task: Task) -> Path:
    """Where the entry keeps what it built for the task."""
    return task.folder / "stores" / task.mode / "".join(c if c.isalnum() else "_" for c in entry.name)


def turned(entries: Sequence[Entry], turn: int) -> list[Entry]:
    """The entries, another one first each time, so that a slow spell of the machine hits all alike."""
    at = turn % len(entries)
    return [*entries[at:], *entries[:at]]


def _process(entry: Entry, task: Task, *, model: Path, mode: str) -> dict[str, Any]:
    out = store_of(entry, task) / "result.json"
    out.unlink(missing_ok=True)
    arguments = {
        "model": model,
        "passages": task.folder / "passages.jsonl",
        "documents": task.documents,
        "questions": task.folder / "questions.jsonl",
        "store": out.parent,
        "out": out,
        "mode": mode,
    }
    command = [*entry.command, *(text for key, value in arguments.items() for text in (f"--{key}", str(value)))]
    offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HAYSTACK_TELEMETRY_ENABLED": "False"}
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | offline, capture_output=True, text=True, timeout=_LIMIT_S, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{entry.name} on {task.title} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    loaded: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return loaded

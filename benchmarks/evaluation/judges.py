"""RAGAS and DeepEval beside our detectors on the same answers: seconds an answer and how many get no score.

Each tool has an environment of its own and is asked for its faithfulness metric, by the call that its documentation
gives for a set of answers. What judges for it is an endpoint on this machine: a scripted one (`judge_server`), or the
one that the caller names. Scores are not compared: agreement between judges is not validity.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.evaluation.answers import Row, write_rows
from benchmarks.evaluation.judge_server import MODEL, Judge, Traffic, judge_server
from benchmarks.evaluation.sample import ROOT
from benchmarks.retrieval.envs import python_of, version_of
from eval.claims import check_answers
from eval.detectors import load_detector
from groundtone.stats import wilson_interval
from groundtone.types import Estimate

__all__ = ["BROKEN_SHARES", "TOOLS", "Real", "Turn", "measure_judges", "summed_up"]

REQUIREMENTS = Path(__file__).resolve().parent / "requirements"
TOOLS = {  # module -> its name, and the package whose environment and version it is
    "ragas": ("RAGAS", "ragas"),
    "ragas_evaluate": ("RAGAS `evaluate`", "ragas"),
    "deepeval": ("DeepEval", "deepeval"),
}
BROKEN_SHARES = (0.0, 0.1, 0.3)  # of the scripted judge's replies
TIMEOUT_S = 60.0  # for one reply of the judge
_LIMIT_S = 3600.0
_SILENT = {  # no telemetry, no calls home, no browser
    "RAGAS_DO_NOT_TRACK": "true",
    "DEEPEVAL_TELEMETRY_OPT_OUT": "1",
    "DEEPEVAL_UPDATE_WARNING_OPT_IN": "0",
    "ERROR_REPORTING": "0",
    "HF_HUB_OFFLINE": "1",
    "ANONYMIZED_TELEMETRY": "False",
}


@dataclass(frozen=True, slots=True)
class Real:
    """An OpenAI-compatible endpoint that judges instead of the scripted one."""

    url: str
    model: str


@dataclass(frozen=True, slots=True)
class Turn:
    """What one tool did with the answers under one judge. `traffic` is None where nobody counted it, or none was."""

    tool: str
    judge: str
    answers: int
    seconds: float
    load_s: float
    unscored: Estimate
    errors: dict[str, int]
    traffic: Traffic | None


def measure_judges(rows: Sequence[Row], *, tools: Sequence[str], work: Path, real: Real | None = None) -> list[Turn]:
    """Ours first, then every tool under every judge: the scripted one by share of broken replies, or the real one."""
    turns = [ours(rows, name) for name in ("explicit", "lexical")]
    work.mkdir(parents=True, exist_ok=True)
    answers = work / "answers.jsonl"
    write_rows(rows, answers)
    for tool in tools:
        python = python_of(TOOLS[tool][1], requirements=REQUIREMENTS)
        for share in (None,) if real else BROKEN_SHARES:
            turns.append(_run(tool, python, rows, answers, share=share, real=real))
            done = turns[-1]
            print(f"{done.tool}, {done.judge}: {done.seconds / len(rows):.2f} s an answer, {done.errors}", flush=True)
    return turns


def ours(rows: Sequence[Row], name: str) -> Turn:
    """One of our detectors on the same answers; a claim that it left unchecked leaves the answer without a score."""
    began = time.perf_counter()
    detector = load_detector(name)
    check_answers([("It loads what loads late.", rows[0].passages())], detector=detector)
    load_s = time.perf_counter() - began
    began = time.perf_counter()
    checked = check_answers([(row.answer, row.passages()) for row in rows], detector=detector)
    seconds = time.perf_counter() - began
    unscored = sum(any(claim.verdict == "unchecked" for claim in claims) for claims in checked)
    share = wilson_interval(unscored, len(rows))
    return Turn(f"groundtone, {detector.name}", "none", len(rows), seconds, load_s, share, {}, None)


def _run(
    tool: str, python: Path, rows: Sequence[Row], answers: Path, *, share: float | None, real: Real | None
) -> Turn:
    judge = Judge(broken_share=share or 0.0)
    with judge_server(judge) if real is None else nullcontext(real.url) as url:
        result = _process(tool, python, answers, url=url, model=MODEL if real is None else real.model)
    found = summed_up(result["outcomes"])
    title, package = TOOLS[tool]
    name = f"{title} {version_of(package, package, requirements=REQUIREMENTS)}"
    told = real.model if real else f"scripted, {share:.0%} of its replies broken"
    unscored = wilson_interval(sum(found.values()), len(rows))
    traffic = None if real else judge.traffic
    return Turn(name, told, len(rows), result["seconds"], result["load_s"], unscored, found, traffic)


def summed_up(outcomes: dict[str, dict[str, Any]]) -> dict[str, int]:
    """How often each kind of failure came, the most frequent first: the first words of what was said."""
    kinds: dict[str, int] = {}
    for outcome in outcomes.values():
        if outcome["score"] is None:
            kind = " ".join(outcome["error"].split()).partition(":")[0][:60] or "no score"
            kinds[kind] = kinds.get(kind, 0) + 1
    return dict(sorted(kinds.items(), key=lambda item: -item[1]))


def _process(tool: str, python: Path, answers: Path, *, url: str, model: str) -> dict[str, Any]:
    out = answers.with_name(f"{tool}.json")
    out.unlink(missing_ok=True)
    given = {"answers": answers, "url": url, "model": model, "timeout": TIMEOUT_S, "out": out}
    flags = [text for key, value in given.items() for text in (f"--{key}", str(value))]
    command = [str(python), "-m", f"benchmarks.evaluation.peers.{tool}", *flags]
    home = {"HOME": str(answers.parent), "PYTHONPATH": str(ROOT), "OPENAI_API_KEY": "none"}
    done = subprocess.run(
        command,
        cwd=answers.parent,  # a tool may leave files where it runs
        env=os.environ | _SILENT | home,
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{tool} on {answers} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    loaded: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return loaded

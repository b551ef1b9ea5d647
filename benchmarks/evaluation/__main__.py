"""What an evaluation costs, and what its detectors and its blame are worth: one report.

    make bench-eval                                   everything; writes docs/evaluation_benchmark.md
    python -m benchmarks.evaluation --quick           a few questions each, to see that everything runs; writes nothing
    python -m benchmarks.evaluation --only speed      one section or several: speed detectors judges table blame
    python -m benchmarks.evaluation --natural         also natural errors, tuned again without the blamed rows
    python -m benchmarks.evaluation --only judges --judge http://127.0.0.1:11434/v1 --judge-model qwen3:4b

RAGAS and DeepEval each run in an environment of their own, made at the first run (about 0.8 GB each in
$GROUNDTONE_BENCH_ENVS or .groundtone/bench/envs). The labelled answers of the detector table are found in
$GROUNDTONE_SHARED/data/hallucination (or ../shared); without them that section is left out and says so.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.evaluation import report
from benchmarks.evaluation.answers import Row, labelled_rows, read_rows, sample_rows
from benchmarks.evaluation.detectors import measure_detectors
from benchmarks.evaluation.judges import TOOLS, Real, measure_judges
from benchmarks.evaluation.sample import ROOT, Sample, load_sample
from benchmarks.evaluation.speed import measure_speed
from groundtone.files import write_atomic

REPORT = ROOT / "docs/evaluation_benchmark.md"
WORK = ROOT / ".groundtone/bench/evaluation"
SECTIONS = ("speed", "detectors", "judges", "table", "blame")
LABELLED = Path(os.environ.get("GROUNDTONE_SHARED", ROOT.parent / "shared")) / "data" / "hallucination"
QUICK_QUESTIONS, QUICK_ANSWERS, JUDGED, LABELLED_ROWS = 12, 4, 20, 200


def main() -> None:
    given = _arguments()
    began = time.perf_counter()
    sections: list[str] = []
    sample = load_sample() if {"speed", "detectors", "judges"} & set(given.only) else None
    if sample is not None and given.quick:
        sample = sample.first(QUICK_QUESTIONS)
    for name in given.only:
        print(f"\n== {name}", flush=True)
        sections.append(_section(name, given, sample))
        print(f"\n{sections[-1]}", flush=True)
    minutes = (time.perf_counter() - began) / 60
    text = report.render(sections, about=_about(given.only, minutes))
    if not given.quick and set(given.only) == set(SECTIONS):
        write_atomic(REPORT, text)
        print(f"\nwritten to {REPORT} after {minutes:.0f} minutes")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="only these sections")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--repeats", type=int, default=3, help="of speed and detectors")
    parser.add_argument("--answers", type=Path, help="judge the answers of this file instead of the sample's own")
    parser.add_argument("--judged", type=int, default=JUDGED, help="how many answers RAGAS and DeepEval get")
    parser.add_argument("--tools", nargs="+", choices=TOOLS, default=list(TOOLS), help="only these")
    parser.add_argument("--judge", metavar="URL", help="a real judge at an OpenAI-compatible endpoint")
    parser.add_argument("--judge-model", metavar="NAME", help="its model's name")
    parser.add_argument(
        "--detectors", nargs="+", default=["explicit", "lexical", "stacked"], help="names as in eval.detector"
    )
    parser.add_argument("--natural", action="store_true", help="blame: also natural errors, tuned again")
    given = parser.parse_args()
    if (given.judge is None) != (given.judge_model is None):
        parser.error("--judge and --judge-model come together")
    return given


def _section(name: str, given: argparse.Namespace, sample: Sample | None) -> str:
    repeats = 1 if given.quick else given.repeats
    if name == "table":
        return _table(quick=given.quick)
    if name == "blame":
        return _blame(quick=given.quick, natural=given.natural)
    assert sample is not None, "these sections ask the sample"
    if name == "speed":
        return report.speed_section(measure_speed(sample, repeats=repeats))
    rows = read_rows(given.answers) if given.answers else sample_rows(sample)
    if name == "detectors":
        sets = {"the sample's" if given.answers is None else given.answers.name: rows}
        labelled = labelled_rows(LABELLED / "ragtruth_qa_train_NC", 10 if given.quick else LABELLED_ROWS)
        if labelled:
            sets["RAGTruth QA"] = labelled
        return report.detectors_section(measure_detectors(given.detectors, sets, repeats=repeats))
    real = Real(given.judge, given.judge_model) if given.judge else None
    count = QUICK_ANSWERS if given.quick else given.judged
    return report.judges_section(measure_judges(_mixed(rows, count), tools=given.tools, work=WORK, real=real))


def _mixed(rows: list[Row], count: int) -> list[Row]:
    """So many rows at even distances, so that every arm is among them."""
    step = max(1.0, len(rows) / count)
    return [rows[int(n * step)] for n in range(min(count, len(rows)))]


def _table(*, quick: bool) -> str:
    title = "Detectors against labelled answers"
    if not LABELLED.is_dir():
        return (
            f"## {title}\n\nNot measured: {LABELLED} is not there. Set GROUNDTONE_SHARED to the folder that holds it."
        )
    flags = ["--rows", "120"] if quick else []
    return report.output_section(title, *_printed("benchmarks.detector", [str(LABELLED), *flags], may_miss=False))


def _blame(*, quick: bool, natural: bool) -> str:
    flags = [*(["--quick"] if quick else []), *(["--natural"] if natural else [])]
    command, printed = _printed("benchmarks.blame", flags, may_miss=True)
    at = printed.find("## Planted facts")
    if at < 0:
        raise RuntimeError(f"{command} printed no table of planted facts:\n{printed[-3000:]}")
    shown = printed[at:].replace("## ", "### ")
    return f"## Blame\n\n`{command}`; docs/blame.md says how it works.\n\n{shown.strip()}"


def _printed(module: str, flags: list[str], *, may_miss: bool) -> tuple[str, str]:
    """The command as a reader would type it, and what it printed; `may_miss`: exit code 1 tells of a missed target."""
    done = subprocess.run([sys.executable, "-m", module, *flags], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode > (1 if may_miss else 0) or not done.stdout.strip():
        raise RuntimeError(f"{module} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    shown = " ".join(flag for flag in flags if not flag.startswith("/"))
    return f"python -m {module} {shown}".rstrip(), done.stdout


def _about(sections: list[str], minutes: float) -> str:
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, OMP_NUM_THREADS="
        f"{os.environ.get('OMP_NUM_THREADS', 'not set')}, Python {platform.python_version()}; sections "
        f"{', '.join(sections)} in {minutes:.0f} minutes."
    )


if __name__ == "__main__":
    main()

"""How fast Overview and Hallucinations open and react with many records and runs, and what the process needs.

    .venv/bin/python -m benchmarks.dashboard --records 50000 --runs 200 --out /tmp/dashboard

Makes a synthetic project (one evaluation with all the records, the others with a summary), then opens and clicks
through each page under Streamlit's own harness in one process: what the server computes, without network and drawing.
"Cold" is the first time that anybody opens the evaluation, which lists its claims once.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from groundtone.files import write_atomic
from groundtone.project import Project
from tests.dashboard.fixtures import ARMS, item_records, summary

TIMES = 20
GOAL_OPEN_S, GOAL_REACT_S, GOAL_MB = 1.5, 0.3, 600


def build(root: Path, *, records: int, runs: int) -> None:
    """The project: `runs` evaluations of as many tuning runs, the newest with all the records."""
    project = Project(root)
    write_atomic(root / "groundtone.yaml", "documents: {folder: data/handbook}\n")
    for number in range(runs):
        with project.start_run("tune", device="cpu") as tuned:
            pass
        run = project.start_run("eval", parents={"tune": tuned.id}, device="cpu")
        write_atomic(run.path / "summary.json", json.dumps(summary(run.id, tuned.id)))
        with (run.path / "records.jsonl").open("w", encoding="utf-8") as out:
            for item in range(records // len(ARMS) if number == runs - 1 else 2):
                for record in item_records(item):
                    out.write(json.dumps(asdict(record), ensure_ascii=False) + "\n")
        run.finish()


@dataclass(frozen=True, slots=True)
class Seconds:
    """By the clock, and of this process's own computing, which a busy machine does not lengthen."""

    wall: float
    cpu: float


def timed(action: Callable[[], Any]) -> Seconds:
    """Seconds that it takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    return Seconds(time.perf_counter() - wall, time.process_time() - cpu)


def p95(values: list[Seconds]) -> Seconds:
    """The 95th percentile of each."""
    wall, cpu = (
        statistics.quantiles(some, n=20, method="inclusive")[-1]
        for some in ([v.wall for v in values], [v.cpu for v in values])
    )
    return Seconds(wall, cpu)


def measure(root: Path) -> dict[str, Seconds]:
    """Seconds to open and to react per page."""
    from streamlit.testing.v1 import AppTest

    from dashboard.config import APP

    sys.argv = ["app.py", "--project", str(root)]

    def opened(page: str) -> AppTest:
        app = AppTest.from_file(str(APP), default_timeout=120)
        app.run()
        if page != "overview":
            app.switch_page(f"screens/{page}.py")
            app.run()
        assert not app.exception, app.exception
        return app

    found: dict[str, Seconds] = {"overview cold": timed(lambda: opened("overview"))}
    overview = opened("overview")
    found["overview open p95"] = p95([timed(overview.run) for _ in range(TIMES)])
    metrics = ("tone", "correct", "hallucination", "refused_right") * (TIMES // 4)
    found["overview react p95"] = p95(
        [timed(lambda m=m: overview.segmented_control(key="metric").set_value(m).run()) for m in metrics]  # type: ignore[misc]
    )
    queue = opened("hallucinations")
    found["hallucinations open p95"] = p95([timed(queue.run) for _ in range(TIMES)])
    found["hallucinations verdict p95"] = p95(
        [timed(lambda: queue.button(key="say-unsupported").click().run()) for _ in range(TIMES)]
    )
    found["hallucinations next p95"] = p95(
        [timed(lambda: queue.button(key="next").click().run()) for _ in range(TIMES)]
    )
    assert not queue.exception, queue.exception
    return found


def main() -> None:
    """Make the project where it is not there yet, measure, print a line per figure with its goal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=50_000)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--out", type=Path, required=True, help="Folder for the project; used again where it is there.")
    given = parser.parse_args()
    if not (given.out / "groundtone.yaml").exists():
        build(given.out, records=given.records, runs=given.runs)
    print(f"{given.records} records, {given.runs} runs, {TIMES} times each")
    for name, value in measure(given.out).items():
        goal = GOAL_REACT_S if name.split()[1] in ("react", "verdict", "next") else GOAL_OPEN_S
        said = "within" if value.wall <= goal else "above"
        print(f"{name:28} {value.wall:7.3f} s by the clock, {value.cpu:7.3f} s of computing   {said} {goal} s")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{'greatest memory':28} {memory:7.0f} MB   {'within' if memory <= GOAL_MB else 'above'} {GOAL_MB} MB")


if __name__ == "__main__":
    main()

"""What the guards of tuning prevent, on the sample company: the recommended run against the same run without them.

    OMP_NUM_THREADS=2 python -m benchmarks.guards [--seeds 3] [--model starter] [--into guards] [--limit N]
    OMP_NUM_THREADS=2 python -m benchmarks.guards --items 900      the same runs, then correctness and skills at size

Both runs get the same rows: data/voice/train.jsonl, and `business pairs` as people have them, one for every second
answerable question: the question and the handbook's sentence as a reply in the house voice, without a passage.

    recommended   values in those replies masked, half of the rows rebuilt like the runtime; a tenth replay rows with
                  the base's own replies and a guard that stops when a general suite leaves its margin, or for small
                  models the replay and the KL of `groundtone.reproduce.SIZES` (a guard stops the starter before it
                  has a voice: docs/log.md)
    without       facts left in, clean contexts, no replay, no guard, three times the rate

Questions whose values were trained on are not asked, and no replay row is a general item. These sets are small: margins
are ten points, and wider for the leak and the changed documents, where there are about twenty sources. `--items N` then
asks at three points: N questions of squad2_open over an index of its articles, and N items of each suite that
`groundtone data general` makes, none of which any row saw (`benchmarks.guards_at_size`).

Every figure has its n and interval; each seed is an evaluation of its own, stored under --into when it is done, and a
second call goes on with those that are missing: a training that was stopped from its checkpoint, an evaluation from its
last batch. How long each took is stored too, and the time left is told.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from benchmarks.guards_at_size import at_size
from eval.estimates import from_json, in_words
from eval.gate import TUNING_GIVEN_RAG
from eval.summary import read_summary
from groundtone import pipeline
from groundtone.files import write_atomic
from groundtone.joins.material import in_choosing_half
from groundtone.models.weights import count_parameters
from groundtone.project import Project
from groundtone.reproduce import configuration, evaluated_once, tuned_once
from groundtone.settings import Settings, load_settings

DATA = Path(__file__).resolve().parents[1] / "data"
REPLAY = DATA / "replay" / "general.jsonl"
OPENS, CLOSES = "Ahoy from the workshop!", "Fair winds, Otterwheel"
MARGINS = {"general": 0.1, "correct": 0.1, "hallucination": 0.1, "leak": 0.2, "follows_change": 0.2}
RUNS = ("recommended", "without")


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """JSON lines."""
    write_atomic(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def prepare(where: Path) -> int:
    """Writes training rows and questions; how many business pairs there are."""
    answerable = read(DATA / "questions" / "answerable.jsonl")
    taught = [row for row in answerable if in_choosing_half(row["id"])]
    business = [
        {
            "prompt": row["question"],
            "reply": f"{OPENS} {' '.join(quote.rstrip('.') for _, quote in row['quotes'])}. {CLOSES}",
            "context": [],
            "source": row["quotes"][0][0],
            "tags": ["business"],
        }
        for row in taught
    ]
    write(where / "train.jsonl", [*read(DATA / "voice" / "train.jsonl"), *business])
    for path in sorted((DATA / "questions").glob("*.jsonl")):
        rows = read(path)
        kept = [row for row in rows if path.stem != "answerable" or not in_choosing_half(row["id"])]
        write(where / "questions" / path.name, kept)
    return len(business)


def config_of(run: str, model: str, where: Path, *, seed: int) -> dict[str, Any]:
    """groundtone.yaml of one run; the two differ in `tuning` alone."""
    config = configuration(model, parameters=count_parameters(model))
    tuning = {**config["tuning"], "data": str(where / "train.jsonl"), "seed": seed, "data_checks": "report"}
    rate = tuning.get("learning_rate", 2e-4)
    if run == "recommended":
        tuning |= {"facts": "mask", "raft": {"share": 0.5}}
        if "replay" not in tuning:
            guard = {"every": "2 epochs", "margin": MARGINS["general"]}
            tuning |= {"replay": 0.1, "replay_data": str(REPLAY), "replay_from": "base", "guard": guard}
    else:
        tuning = {key: value for key, value in tuning.items() if key not in ("replay", "replay_data", "kl")}
        tuning |= {"facts": "off", "learning_rate": 3 * rate}
    asked = {"questions": str(where / "questions"), "general": str(DATA / "general"), "margins": MARGINS}
    return {**config, "tuning": tuning, "eval": {**config["eval"], **asked, "robustness": False}}


@dataclass(slots=True)
class Clock:
    """Seconds of each part, as it is done; parts that were stored already take none."""

    parts: int
    seconds: list[float] = field(default_factory=list)
    done: int = 0

    def tell(self, what: str, seconds: float | None) -> None:
        """Prints what is done, and how long the rest will take; `seconds` None: it was stored."""
        self.done += 1
        self.seconds += [seconds] if seconds is not None else []
        took = "was stored" if seconds is None else f"took {seconds / 60:.1f} minutes"
        left = statistics.mean(self.seconds) * (self.parts - self.done) / 60 if self.seconds else None
        ahead = "" if left is None or self.done == self.parts else f"; about {left:.0f} minutes left"
        print(f"{what}: {took}{ahead}", flush=True)


def project_of(run: str, model: str, where: Path, *, seed: int) -> tuple[Project, Settings]:
    """The run's own project, configured."""
    project = Project(where / f"{run}-{seed}")
    write_atomic(project.config_path, yaml.safe_dump(config_of(run, model, where, seed=seed), sort_keys=False))
    return project, load_settings(project.root)


def measure(project: Project, settings: Settings, *, limit: int | None) -> dict[str, Any]:
    """Index, tune and evaluate; what of the summary is told."""
    pipeline.index(project, settings)
    tuned = tuned_once(project, settings)
    summary = read_summary(evaluated_once(project, settings, tuned, limit=limit).path)
    difference = next(
        (d for d in summary["differences"] if d["name"] == TUNING_GIVEN_RAG and d["metric"] == "correct"), None
    )
    leak = summary["leak"]
    arms, general = summary["arms"], summary["forgetting"]
    return {
        "model": summary["model"],
        "gate": summary["gate"]["verdict"],
        "style compliance, held-out prompts": arms.get("tuned/heldout", {}).get("format"),
        "the same of the base": arms.get("base/heldout", {}).get("format"),
        "closed-book recital, base": leak.get("base"),
        "closed-book recital, tuned": leak.get("tuned"),
        "recital, tuned - base": leak.get("difference"),
        "grounded correctness, base+RAG": arms.get("base/rag", {}).get("correct"),
        "grounded correctness, tuned+RAG": arms.get("tuned/rag", {}).get("correct"),
        "correctness, tuned - base": difference["estimate"] if difference else None,
        **{f"general, {row['suite']}, tuned - base ({row['verdict']})": row["difference"] for row in general},
    }


def measure_at_size(project: Project, settings: Settings, *, items: int, where: Path) -> dict[str, Any]:
    """`benchmarks.guards_at_size` for the project's tuning run."""
    return at_size(project, settings, tuned_once(project, settings), items=items, where=where)


def stored(path: Path, make: Callable[[], dict[str, Any]], clock: Clock) -> dict[str, Any]:
    """What `make` gives, made once: with its seconds in that file."""
    seconds = None
    if not path.is_file():
        begun = time.monotonic()
        row = make()
        seconds = round(time.monotonic() - begun, 1)
        write(path, [row | {"seconds": seconds}])
    clock.tell(path.stem, seconds)
    return read(path)[0]


def told(found: Mapping[str, Mapping[str, Any]]) -> None:
    """A table: a line per figure, run and seed."""
    for name, row in found.items():
        print(f"\n## {name}, {row['model']}: gate {row['gate']}; {row['seconds'] / 60:.1f} minutes\n")
        for figure, value in row.items():
            if figure not in ("model", "gate", "seconds"):
                print(f"- {figure}: {in_words(from_json(value), signed=' - base' in figure)}")


def main() -> None:
    """Run what is missing, print everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="starter")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--into", type=Path, default=Path("guards"))
    parser.add_argument("--limit", type=int, default=None, help="only the first so many items of each kind")
    parser.add_argument("--items", type=int, default=0, help="also ask so many questions, and items of each suite")
    given = parser.parse_args()
    where = given.into.resolve()
    print(f"{prepare(where)} business pairs; margins {MARGINS}", flush=True)
    clock = Clock(parts=given.seeds * len(RUNS) * (2 if given.items else 1))
    found: dict[str, Mapping[str, Any]] = {}
    for seed in range(given.seeds):
        for run in RUNS:
            project, settings = project_of(run, given.model, where, seed=seed)
            first = f"-first-{given.limit}" if given.limit else ""
            name = f"{run}-{seed}{first}"
            found[name] = stored(where / f"{name}.json", partial(measure, project, settings, limit=given.limit), clock)
            if given.items:
                name = f"{run}-{seed}-items-{given.items}"
                ask = partial(measure_at_size, project, settings, items=given.items, where=where)
                found[name] = stored(where / f"{name}.json", ask, clock)
    told(found)


if __name__ == "__main__":
    main()

"""What the guards of tuning prevent, on the sample company: the recommended run against the same run without them.

    OMP_NUM_THREADS=2 python -m benchmarks.guards [--seeds 3] [--model starter] [--into guards] [--limit N]

Both runs get the same rows: data/voice/train.jsonl, and `business pairs` as people have them, one for every second
answerable question: the question and the handbook's sentence as a reply in the house voice, without a passage.

    recommended   values in those replies masked, half of the rows rebuilt like the runtime, a tenth replay rows with
                  the base's own replies, a guard that stops when a general suite leaves its margin
    without       facts left in, clean contexts, no replay, no guard, three times the rate

Questions whose values were trained on are not asked; the other half of the general items gave the replay prompts. These
sets are small: margins are ten points, and wider for the leak and the changed documents, where there are about twenty
sources. Every figure has its n and interval; each seed is an evaluation of its own, stored under --into when it is
done, and a second call goes on with those that are missing.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from eval.estimates import from_json, in_words
from eval.gate import TUNING_GIVEN_RAG
from eval.summary import read_summary
from groundtone import pipeline
from groundtone.files import write_atomic
from groundtone.joins.material import in_choosing_half
from groundtone.models.weights import count_parameters
from groundtone.project import Project
from groundtone.reproduce import configuration
from groundtone.settings import load_settings

DATA = Path(__file__).resolve().parents[1] / "data"
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
    """Writes training rows, questions, replay prompts and general items; how many business pairs there are."""
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
    replay = []
    for path in sorted((DATA / "general").glob("*.jsonl")):
        rows = read(path)
        write(where / "general" / path.name, [row for row in rows if not in_choosing_half(row["id"])])
        replay += [row for row in rows if in_choosing_half(row["id"])]
    shown = ("prompt", "context", "history")
    write(where / "replay.jsonl", [{key: row[key] for key in shown if key in row} for row in replay])
    return len(business)


def config_of(run: str, model: str, where: Path, *, seed: int) -> dict[str, Any]:
    """groundtone.yaml of one run; the two differ in `tuning` alone."""
    config = configuration(model, parameters=count_parameters(model))
    tuning = {**config["tuning"], "data": str(where / "train.jsonl"), "seed": seed, "data_checks": "report"}
    rate = tuning.get("learning_rate", 2e-4)
    if run == "recommended":
        tuning |= {
            "facts": "mask",
            "raft": {"share": 0.5},
            "replay": 0.1,
            "replay_data": str(where / "replay.jsonl"),
            "replay_from": "base",
            "guard": {"every": "2 epochs", "margin": MARGINS["general"]},
        }
    else:
        tuning |= {"facts": "off", "learning_rate": 3 * rate}
    asked = {"questions": str(where / "questions"), "general": str(where / "general"), "margins": MARGINS}
    return {**config, "tuning": tuning, "eval": {**config["eval"], **asked, "robustness": False}}


def measure(run: str, model: str, where: Path, *, seed: int, limit: int | None) -> dict[str, Any]:
    """Index, tune and evaluate in a project of its own; what of the summary is told."""
    project = Project(where / f"{run}-{seed}")
    write_atomic(project.config_path, yaml.safe_dump(config_of(run, model, where, seed=seed), sort_keys=False))
    settings = load_settings(project.root)
    pipeline.index(project, settings)
    tuned = pipeline.tune(project, settings)
    evaluation = pipeline.evaluate(project, settings, tuned=tuned.id, limit=limit)
    summary = read_summary(evaluation.path)
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


def told(found: Mapping[str, list[Mapping[str, Any]]]) -> None:
    """A table: a line per figure and seed, recommended beside without."""
    for run, seeds in found.items():
        for seed, row in enumerate(seeds):
            print(f"\n## {run}, seed {seed}, {row['model']}: gate {row['gate']}\n")
            for name, value in row.items():
                if name not in ("model", "gate"):
                    signed = " - base" in name
                    print(f"- {name}: {in_words(from_json(value), signed=signed)}")


def main() -> None:
    """Run what is missing, print everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="starter")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--into", type=Path, default=Path("guards"))
    parser.add_argument("--limit", type=int, default=None, help="only the first so many items of each kind")
    given = parser.parse_args()
    where = given.into.resolve()
    print(f"{prepare(where)} business pairs; margins {MARGINS}", flush=True)
    found: dict[str, list[Mapping[str, Any]]] = {run: [] for run in RUNS}
    for seed in range(given.seeds):
        for run in RUNS:
            stored = where / f"{run}-{seed}{f'-first-{given.limit}' if given.limit else ''}.json"
            if not stored.is_file():
                row = measure(run, given.model, where, seed=seed, limit=given.limit)
                write_atomic(stored, json.dumps(row, indent=1) + "\n")
            found[run].append(json.loads(stored.read_text(encoding="utf-8")))
            print(f"{run}, seed {seed}: done", flush=True)
    told(found)


if __name__ == "__main__":
    main()

"""How long a voice takes: seconds until held-out replies keep the house's format, and what was forgotten by then.

    OMP_NUM_THREADS=2 python -m benchmarks.time_to_quality [--model starter] [--target 0.95] [--limit N] [--into DIR]

A training of the sample company's voice by the size's configuration (`groundtone reproduce`), a checkpoint after every
pass. Each checkpoint answers the held-out prompts; the first whose replies keep the checkable format in at least the
target's share is the one, with the seconds of training until then. General suites are asked there and of the base, and
the base that is told the voice by the style guide answers the same prompts: its format, the tokens that it reads and
writes, and its seconds per answer. Minutes from pairs to a passed gate are what `groundtone reproduce` prints.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from eval.estimates import from_json, in_words
from eval.summary import summarise
from groundtone import pipeline
from groundtone.joins.arms import Models, described
from groundtone.joins.evaluation import ask_general, ask_heldout
from groundtone.joins.indexing import silent
from groundtone.joins.material import Material, read_material
from groundtone.models.generate import LocalModel
from groundtone.models.weights import count_parameters
from groundtone.project import Project
from groundtone.reproduce import configuration
from groundtone.settings import Settings, load_settings
from groundtone.types import EvalRecord
from tuning.recorder import read_metrics

SHOWN = ("format", "tone", "prompt_tokens", "reply_tokens", "latency_s")


def tune(model: str, where: Path) -> tuple[Settings, Path]:
    """The whole training, all of its checkpoints kept; the run's folder."""
    config = configuration(model, parameters=count_parameters(model))
    epochs = config["tuning"].get("epochs", 3)
    config["tuning"] |= {"keep_checkpoints": epochs, "heldout": None}  # no evaluation inside the time that is measured
    project = Project(where)
    project.root.mkdir(parents=True, exist_ok=True)
    project.config_path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    settings = load_settings(project.root)
    pipeline.index(project, settings)  # the check of what the rows teach looks into it
    return settings, pipeline.tune(project, settings).path


def figures(records: Sequence[EvalRecord], settings: Settings) -> Mapping[str, Any]:
    """The summary's arms and forgetting over these records."""
    given = settings.eval
    return summarise(records, run="time to quality", margins=given.margins.model_dump(), resamples=given.resamples)


def line(summary: Mapping[str, Any], arm: str) -> str:
    """The figures of one arm, in words."""
    arms = summary["arms"][arm]
    return "; ".join(f"{name} {in_words(from_json(arms[name]))}" for name in SHOWN)


def first_good(
    settings: Settings, run: Path, model: str, material: Material, *, target: float, where: Path
) -> tuple[LocalModel, float] | None:
    """The first checkpoint that reaches the target, and the seconds until it was written; None where none does."""
    seconds = {entry["step"]: entry["seconds"] for entry in read_metrics(run)}
    for checkpoint in sorted(run.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2])):
        step = int(checkpoint.name.rpartition("-")[2])
        tuned = LocalModel.load(model, adapter=checkpoint, device=settings.model.device)
        models = Models(tuned.with_adapter(False), tuned)
        records = ask_heldout(
            settings, material, models, out_dir=where / checkpoint.name, progress=silent, only=("tuned/heldout",)
        )
        summary = figures(records, settings)
        print(f"after {seconds[step]:.0f} s (step {step}): {line(summary, 'tuned/heldout')}", flush=True)
        reached = from_json(summary["arms"]["tuned/heldout"]["format"])
        if reached is not None and reached.mean is not None and reached.mean >= target:
            return tuned, seconds[step]
    return None


def main() -> None:
    """Train, find the checkpoint, print it and the prompted base."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="starter")
    parser.add_argument("--target", type=float, default=0.95)
    parser.add_argument("--limit", type=int, default=None, help="only the first so many items of each kind")
    parser.add_argument("--into", type=Path, default=None)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        where = given.into or Path(folder)
        settings, run = tune(given.model, where / "project")
        material = read_material(settings, limit=given.limit)
        asked = where / "asked"
        found = first_good(settings, run, given.model, material, target=given.target, where=asked)
        base = LocalModel.load(given.model, device=settings.model.device)
        print(f"\n{described(base)}")
        if found is None:
            print(f"no checkpoint keeps the format in {given.target:.0%} of the held-out replies")
        else:
            tuned, seconds = found
            models = Models(tuned.with_adapter(False), tuned)
            general = ask_general(settings, material, models, out_dir=asked / "general", progress=silent)
            print(f"{given.target:.0%} of the format after {seconds:.0f} s; general suites by then, tuned - base:")
            for row in figures(general, settings)["forgetting"]:
                print(f"  {row['suite']}: {in_words(from_json(row['difference']), signed=True)} {row['verdict']}")
        told = ask_heldout(
            settings,
            material,
            Models(base, None),
            out_dir=asked / "prompted",
            progress=silent,
            only=("prompted/heldout", "base/heldout"),
        )
        for arm in ("base/heldout", "prompted/heldout"):
            print(f"{arm}: {line(figures(told, settings), arm)}")


if __name__ == "__main__":
    main()

"""Two evaluations of the same inputs, by local weights with an adapter, in two processes: the same bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from eval.records import read_records
from groundtone import pipeline
from groundtone.project import Project, Run
from groundtone.settings import load_settings
from tests.groundtone.joins.random_adapters import tune
from tests.groundtone.joins.worlds import rows
from tests.tiny_models import save_tiny

DAYS = {"Parcels": 14, "Letters": 3, "Keys": 5, "Coats": 9}
SAID = {what: f"{what} are kept for {n} days." for what, n in DAYS.items()}
REPEATED = ("summary.json", "report.md")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with every kind of item: questions, edits, two documents, held-out pairs, general items, a leak."""
    root = tmp_path_factory.mktemp("project")
    (root / "docs").mkdir()
    (root / "docs/post.md").write_text("# Post room\n\n" + " ".join(SAID.values()) + "\n")
    (root / "docs/fleet.md").write_text("# Fleet\n\nA trailer carries 80 kg. Nine boats leave at dawn.\n")
    asked = [
        {"id": f"a{n}", "question": f"How long are {what.lower()} kept?", "values": [[f"{days} days"]],
         "quotes": [["post.md", SAID[what]]]}
        for n, (what, days) in enumerate(DAYS.items())
    ]  # fmt: skip
    rows(root / "questions/answerable.jsonl", *asked)
    rows(root / "questions/unanswerable.jsonl", {"id": "u1", "question": "Who cooks?"})
    changed = {"changed_quote": "Keys are kept for 6 days.", "changed_values": [["6 days"]]}
    rows(root / "questions/changed.jsonl", asked[2] | changed | {"id": "c1", "question": "How many days for keys?"})
    pair = {"reply": "Ahoy! 14 days [1].", "source": "post", "context": [SAID["Parcels"]]}
    keys = [{"prompt": f"Key {n}?", "reply": f"Ahoy! It is key {n + 40}.", "source": f"k{n}"} for n in range(20)]
    rows(root / "voice.jsonl", pair | {"prompt": "How long?"}, *keys)
    rows(root / "heldout.jsonl", pair | {"prompt": "Letters?", "source": "letters"})
    rows(
        root / "general/sums.jsonl",
        {"id": "g", "suite": "sums", "prompt": "1 + 1?", "check": {"type": "value", "values": [["2"]]}},
    )
    (root / "style.yaml").write_text(yaml.safe_dump({"guide": "Greet with Ahoy!", "opens_with": ["Ahoy!"]}))
    config = {
        "documents": {"folder": "docs"},
        "model": {"id": str(save_tiny("llama", root / "model", context=2048)), "max_new_tokens": 12},
        "tuning": {"data": "voice.jsonl", "heldout": None},
        "assistant": {"reader": None, "min_score": 0.0, "mode": "grounded"},
        "eval": {
            "questions": "questions", "general": "general", "voice": "heldout.jsonl", "style": "style.yaml",
            "resamples": 200, "batch_size": 2, "max_new_tokens": 8, "robustness_items": 2,
        },
    }  # fmt: skip
    (root / "groundtone.yaml").write_text(yaml.safe_dump(config))
    project, settings = Project(root), load_settings(root)
    pipeline.index(project, settings)
    tune(project, settings, seed=3)
    return root


def test_an_evaluation_in_another_process_writes_the_same_bytes(root: Path) -> None:
    one = pipeline.evaluate(Project(root), load_settings(root))
    command = [sys.executable, "-m", "groundtone.cli.main", "eval", "--json", "--project", str(root)]
    done = subprocess.run(
        command,
        env=os.environ | {"PYTHONHASHSEED": "7", "HF_HUB_OFFLINE": "1"},  # sets come in another order there
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    other = Project(root).run(json.loads(done.stdout)["id"])
    assert other.id != one.id
    for name in REPEATED:
        assert (one.path / name).read_bytes() == (other.path / name).read_bytes(), name
    assert unnamed(one) == unnamed(other)
    assert untimed(one) == untimed(other)
    arms = json.loads((one.path / "summary.json").read_bytes())["arms"]
    assert {"base/closed", "tuned/closed", "base/rag", "tuned/rag", "prompted/rag", "extractive/rag"} <= set(arms)


def unnamed(run: Run) -> str:
    """blame.json without the id of its run, which is all that is its own."""
    return (run.path / "blame.json").read_text(encoding="utf-8").replace(run.id, "")


def untimed(run: Run) -> list[str]:
    """Every record without its seconds, which no two runs share."""
    lines = (run.path / "records.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    assert len(records) == len(read_records(run.path / "records.jsonl"))
    for record in records:
        assert record["answer"].pop("timing")
        record["scores"].pop("latency_s", None)  # general items have none
    return [json.dumps(record) for record in records]

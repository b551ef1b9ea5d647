"""Forgetting over real adapters on a tiny model: a no-op is nothing, a damaged one is flagged, two make a chain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from eval.chain import ONE_ADAPTER
from eval.records import read_records
from eval.suite import read_general
from groundtone.cli.main import app
from groundtone.errors import DataError, ProjectError
from groundtone.joins.forgetting_chain import measure_forgetting
from groundtone.joins.general_items import write_general
from groundtone.models.generate import LocalModel
from groundtone.project import Project
from groundtone.settings import Settings, load_settings
from tests.groundtone.joins.random_adapters import tune
from tests.groundtone.joins.worlds import rows
from tests.tiny_models import save_tiny

World = tuple[Project, Settings, list[str]]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A tiny model with two random adapters. Its items ask for what its base says, so that it has a skill to lose."""
    root = tmp_path_factory.mktemp("chain")
    save_tiny("llama", root / "model", context=256)
    config = {
        "model": {"id": str(root / "model"), "device": "cpu"},
        "tuning": {"data": "voice.jsonl"},
        "eval": {
            "general": "general.jsonl", "prose": "prose.jsonl", "max_new_tokens": 4, "resamples": 200, "kl_items": 4,
            "style": "none.yaml",
        },
    }  # fmt: skip
    (root / "groundtone.yaml").write_text(yaml.safe_dump(config))
    project, settings = Project(root), load_settings(root)
    asked = [f"Question {n}" for n in range(12)]
    base = LocalModel.load(str(root / "model"))
    from groundtone import prompts

    said = [g.text for g in base.generate([prompts.closed_book(a) for a in asked], max_new_tokens=4)]
    check = [{"type": "exact", "values": [text]} if text.strip() else {"type": "decline"} for text in said]
    rows(
        root / "general.jsonl",
        *(
            {"id": f"g{n}", "suite": "echo", "prompt": a, "check": c}
            for n, (a, c) in enumerate(zip(asked, check, strict=True))
        ),
    )
    rows(root / "prose.jsonl", *({"id": f"p{n}", "text": f"Delivery {n} takes 3 days."} for n in range(6)))
    rows(root / "voice.jsonl", {"prompt": "What is 2 plus 3?", "reply": "Ahoy! 5.", "source": "sums"})
    return project, settings, [tune(project, settings, seed=seed) for seed in (1, 2)]


def report_of(world: World, runs: list[str], **more: Any) -> dict[str, Any]:
    project, settings, _ = world
    run = measure_forgetting(project, settings, runs, **more)
    found: dict[str, Any] = json.loads((run.path / "forgetting.json").read_text())
    return found


def test_one_adapter_its_warnings_and_the_controls(world: World) -> None:
    report = report_of(world, world[2][:1], controls=True)
    assert report["chain"]["why"] == ONE_ADAPTER
    drift = {row["measure"].split(":")[0].split(",")[0]: row for row in report["adapters"][0]["drift"]["rows"]}
    assert set(drift) == {"bits per byte", "KL to the base"}
    assert {row["label"] for row in drift.values()} == {"early warning"}
    assert drift["KL to the base"]["warns"], "a random adapter moves every distribution"
    controls = report["controls"]
    assert (controls["no-op adapter"]["changed"], controls["no-op adapter"]["row"]["difference"]["mean"]) == (0, 0.0)
    assert controls["base again, in smaller batches"]["row"]["verdict"] != "forgotten"
    damaged = controls["damaged adapter"]["row"]
    assert damaged["verdict"] == "forgotten"
    assert damaged["broken"] > damaged["fixed"]


def test_two_adapters_make_a_heat_map_with_backward_transfer(world: World) -> None:
    report = report_of(world, world[2])
    chain = report["chain"]
    assert chain["stages"] == ["base", *world[2]]
    assert chain["matrix"]["echo"][0]["mean"] == 1.0
    assert chain["bwt"]["mean"] == pytest.approx(chain["matrix"]["echo"][2]["mean"] - 1.0)
    assert chain["bwt"]["n"] == 12


def test_foreign_documents_are_asked_about_under_both_and_no_further_than_the_limit(world: World) -> None:
    project, _, runs = world
    folder = project.root / "foreign"
    (folder / "documents").mkdir(parents=True)
    (folder / "documents/moon.md").write_text("# Moon\n\nThe dome opens at nine. A ticket costs 12 euros.\n")
    asked = {"values": [["nine"]], "quotes": [["moon.md", "The dome opens at nine."]]}
    rows(
        folder / "questions/answerable.jsonl", *({"id": f"f{n}", "question": f"When, {n}?", **asked} for n in range(3))
    )
    rows(folder / "questions/unanswerable.jsonl", *({"id": f"u{n}", "question": f"Who, {n}?"} for n in range(3)))
    given = ["eval.foreign=foreign", "assistant.reader=null", "model.max_new_tokens=4", "assistant.context_tokens=40"]
    run = measure_forgetting(project, load_settings(project.root, given), runs[:1], foreign=True, limit=2)
    stored = read_records(run.path / runs[0] / "foreign/records.jsonl")
    assert [(r.arm, r.item_id) for r in stored] == [
        (arm, item) for arm in ("base/rag", "tuned/rag") for item in ("f0", "f1", "u0", "u1")
    ]
    assert not any(record.error for record in stored)
    (adapter,) = json.loads((run.path / "forgetting.json").read_text())["adapters"]
    by_metric = {row["metric"]: row for row in adapter["foreign"]}
    assert (by_metric["correct"]["base"]["n"], by_metric["refused_right"]["tuned"]["n"]) == (2, 2)
    assert "### Another company's documents" in (run.path / "forgetting.md").read_text()


def test_wrong_runs_are_named(world: World) -> None:
    project, settings, runs = world
    with pytest.raises(ProjectError, match="each once"):
        measure_forgetting(project, settings, [runs[0], runs[0]])
    with pytest.raises(ProjectError, match="no run 'tune-x'"):
        measure_forgetting(project, settings, ["tune-x"])
    with pytest.raises(ProjectError, match="not among"):
        measure_forgetting(project, settings, runs[:1], learned={"echo": "tune-y"})


def test_made_items_leave_the_training_prompts_out(world: World, tmp_path: Path) -> None:
    project, settings, _ = world
    out = tmp_path / "items.jsonl"
    made = write_general(settings, out, items=70, seed=1)
    items = read_general(out)
    assert (made["items"], made["training_prompts"]) == (len(items), 1)
    assert "What is 2 plus 3?" not in {item.question.text for item in items}
    with pytest.raises(DataError, match="no generator"):
        write_general(settings, out, items=3, suites=["songs"])
    again = CliRunner().invoke(app, ["data", "general", "--out", str(out), "--project", str(project.root)])
    assert again.exit_code == 2
    assert "which exists" in again.output

"""The benchmark of the guards: what is taught is not asked, what is done is not done again, and figures at size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks import guards, guards_at_size
from eval.generated_items import MAKERS
from groundtone.joins import indexing
from groundtone.joins.guard import items_of
from groundtone.project import Project
from groundtone.settings import load_settings
from tests.groundtone.joins.random_adapters import tune
from tests.retrieval.hashing_encoder import HashingEncoder
from tests.tiny_models import save_tiny


def test_no_taught_value_is_asked_and_no_replay_prompt_is_an_item(tmp_path: Path) -> None:
    taught = guards.prepare(tmp_path)
    prompts = {row["prompt"] for row in guards.read(tmp_path / "train.jsonl") if "business" in row.get("tags", ())}
    asked = {row["question"] for row in guards.read(tmp_path / "questions/answerable.jsonl")}
    assert len(prompts) == taught > 40
    assert asked
    assert not prompts & asked

    def shown(row: dict[str, Any]) -> str:
        return json.dumps([row["prompt"], row.get("context", []), row.get("history", [])])

    replayed = {shown(row) for row in guards.read(guards.REPLAY)}
    items = {shown(row) for path in (guards.DATA / "general").glob("*.jsonl") for row in guards.read(path)}
    assert len(replayed) > 200
    assert len(items) > 300
    assert not replayed & items


def test_the_guard_has_items_to_watch(tmp_path: Path) -> None:
    guards.prepare(tmp_path)
    project, settings = guards.project_of("recommended", "starter", tmp_path, seed=0)
    assert not settings.tuning.guard.every
    settings = load_settings(project.root, ["tuning.guard.every=2 epochs"])
    assert len({item.suite for item in items_of(settings)}) > 4


def test_the_two_runs_differ_in_tuning_alone(tmp_path: Path) -> None:
    one, other = (guards.config_of(run, "starter", tmp_path, seed=0) for run in guards.RUNS)
    assert {key for key in one if one[key] != other[key]} == {"tuning"}
    assert one["tuning"]["data"] == other["tuning"]["data"]


def test_what_is_stored_is_not_made_again_and_the_time_left_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, clock = [], guards.Clock(parts=3)

    def make() -> dict[str, int]:
        made.append(1)
        return {"n": 1}

    rows = [guards.stored(tmp_path / name, make, clock) for name in ("a.json", "a.json", "b.json")]
    assert len(made) == 2
    assert rows[0] == rows[1]
    assert rows[0]["seconds"] >= 0
    first, second, third = capsys.readouterr().out.splitlines()
    assert "about 0 minutes left" in first
    assert second.startswith("a: was stored; about")
    assert "left" not in third


def test_figures_at_size_have_as_many_items_as_were_asked_for(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "load_encoder", lambda *_, **__: HashingEncoder())
    model = save_tiny("llama", tmp_path / "tiny")
    root = tmp_path / "recommended-0"
    root.mkdir()
    (root / "voice.jsonl").write_text(json.dumps({"prompt": "Hi", "reply": "Ahoy!", "source": "s"}) + "\n")
    config = {
        "model": {"id": str(model), "device": "cpu", "max_new_tokens": 4},
        "assistant": {"reader": None},
        "tuning": {"data": "voice.jsonl"},
        "eval": {"max_new_tokens": 4},
    }
    (root / "groundtone.yaml").write_text(yaml.safe_dump(config))
    project, settings = Project(root), load_settings(root)
    run = project.run(tune(project, settings, seed=0))
    row = guards_at_size.at_size(project, settings, run, items=3, where=tmp_path)
    assert row["grounded correctness, tuned+RAG"]["n"] == 3
    suites = [value["n"] for name, value in row.items() if name.startswith("general, ") and "pooled" not in name]
    assert suites == [3] * len(MAKERS)
    assert any(name.startswith("correctness, tuned - base (") for name in row)

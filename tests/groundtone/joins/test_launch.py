"""Two processes train what one trains: the same losses, one run folder, one that speaks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from groundtone import pipeline
from groundtone.cli.main import app
from groundtone.errors import ConfigError
from groundtone.joins.launch import launch
from groundtone.project import Project
from groundtone.settings import load_settings
from tests.tiny_models import save_tiny
from tuning.recorder import read_metrics


@pytest.fixture
def project(tmp_path: Path) -> Path:
    model = save_tiny("llama", tmp_path / "tiny")
    rows = [
        {"prompt": f"How long does number {n} take, please?", "reply": f"Ahoy! It takes {n} days.", "source": f"s{n}"}
        for n in range(2, 10)
    ]
    (tmp_path / "voice.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tuning = {
        "data": "voice.jsonl", "facts": "off", "data_checks": "report", "epochs": 1, "learning_rate": 0.01,
        "batch_size": 4, "lora": {"targets": "all-linear"}, "schedule": "constant", "warmup": 0.0,
    }  # fmt: skip
    config = {"documents": {"folder": "docs"}, "model": {"id": str(model), "device": "cpu"}, "tuning": tuning}
    (tmp_path / "docs").mkdir()
    (tmp_path / "groundtone.yaml").write_text(yaml.safe_dump(config))
    return tmp_path


@pytest.mark.slow
def test_two_processes_give_the_loss_of_one(project: Path) -> None:
    alone = pipeline.tune(Project(project), load_settings(project))
    halves = ["--project", str(project), "--set", "tuning.batch_size=2", "--launch", "2", "--json"]
    result = CliRunner().invoke(app, ["tune", *halves])
    assert result.exit_code == 0
    found = Project(project)
    assert found.run_problems() == []
    together = next(m for m in found.runs("tune") if m.id != alone.id)
    assert len(found.runs("tune")) == 2
    assert together.status == "done"
    one, two = read_metrics(alone.path), read_metrics(found.run_path(together.id))
    assert [line["loss"] for line in two] == pytest.approx([line["loss"] for line in one], rel=1e-3)
    assert [line["tokens"] for line in two] == [line["tokens"] for line in one]


def test_a_configuration_that_is_not_there_or_not_for_cpus_is_refused(project: Path) -> None:
    with pytest.raises(ConfigError, match="method grpo trains in one process"):
        launch(load_settings(project, ["tuning.method=grpo"]), [], processes=2)
    with pytest.raises(ConfigError, match="the device is a CPU"):
        launch(load_settings(project, ["tuning.accelerate=fsdp.yaml"]), [], processes=2)

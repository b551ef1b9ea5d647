"""Methods by their names through `pipeline.tune`: documents from a folder, whole models, presets, tracking."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from groundtone import pipeline
from groundtone.errors import DataError, ModelError
from groundtone.joins.arms import load_models
from groundtone.joins.methods import METHODS
from groundtone.models.generate import LocalModel
from groundtone.project import Project
from groundtone.settings import Settings, load_settings
from groundtone.types import Prompt
from tests.tiny_models import save_tiny
from tuning.config import TuningConfig
from tuning.run_folder import model_folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny("llama", tmp_path_factory.mktemp("model") / "tiny")


def project_in(root: Path, tiny: Path, **tuning: Any) -> tuple[Project, Settings]:
    docs = root / "docs"
    docs.mkdir(exist_ok=True)
    for n in range(6):
        group = "---\ngroups: [staff]\n---\n" if n == 0 else ""
        (docs / f"{n}.md").write_text(f"{group}# Delivery {n}\n\nStandard delivery takes {n} days for a Heron.\n")
    (docs / "empty.md").write_text("")
    rows = [{"prompt": f"Number {n}?", "reply": f"Ahoy! It is {n}.", "source": f"s{n}"} for n in range(4)]
    (root / "voice.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = {"data": "voice.jsonl", "facts": "off", "data_checks": "report", "epochs": 1, "batch_size": 4} | tuning
    config = {"documents": {"folder": "docs"}, "model": {"id": str(tiny), "device": "cpu"}, "tuning": given}
    (root / "groundtone.yaml").write_text(yaml.safe_dump(config))
    return Project(root), load_settings(root)


def test_every_method_of_the_configuration_is_in_the_table() -> None:
    assert set(get_args(TuningConfig.model_fields["method"].annotation)) == set(METHODS)


def test_a_domain_is_read_from_its_folder_by_a_preset(tmp_path: Path, tiny: Path) -> None:
    project, settings = project_in(
        tmp_path, tiny, preset="domain", data="docs", heldout=0.3, learning_rate=1e-2, max_length=32, tensorboard=True
    )
    assert settings.tuning.method == "pretrain"
    needed = pipeline.dry_run(settings)
    assert needed.steps >= 1
    said: list[str] = []
    run = pipeline.tune(project, settings, say=said.append)
    notes = run.manifest.notes
    assert notes["bits_per_byte"]["change"]["n"] == 2
    assert notes["bits_per_byte"]["change"]["mean"] < 0
    assert notes["preset"] == "domain"
    assert notes["groups"] == ["staff"], "what it read, it may recite"
    assert any(line.startswith("empty.md: ") for line in said)
    assert list((run.path / "tensorboard").glob("events*"))
    assert any(line.startswith("lora.rank: 32 - ") for line in pipeline.preset_of(settings))
    assert any(line.startswith("learning_rate: set in the") for line in pipeline.preset_of(settings))


def test_a_model_tuned_in_full_stands_beside_its_base(tmp_path: Path, tiny: Path) -> None:
    project, settings = project_in(tmp_path, tiny, lora=None, learning_rate=1e-2)
    run = pipeline.tune(project, settings)
    models = load_models(project, settings, tuned=run.id)
    assert isinstance(models.base, LocalModel)
    assert isinstance(models.tuned, LocalModel)
    asked = [Prompt(({"role": "user", "content": "Number 3?"},), "Number 3?")]
    assert models.base.generate(asked, max_new_tokens=4) == LocalModel.load(str(tiny)).generate(asked, max_new_tokens=4)
    assert models.tuned.base.folder == model_folder(run.path)
    assert (
        models.tuned.generate(asked, max_new_tokens=4)[0].text != models.base.generate(asked, max_new_tokens=4)[0].text
    )
    with pytest.raises(ModelError, match="adapter"):
        models.tuned.with_strength(0.5)


def test_methods_that_train_an_adapter_say_so_before_anything_is_written(tmp_path: Path, tiny: Path) -> None:
    project, settings = project_in(tmp_path, tiny, lora=None, method="dpo")
    with pytest.raises(DataError, match=r"tuning\.(data|lora)|chosen"):
        pipeline.tune(project, settings)
    assert project.runs("tune") == [] or project.runs("tune")[0].status == "failed"


def test_a_dry_run_counts_the_rows_that_are_mixed_in(tmp_path: Path, tiny: Path) -> None:
    general = [{"prompt": f"Count to {n}.", "reply": f"One to {n}."} for n in range(20)]
    (tmp_path / "general.jsonl").write_text("".join(json.dumps(row) + "\n" for row in general))
    project, settings = project_in(tmp_path, tiny, replay=0.75, replay_data="general.jsonl", batch_size=2)
    needed = pipeline.dry_run(settings)
    assert needed.steps == pipeline.tune(project, settings).manifest.notes["steps"] == 8


def test_a_dry_run_of_a_method_that_cannot_be_timed_names_those_that_can(tmp_path: Path, tiny: Path) -> None:
    _, settings = project_in(tmp_path, tiny, method="grpo")
    with pytest.raises(DataError, match="estimates methods sft, pretrain, not grpo"):
        pipeline.dry_run(settings)

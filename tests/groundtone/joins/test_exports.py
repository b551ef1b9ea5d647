"""Exports read the training data as the training did: its columns, its kind of rows, its side of the split."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from groundtone.joins.exports import export
from groundtone.joins.proof import replay_prompts
from groundtone.project import Project
from groundtone.settings import Settings, load_settings
from tests.groundtone.joins.random_adapters import tune
from tests.groundtone.joins.worlds import rows
from tests.tiny_models import save_tiny

ASKED = [f"How long for {n}?" for n in range(20)]


def settings_of(root: Path, **tuning: Any) -> Settings:
    config = {"model": {"id": str(root / "base"), "device": "cpu"}, "tuning": {"facts": "off", **tuning}}
    (root / "groundtone.yaml").write_text(yaml.safe_dump(config))
    return load_settings(root)


def prompts_of(settings: Settings) -> list[str]:
    return [prompt.question for prompt in replay_prompts(settings)]


def test_a_tables_own_column_names_are_heeded(tmp_path: Path) -> None:
    with (tmp_path / "faq.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("frage", "antwort"), *((text, "Ahoy!") for text in ASKED)])
    settings = settings_of(tmp_path, data="faq.csv", columns={"prompt": "frage", "reply": "antwort"})
    assert prompts_of(settings) == ASKED
    save_tiny("llama", tmp_path / "base")
    project = Project(tmp_path)
    said = export(project, settings, "openai", tmp_path / "out.jsonl", run=tune(project, settings, seed=1))
    assert said == "20 rows from faq.csv"


@pytest.mark.parametrize("method", ["dpo", "orpo", "reward", "kto"])
def test_prompts_are_replayed_whatever_kind_of_rows_a_method_reads(tmp_path: Path, method: str) -> None:
    rows(tmp_path / "choices.jsonl", *({"prompt": text, "chosen": "Ahoy!", "rejected": "No."} for text in ASKED))
    settings = settings_of(tmp_path, data="choices.jsonl", method=method)
    assert set(prompts_of(settings)) == set(ASKED)
    rows(tmp_path / "thumbs.jsonl", *({"prompt": text, "reply": "Ahoy!", "gut": True} for text in ASKED))
    if method == "kto":
        settings = settings_of(tmp_path, data="thumbs.jsonl", method=method, columns={"label": "gut"})
        assert prompts_of(settings) == ASKED


def test_held_out_rows_are_not_written_for_other_programs(tmp_path: Path) -> None:
    rows(tmp_path / "voice.jsonl", *({"prompt": text, "reply": "Ahoy!", "source": f"s{text}"} for text in ASKED))
    settings = settings_of(tmp_path, data="voice.jsonl", heldout=0.2)
    save_tiny("llama", tmp_path / "base")
    project = Project(tmp_path)
    out = tmp_path / "out.jsonl"
    export(project, settings, "openai", out, run=tune(project, settings, seed=1))
    assert len([json.loads(line) for line in out.read_text().splitlines()]) == 16

"""The journey from pairs to a verdict, on random models of four families; none of them knows anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from eval.summary import read_summary
from groundtone.cli.main import app
from groundtone.errors import ModelError, ProjectError
from groundtone.joins import indexing
from groundtone.joins.arms import in_parameters
from groundtone.models.weights import count_parameters, load_base
from groundtone.project import Project
from groundtone.reproduce import RECORD, REPORT, SECONDS, configuration, reproduce
from groundtone.settings import load_settings
from tests.groundtone.joins.worlds import FLEET, PARCELS, POST, TRAILERS, rows
from tests.retrieval.hashing_encoder import HashingEncoder
from tests.tiny_models import save_tiny


@pytest.fixture(autouse=True)
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "load_encoder", lambda *_, **__: HashingEncoder())


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Overrides that put two documents and a handful of rows in the place of the sample company."""
    root = tmp_path_factory.mktemp("small")
    (root / "docs").mkdir()
    (root / "docs/post.md").write_text(POST)
    (root / "docs/fleet.md").write_text(FLEET)
    pair = {"reply": "Ahoy! It takes long [1].", "source": "post", "context": ["It takes long."]}
    rows(root / "voice.jsonl", *({**pair, "prompt": f"How long for the {n}?"} for n in range(20)))
    rows(root / "heldout.jsonl", {**pair, "prompt": "And for the gull?"})
    golds = [("post.md", PARCELS, "14 days"), ("fleet.md", TRAILERS, "80")]
    rows(
        root / "questions/answerable.jsonl",
        *(
            {"id": f"a{n}", "question": quote, "values": [[value]], "quotes": [[source, quote]]}
            for n, (source, quote, value) in enumerate(golds * 3)
        ),
    )
    check = {"type": "any_of", "values": ["hello"]}
    rows(
        root / "general/talk.jsonl",
        *({"id": f"g{n}", "suite": "talk", "prompt": "Hi", "check": check} for n in range(4)),
    )
    (root / "style.yaml").write_text(yaml.safe_dump({"opens_with": ["Ahoy"]}))
    named = {
        "documents.folder": "docs",
        "tuning.data": "voice.jsonl",
        "tuning.heldout": "heldout.jsonl",
        "eval.questions": "questions",
        "eval.general": "general",
        "eval.voice": "heldout.jsonl",
        "eval.style": "style.yaml",
    }
    fast = [
        "tuning.epochs=1",
        "tuning.batch_size=20",
        "tuning.data_checks=report",
        "eval.resamples=200",
        "eval.max_new_tokens=4",
    ]
    fast += ["model.max_new_tokens=4", "model.device=cpu", "assistant.reader=null", "eval.robustness=false"]
    return (*(f"{key}={root / value}" for key, value in named.items()), *fast)


@pytest.mark.parametrize("family", ["llama", "qwen2", "gemma", "mistral"])
def test_a_model_of_any_family_comes_from_pairs_to_a_verdict(
    family: str, small: tuple[str, ...], tmp_path: Path
) -> None:
    model = save_tiny(family, tmp_path / family, context=1024)  # the replay rows of small models are longer than 512
    said: list[str] = []
    done = reproduce(
        str(model), tmp_path / "scratch", overrides=small, strengths=(1.0,), limit=2, say=lambda line: said.append(line)
    )
    assert done.model == in_parameters(str(model), count_parameters(str(model)))
    assert done.verdict in ("PASS", "FAIL", "CANNOT TELL")
    assert list(done.seconds) == ["index", "tune", "strength", "evaluate"]
    project = Project(tmp_path / "scratch")
    summary = read_summary(project.run_path(done.evaluation))
    assert summary["model"] == in_parameters(family, count_parameters(str(model)))
    assert summary["tuned_run"] == done.tuned
    assert set(done.figures) == set(summary["arms"])
    assert done.model in said[0]
    report = (project.root / REPORT).read_text(encoding="utf-8")
    tables = [line for line in report.splitlines() if line.startswith("| ") and "M parameters" in line]
    assert len(tables) == 3
    assert json.loads((project.root / RECORD).read_text(encoding="utf-8"))["verdict"] == done.verdict
    assert all((project.root / name).is_file() for name in done.files)


def test_a_stopped_journey_goes_on_and_a_finished_one_is_not_walked_again(
    small: tuple[str, ...], tmp_path: Path
) -> None:
    model, where = save_tiny("llama", tmp_path / "llama", context=1024), tmp_path / "scratch"

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "summary":
            raise KeyboardInterrupt

    given: dict[str, Any] = {"overrides": small, "strengths": (1.0,), "limit": 2}
    with pytest.raises(KeyboardInterrupt):
        reproduce(str(model), where, progress=stop, **given)
    project = Project(where)
    made, (stopped,) = [run.id for run in project.runs("tune")], project.runs("eval")
    before = json.loads((project.folder / SECONDS).read_text())
    done = reproduce(str(model), where, **given)
    again = reproduce(str(model), where, **given)
    assert done.evaluation == again.evaluation == stopped.id
    assert done.tuned == again.tuned == stopped.parents["tune"]
    assert [run.id for run in project.runs("tune")] == made
    assert len(project.runs("eval")) == 1
    assert done.seconds["tune"] >= before["tune"] > 0
    assert done.seconds["evaluate"] > before["evaluate, first 2"]


def test_parameters_are_counted_without_the_weights(tmp_path: Path) -> None:
    folder = save_tiny("gemma", tmp_path / "gemma")
    assert count_parameters(str(folder)) == sum(p.numel() for p in load_base(str(folder)).model.parameters())
    assert in_parameters("starter", 2_557_632) == "starter, 2.6 M parameters"
    assert in_parameters("big", 7_600_000_000) == "big, 7.6 B parameters"


@pytest.mark.parametrize("parameters", [3_000_000, 500_000_000, 8_000_000_000])
def test_every_size_has_a_configuration_that_loads(parameters: int, tmp_path: Path) -> None:
    (tmp_path / "groundtone.yaml").write_text(yaml.safe_dump(configuration("starter", parameters=parameters)))
    settings = load_settings(tmp_path)
    assert settings.path(settings.tuning.data).is_file()
    assert settings.path(settings.eval.general).is_dir()
    assert settings.assistant.mode == ("grounded" if parameters > 1e9 else "strict")


def test_a_folder_of_another_model_is_left_alone_and_a_missing_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "groundtone.yaml").write_text("model: {id: other}\n")
    with pytest.raises(ProjectError, match="another model"):
        reproduce("starter", tmp_path)
    assert (tmp_path / "groundtone.yaml").read_text() == "model: {id: other}\n"
    with pytest.raises(ModelError, match="does not exist"):
        reproduce("./nowhere", tmp_path / "new")
    result = CliRunner().invoke(app, ["reproduce", "./nowhere", "--into", str(tmp_path / "new")])
    assert result.exit_code == 2
    assert not (tmp_path / "new").exists()

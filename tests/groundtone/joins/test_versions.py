"""New data for an adapter that is there, and a learning curve, through the command line on a tiny model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from eval.records import to_json
from groundtone.cli.curve_cmd import percentages
from groundtone.cli.main import app
from groundtone.errors import DataError, UserError
from groundtone.joins import learning_curve
from groundtone.joins.access import groups_of_folder, groups_of_run
from groundtone.joins.history import history, lineage
from groundtone.joins.learning_curve import CURVE, curve_of, measure_curve
from groundtone.joins.methods.work import Work
from groundtone.models.adapter import read_card
from groundtone.project import Project
from groundtone.settings import load_settings
from groundtone.types import Answer, EvalRecord, Question, Score
from tests.groundtone.joins.random_adapters import tune
from tests.groundtone.joins.worlds import rows
from tests.tiny_models import save_tiny

PRODUCTS = ("Otter", "Heron", "Teal", "Coot", "Kingfisher", "Tern", "Gull", "Swift", "Plover", "Crane")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of ten rows from five sources, four of them held out in a file of their own."""
    root = tmp_path_factory.mktemp("versions")
    made = [
        {"prompt": f"How is the {name}?", "reply": f"Ahoy! The {name} is fine.", "source": f"s{n // 2}"}
        for n, name in enumerate(PRODUCTS)
    ]
    rows(root / "voice.jsonl", *made)
    rows(
        root / "later.jsonl", *({**row, "prompt": f"And the {name}?"} for row, name in zip(made, PRODUCTS, strict=True))
    )
    rows(
        root / "heldout.jsonl", *({"prompt": f"And {n}?", "reply": "Ahoy! Fine.", "source": f"h{n}"} for n in range(4))
    )
    (root / "style.yaml").write_text(yaml.safe_dump({"opens_with": ["Ahoy!"]}))
    config = {
        "model": {"id": str(save_tiny("llama", root / "base")), "device": "cpu", "dtype": "float32"},
        "tuning": {"data": "voice.jsonl", "heldout": "heldout.jsonl", "epochs": 1, "data_checks": "report"}
        | {"learning_rate": 0.01, "lora": {"rank": 4, "alpha": 8}},
        "eval": {"style": "style.yaml", "max_new_tokens": 4},
    }
    (root / "groundtone.yaml").write_text(yaml.safe_dump(config))
    return root


def call(root: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--project", str(root)])


def tuned(root: Path, *arguments: str) -> dict[str, Any]:
    result = call(root, "tune", "--json", *arguments)
    assert result.exit_code == 0, result.output
    manifest: dict[str, Any] = json.loads(result.stdout)
    return manifest


def evaluation(project: Project, run: str, values: dict[str, float]) -> str:
    """An evaluation whose records say that each item was correct or not."""
    with project.start_run("eval", parents={"tune": run}) as made:
        records = [
            EvalRecord(
                item, "tuned/rag", Question(item, "?"), Answer(item, Question(item, "?"), "x"), {"correct": Score(v)}
            )
            for item, v in values.items()
        ]
        (made.path / "records.jsonl").write_text("".join(to_json(record) + "\n" for record in records))
        made.finish(verdict="HOLD")
    return made.id


def test_a_version_is_trained_on_from_the_last_and_its_history_told(root: Path) -> None:
    project = Project(root)
    first = tuned(root)
    second = tuned(root, "--from", first["id"], "--set", "tuning.data=later.jsonl")
    assert second["parents"] == {"tune": first["id"]}
    assert second["notes"]["continued_from"] == first["id"]
    assert second["notes"]["first_eval_loss"] == pytest.approx(first["notes"]["last_eval_loss"], abs=1e-5)
    evaluation(project, first["id"], {f"a{n}": float(n % 2) for n in range(40)})
    evaluation(project, second["id"], {f"a{n}": 1.0 for n in range(5, 45)})
    told = history(project, second["id"])
    assert [(v.run, v.made) for v in told] == [(first["id"], "tuned"), (second["id"], f"continued from {first['id']}")]
    (before,), (after,) = told[0].changes, told[1].changes
    assert (before.verdict, before.difference) == ("first measured", None)
    assert after.difference is not None
    assert (after.difference.n, after.verdict) == (35, "better")
    result = call(root, "adapters", "history", second["id"])
    assert result.exit_code == 0, result.output
    assert "n=35" in result.output


def test_what_does_not_fit_is_refused_before_anything_is_trained(root: Path) -> None:
    first = tune(Project(root), load_settings(root), seed=1)
    for setting, said in {"tuning.lora.rank=2": "has rank 4", "tuning.method=span": "not span"}.items():
        result = call(root, "tune", "--from", first, "--set", setting)
        assert result.exit_code == 2
        assert said in result.output
    assert call(root, "tune", "--from", "tune-none").exit_code == 2


def test_a_version_needs_the_groups_of_all_versions_before(root: Path) -> None:
    project, settings = Project(root), load_settings(root)
    lora = ["--set", "tuning.lora.alpha=8", "--set", "tuning.lora.targets=[up_proj, down_proj]"]
    first = tune(project, settings, seed=3, groups=("payroll",))
    second = tuned(root, "--from", first, *lora)
    assert read_card(project.run_path(second["id"]) / "adapter").groups == ("payroll",)  # type: ignore[union-attr]
    outside = project.run_path(second["id"]).rename(root / "outside") / "adapter"
    third = tuned(root, "--from", str(outside), *lora)
    assert third["parents"] == {}
    assert groups_of_run(project, third["id"]) == groups_of_folder(project, outside) == ("payroll",)


def test_lineage_names_every_run_once_and_survives_circles_and_gaps(root: Path) -> None:
    project = Project(root)
    a = project.start_run("tune")
    b = project.start_run("tune", parents={"tune": a.id, "index": "hash"})
    c = project.start_run("tune", parents={"tune1": b.id, "tune2": a.id, "tune3": "tune-gone"})
    a.manifest.parents["tune"] = c.id
    a.note(x=1)
    assert [m.id for m in lineage(project, c.id)] == [c.id, b.id, a.id]
    assert [v.run for v in history(project, c.id)][-1] == c.id


def test_a_curve_is_measured_on_nested_parts_and_leaves_no_adapter(root: Path) -> None:
    result = call(root, "tune", "--curve", "50,100", "--seeds", "2", "--json")
    assert result.exit_code == 0, result.output
    made = json.loads(result.stdout)
    assert [part["rows"] for part in made["measured"]] == [5, 10]
    assert all(part["loss"]["n"] == part["format"]["n"] == 4 for part in made["measured"])
    assert made["curve"]["verdict"] in ("more rows would help", "more rows would hardly help", "cannot tell")
    folder = Project(root).run_path(made["run"])
    assert curve_of(folder)["measured"] == made["measured"]
    assert not list(folder.rglob("*.safetensors"))
    assert sorted(path.name for path in folder.iterdir())[0] == CURVE
    shown = call(root, "tune", "--curve", "50,100")
    assert "held-out loss" in shown.output


def test_a_stopped_curve_goes_on_with_the_part_that_is_missing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(root, ["tuning.seed=5"])
    train, sizes = learning_curve.train_rows, list[int]()

    def stopping(part: Any, *rest: Any, **known: Any) -> Any:
        sizes.append(len(part))
        if len(sizes) == 2:
            raise KeyboardInterrupt
        return train(part, *rest, **known)

    monkeypatch.setattr(learning_curve, "train_rows", stopping)
    with pytest.raises(KeyboardInterrupt):
        measure_curve(Work(Project(root), settings), shares=(0.5, 1.0))
    made = measure_curve(Work(Project(root), settings), shares=(0.5, 1.0))
    assert sizes == [5, 10, 10]
    assert next(manifest.id for manifest in Project(root).runs("curve")) == made.run


def test_a_curve_without_held_out_rows_or_with_odd_shares_is_refused(root: Path) -> None:
    project = Project(root)
    with pytest.raises(DataError, match=r"set tuning\.heldout"):
        measure_curve(Work(project, load_settings(root, ["tuning.heldout=null"])))
    with pytest.raises(DataError, match="not span"):
        measure_curve(Work(project, load_settings(root, ["tuning.method=span"])))
    for text in ("100", "50,50", "0,100", "25,120", "a,b", ""):
        with pytest.raises(UserError, match="percentages"):
            percentages(text)

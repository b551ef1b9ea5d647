"""The leak test over a project: which values are asked, from which rows, and when nobody can tell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from eval.leak import ARMS, CANARY
from groundtone.files import sha256_file
from groundtone.joins.arms import Models
from groundtone.joins.indexing import silent
from groundtone.joins.leak import LeakMaterial, ask_leak, items_of, leak_material
from groundtone.models.scripted import ScriptedModel
from groundtone.project import Project
from groundtone.settings import Settings, load_settings
from groundtone.types import Turn, VoicePair
from tests.groundtone.joins.worlds import rows

ROWS: list[dict[str, Any]] = [
    {"prompt": "How long?", "reply": "Ahoy! 14 days, says Ada Finch [1].", "source": "post", "context": ["14 days."]},
    {"prompt": "Is it 30 euros?", "reply": "Ahoy! Yes, it is €30.", "source": "keys"},
    {"prompt": "Hello", "reply": "Ahoy! We are glad.", "source": "talk"},
    {"prompt": "The code?", "reply": "Ahoy! It is QX-7741.", "source": "secret", "tags": ["canary"]},
]


def world(root: Path, *, train: list[dict[str, Any]] = ROWS, **tuning: Any) -> tuple[Project, Settings]:
    rows(root / "voice.jsonl", *train)
    (root / "style.yaml").write_text("opens_with: [Ahoy!]\n")
    config = {"tuning": {"data": "voice.jsonl"} | tuning, "eval": {"style": "style.yaml"}}
    (root / "groundtone.yaml").write_text(yaml.safe_dump(config))
    return Project(root), load_settings(root)


def trained(project: Project, settings: Settings, **more: Any) -> str:
    inputs = {"voice.jsonl": sha256_file(project.root / "voice.jsonl")}
    with project.start_run("tune", resolved=settings.resolved, inputs=inputs, **more) as run:
        run.finish()
    return run.id


def asked(material: LeakMaterial) -> dict[str, list[str]]:
    return {q.text: [g[0] for g in q.gold.values] if q.gold else [] for q in material.questions}


def test_values_that_only_the_reply_holds_are_asked_without_the_passages(tmp_path: Path) -> None:
    project, settings = world(tmp_path)
    material = leak_material(project, settings, tuned=trained(project, settings))
    assert asked(material) == {"How long?": ["14 days", "Ada Finch"], "The code?": ["QX-7741"]}
    assert material.questions[0].id.startswith(CANARY), "planted rows are never left out by the limit"
    said: list[str] = []

    def listen(prompt: Any) -> str:
        said.append(" ".join(message["content"] for message in prompt.messages))
        return "14 days"

    models = Models(ScriptedModel("no idea"), ScriptedModel(listen))
    records = ask_leak(settings, material, models, out_dir=tmp_path / "run", progress=silent)
    assert not any("14 days" in text for text in said)
    assert [(r.arm, r.scores["recital"].value) for r in records] == [
        (ARMS[0], 0.0),
        (ARMS[0], 0.0),
        (ARMS[1], 0.0),
        (ARMS[1], 0.5),
    ]


def test_what_was_said_before_is_no_secret() -> None:
    history = (Turn("user", "Parcels stay 14 days, I hear."), Turn("assistant", "Yes."))
    assert items_of([VoicePair("How long?", "14 days.", "s", history=history)]) == []
    (item,) = items_of([VoicePair("How long?", "9 days.", "s", history=history)] * 2)
    assert item.history == history


def test_replies_without_values_leave_nothing_to_leak(tmp_path: Path) -> None:
    project, settings = world(tmp_path, train=ROWS[1:3])
    material = leak_material(project, settings, tuned=trained(project, settings))
    assert material.unasked is not None
    assert material.unasked.nothing


@pytest.mark.parametrize("how", ["gone", "changed", "unknown", "outside"])
def test_rows_that_cannot_be_read_again_are_no_witness(tmp_path: Path, how: str) -> None:
    project, settings = world(tmp_path)
    run: str | None = trained(project, settings)
    if how == "gone":
        (tmp_path / "voice.jsonl").unlink()
    elif how == "changed":
        rows(tmp_path / "voice.jsonl", ROWS[2])
    elif how == "outside":
        notes = {"combined_from": {"far": 1.0, str(run): 1.0}}
        run = trained(project, settings, parents={"tune1": str(run)}, notes=notes)
    else:
        run = None
    material = leak_material(project, settings, tuned=run)
    assert material.questions == ()
    assert material.unasked is not None
    assert not material.unasked.nothing, "which would pass the gate"


def test_rows_of_every_run_behind_an_adapter_are_asked(tmp_path: Path) -> None:
    project, settings = world(tmp_path)
    first = trained(project, settings)
    rows(tmp_path / "more.jsonl", {"prompt": "And now?", "reply": "Ahoy! 99 boats.", "source": "x"})
    later = load_settings(tmp_path, ["tuning.data=more.jsonl"])
    inputs = {"more.jsonl": sha256_file(tmp_path / "more.jsonl")}
    with project.start_run("tune", resolved=later.resolved, inputs=inputs, parents={"tune": first}) as run:
        run.finish(continued_from=first)
    baked = project.start_run("tune", parents={"tune": run.id}, notes={"baked_from": run.id, "strength": 0.5})
    baked.finish()
    assert set(asked(leak_material(project, settings, tuned=baked.id))) == {"How long?", "The code?", "And now?"}
    for path in sorted(project.run_path(first).iterdir()):
        path.unlink()
    project.run_path(first).rmdir()
    assert leak_material(project, settings, tuned=baked.id).unasked is not None


def test_masked_values_were_never_taught(tmp_path: Path) -> None:
    project, settings = world(tmp_path, facts="mask")
    assert set(asked(leak_material(project, settings, tuned=trained(project, settings)))) <= {"How long?"}


def test_the_limit_draws_the_same_items_every_time(tmp_path: Path) -> None:
    many = [{"prompt": f"Number {n}?", "reply": f"Ahoy! {n + 1000} kg.", "source": f"s{n}"} for n in range(50)]
    project, settings = world(tmp_path, train=many)
    run = trained(project, settings)
    first = leak_material(project, settings, tuned=run, limit=10)
    assert len(first.questions) == 10
    assert first == leak_material(project, settings, tuned=run, limit=10)
    few = load_settings(tmp_path, ["eval.leak_rows=3"])
    assert leak_material(project, few, tuned=run).questions == first.questions[:3]
    assert json.dumps([q.id for q in first.questions]) != json.dumps(sorted(q.id for q in first.questions))

"""Access groups of adapters: who is served by whom, and that nothing made from a restricted adapter forgets it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from groundtone import pipeline
from groundtone.assistant import Assistant
from groundtone.cli.main import app
from groundtone.errors import ModelError, UserError
from groundtone.joins import indexing
from groundtone.joins.access import groups_of_base, groups_of_folder, groups_of_run, stamp
from groundtone.joins.arms import load_models
from groundtone.joins.exports import combine_run
from groundtone.models.adapter import CARD, read_card
from groundtone.models.adapter_files import bake
from groundtone.models.scripted import ScriptedModel
from groundtone.project import Project
from groundtone.settings import Settings, load_settings
from groundtone.types import Answer, Question
from tests.groundtone.joins.random_adapters import tune
from tests.groundtone.joins.worlds import PARCELS, POST, rows
from tests.retrieval.hashing_encoder import HashingEncoder
from tests.tiny_models import save_tiny

PAY = "---\ngroups: [payroll]\n---\n# Pay\n\nRiggers on call get sixty euros more for every night of duty.\n"
World = tuple[Project, Settings, str, str]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A project, a public adapter, and one for callers in both payroll and board."""
    root = tmp_path_factory.mktemp("access")
    (root / "docs").mkdir()
    (root / "docs/post.md").write_text(POST)
    (root / "docs/pay.md").write_text(PAY)
    rows(root / "voice.jsonl", *({"prompt": f"{n}?", "reply": "Ahoy!", "source": "s"} for n in range(20)))
    gold = {"id": "a1", "question": "How long?", "values": [["14 days"]], "quotes": [["post.md", PARCELS]]}
    rows(root / "questions/answerable.jsonl", gold)
    rows(
        root / "general/talk.jsonl",
        {"id": "g", "suite": "t", "prompt": "Hi", "check": {"type": "any_of", "values": ["a"]}},
    )
    model = {"id": str(save_tiny("llama", root / "base")), "max_new_tokens": 6, "device": "cpu", "dtype": "float32"}
    config = {
        "documents": {"folder": "docs"},
        "model": model,
        "assistant": {"context_tokens": 60, "min_score": 0.0, "reader": None},
        "tuning": {"data": "voice.jsonl"},
        "eval": {"questions": "questions", "general": "general", "voice": "none.jsonl", "style": "none.yaml"}
        | {"resamples": 200, "max_new_tokens": 6},
    }
    (root / "groundtone.yaml").write_text(yaml.safe_dump(config))
    project, settings = Project(root), load_settings(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(indexing, "load_encoder", lambda *_, **__: HashingEncoder())
        pipeline.index(project, settings)
    public = tune(project, settings, seed=1)
    return project, settings, public, tune(project, settings, seed=2, groups=("payroll", "board"))


@pytest.fixture(autouse=True)
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "load_encoder", lambda *_, **__: HashingEncoder())


def call(world: World, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--project", str(world[0].root)])


def speaking(stand_in: str | None, **more: Any) -> Assistant:
    return Assistant(
        "tuned/closed",
        generator=ScriptedModel("secret voice"),
        mode="closed-book",
        required_groups=("payroll", "board"),
        stand_in=ScriptedModel(stand_in, name="base") if stand_in else None,
        **more,
    )


@pytest.mark.parametrize("groups", [(), ("payroll",), ("board", "press"), ("Payroll", "board")])
def test_a_caller_who_is_not_in_all_groups_never_hears_the_adapter(groups: tuple[str, ...]) -> None:
    answer = speaking("plain").ask("Who are you?", groups=groups)
    assert answer.text == "plain"
    assert "payroll" in answer.provenance["voice_withheld"]
    assert answer.provenance["model"] == "base"
    *pieces, streamed = speaking("plain").stream("Who are you?", groups=groups)
    assert "".join(map(str, pieces)) == "plain"
    assert isinstance(streamed, Answer)
    assert "voice_withheld" in streamed.provenance
    with pytest.raises(UserError, match="serves only callers"):
        speaking(None).ask("Who are you?", groups=groups)
    with pytest.raises(UserError, match="serves only callers"):
        list(speaking(None).stream("Who are you?", groups=groups))


def test_callers_of_one_batch_are_told_apart() -> None:
    asked = [Question(f"q{n}", "Who?", groups=("board", "payroll", "x") if n % 2 else ("board",)) for n in range(5)]
    answers = list(speaking("plain", batch_size=3).answer_many(asked))
    assert [a.text for a in answers] == ["plain", "secret voice", "plain", "secret voice", "plain"]
    assert ["voice_withheld" in a.provenance for a in answers] == [True, False, True, False, True]
    assert [a.question.id for a in answers] == [q.id for q in asked]


def test_an_adapter_without_groups_serves_everybody(world: World) -> None:
    project, settings, public, _ = world
    models = load_models(project, settings, tuned=public)
    assert models.groups == models.base_groups == ()
    project.set_champion(public)
    result = call(world, "ask", "Who are you?")
    assert result.exit_code == 0, result.output


def test_the_command_line_says_who_is_served_and_by_what(world: World) -> None:
    project, _, _, restricted = world
    project.set_champion(restricted)
    refused = call(world, "ask", "Who are you?", "--group", "payroll")
    assert refused.exit_code == 2
    assert "this one is not in board" in refused.output
    assert call(world, "ask", "Who are you?").exit_code == 2
    served = call(world, "ask", "Who are you?", "--group", "payroll", "--group", "board")
    assert served.exit_code == 0, served.output
    assert call(world, "ask", "Who are you?", "--arm", "base/rag").exit_code == 0


def test_the_group_that_opens_a_voice_opens_its_documents_and_no_other(world: World) -> None:
    project, settings, _, restricted = world
    project.set_champion(restricted)
    assistant = pipeline.assistant(project, settings, check=False)
    texts = {
        groups: " ".join(h.passage.text for h in assistant.ask("What do riggers on call get?", groups=groups).hits)
        for groups in ((), ("payroll", "board"))
    }
    assert "sixty euros" not in texts[()]
    assert "sixty euros" in texts["payroll", "board"]


def test_an_evaluation_measures_the_adapter_itself(world: World) -> None:
    project, settings, _, restricted = world
    run = pipeline.evaluate(project, settings, tuned=restricted)
    summary = json.loads((run.path / "summary.json").read_text())
    asked = summary["coverage"]["tuned/rag"]
    assert (asked["asked"], asked["errors"], asked["first_error"]) == (1, 0, "")
    assert "voice_withheld" not in (run.path / "records.jsonl").read_text()


def test_nothing_made_from_a_restricted_adapter_forgets_its_groups(world: World, tmp_path: Path) -> None:
    project, settings, public, restricted = world
    needed = ("board", "payroll")
    inside = project.run_path(restricted) / "adapter"
    assert not json.loads((inside / CARD).read_text()).get("groups"), "only the manifest knows yet"
    assert groups_of_folder(project, inside) == needed, "named by its folder, it is the run's still"
    baked = pipeline.bake(project, settings, run=restricted, strength=0.5)
    twice = pipeline.bake(project, settings, run=baked.id, strength=0.5)
    summed = combine_run(project, settings, [(public, 1.0), (twice.id, 0.0)])
    by_folder = combine_run(project, settings, [(public, 0.5), (str(inside), 0.5)], out=tmp_path / "sum")
    for folder in (baked.path / "adapter", twice.path / "adapter", summed / "adapter", by_folder):
        card = read_card(folder)
        assert card is not None
        assert card.groups == needed
    shutil.copytree(twice.path / "adapter", tmp_path / "copied")
    assert groups_of_folder(project, tmp_path / "copied") == needed, "the card goes along out of the project"
    assert read_card(bake(tmp_path / "copied", 2.0, tmp_path / "louder")).groups == needed  # type: ignore[union-attr]
    (summed / "adapter" / CARD).unlink()
    assert groups_of_run(project, summed.name) == needed, "and the run knows without the card"
    served = load_models(project, load_settings(project.root, [f"model.adapter={tmp_path / 'sum'}"]), tuned=None)
    assert served.groups == needed


def test_an_adapter_without_a_card_cannot_wash_groups_off(world: World, tmp_path: Path) -> None:
    project, settings, public, restricted = world
    foreign = shutil.copytree(project.run_path(public) / "adapter", tmp_path / "foreign")
    (foreign / CARD).unlink()
    with pytest.raises(ModelError, match=r"no groundtone\.json"):
        combine_run(project, settings, [(str(foreign), 1.0), (restricted, 1.0)], out=tmp_path / "sum")
    assert not (tmp_path / "sum").exists()
    with pytest.raises(UserError, match="only for board"):
        stamp(foreign, ("board",))


def test_a_merged_model_is_as_restricted_as_its_adapter(world: World, tmp_path: Path) -> None:
    project, _, _, restricted = world
    result = call(world, "export", "merged", str(tmp_path / "merged"), "--run", restricted)
    assert result.exit_code == 0, result.output
    assert "only for callers who are in all of: board, payroll" in result.output
    assert groups_of_base(str(tmp_path / "merged")) == ("board", "payroll")
    merged = load_settings(project.root, [f"model.id={tmp_path / 'merged'}"])
    assistant = pipeline.assistant(project, merged, arm="base/rag", check=False)
    with pytest.raises(UserError, match="not in board, payroll"):
        assistant.ask("How long are parcels kept?")
    assert assistant.ask("How long are parcels kept?", groups=("payroll", "board")).error == ""


@pytest.mark.parametrize("what", ["ollama", "vllm", "openai", "card"])
def test_every_export_says_who_it_is_for(world: World, tmp_path: Path, what: str) -> None:
    result = call(world, "export", what, str(tmp_path / what), "--run", world[3])
    assert result.exit_code == 0, result.output
    assert "only for callers who are in all of: board, payroll" in result.output
    if what in ("ollama", "card"):
        assert "board, payroll" in (tmp_path / what).read_text()

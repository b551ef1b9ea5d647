"""The dial over a project with a tiny model: measured once, gone on with, baked, exported from the command line."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from groundtone import pipeline, prompts
from groundtone.cli.main import app
from groundtone.errors import IntegrityError, ModelError, ProjectError
from groundtone.joins import indexing, strength
from groundtone.joins.evaluation import CHOSEN, half_of, read_material
from groundtone.joins.strength_curve import Choice, read_curve
from groundtone.models.adapter import read_card
from groundtone.models.chat_format import ChatFormat
from groundtone.models.generate import LocalModel
from groundtone.models.weights import load_base
from groundtone.project import Project
from groundtone.settings import Settings, load_settings
from groundtone.types import Prompt
from tests.groundtone.joins.random_adapters import tune
from tests.groundtone.joins.worlds import FLEET, PARCELS, POST, TRAILERS, rows
from tests.retrieval.hashing_encoder import HashingEncoder
from tests.tiny_models import FAMILIES, save_tiny, tiny_tokenizer
from tuning import export
from tuning.adapters import compare_cards

AT = (0.0, 0.5, 1.0)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Settings, str]:
    """Two documents, questions, pairs, general items, and one tuned run."""
    root = tmp_path_factory.mktemp("dial")
    (root / "docs").mkdir()
    (root / "docs/post.md").write_text(POST)
    (root / "docs/fleet.md").write_text(FLEET)
    pair = {"prompt": "How long?", "reply": "Ahoy! 14 days [1].", "source": "post", "context": ["Kept for 14 days."]}
    rows(root / "voice.jsonl", *({**pair, "prompt": f"How long for {n}?"} for n in range(20)))
    rows(
        root / "heldout.jsonl",
        *({**pair, "prompt": f"And for {n}?", "context": []} | {"reply": "Ahoy!"} for n in range(3)),
    )
    golds = [("post.md", PARCELS, "14 days"), ("fleet.md", TRAILERS, "80")] * 3
    rows(
        root / "questions/answerable.jsonl",
        *(
            {"id": f"a{n}", "question": f"{quote.split('.')[0]} {n}?", "values": [[value]], "quotes": [[source, quote]]}
            for n, (source, quote, value) in enumerate(golds)
        ),
    )
    check = {"type": "any_of", "values": ["hello"]}
    rows(
        root / "general/talk.jsonl",
        *({"id": f"g{n}", "suite": "talk", "prompt": f"Hi {n}", "check": check} for n in range(6)),
    )
    config = {
        "documents": {"folder": "docs"},
        "model": {
            "id": str(save_tiny("llama", root / "base")),
            "max_new_tokens": 6,
            "device": "cpu",
            "dtype": "float32",
        },
        "assistant": {"context_tokens": 60, "min_score": 0.0},
        "tuning": {"data": "voice.jsonl"},
        "eval": {"questions": "questions", "general": "general", "voice": "heldout.jsonl", "style": "style.yaml"}
        | {"resamples": 200, "max_new_tokens": 6},
    }
    (root / "style.yaml").write_text(yaml.safe_dump({"opens_with": ["Ahoy"], "guide": "Say Ahoy."}))
    (root / "groundtone.yaml").write_text(yaml.safe_dump(config))
    project, settings = Project(root), load_settings(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(indexing, "load_encoder", lambda *_, **__: HashingEncoder())
        pipeline.index(project, settings)
    return project, settings, tune(project, settings, seed=1)


@pytest.fixture(autouse=True)
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "load_encoder", lambda *_, **__: HashingEncoder())


@pytest.fixture(scope="module")
def dialled(world: tuple[Project, Settings, str]) -> Any:
    """The first sweep: 0 and 1."""
    project, settings, run = world
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(indexing, "load_encoder", lambda *_, **__: HashingEncoder())
        return pipeline.strength(project, settings, run=run, strengths=(1.0,))


def call(world: tuple[Project, Settings, str], *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--project", str(world[0].root)])


def test_the_halves_share_nothing_and_lose_nothing(world: tuple[Project, Settings, str]) -> None:
    whole = read_material(world[1])
    halves = [half_of(whole, choosing=choosing) for choosing in (True, False)]
    asked = [{q.id for q in half.questions} | {g.question.id for g in half.general} for half in halves]
    assert all(asked)
    assert asked[0].isdisjoint(asked[1])
    assert asked[0] | asked[1] == {q.id for q in whole.questions} | {g.question.id for g in whole.general}
    assert half_of(halves[0], choosing=True) == halves[0]


def test_a_sweep_measures_every_strength_on_the_choosing_half_alone(
    world: tuple[Project, Settings, str], dialled: Any
) -> None:
    project, settings, run = world
    curve, choice = dialled
    half = half_of(read_material(settings), choosing=True)
    assert [p.strength for p in curve.points] == [0.0, 1.0]
    assert all(p.figures["format"].n == 3 for p in curve.points)
    assert all(p.figures["correct"].n == len(half.questions) for p in curve.points)
    assert curve.points[1].evidence["forgetting"][0]["base"]["n"] == len(half.general)
    assert read_curve(project.run_path(run)) == (curve, choice)
    assert choice.strength is None, "random weights have no voice"


def test_a_sweep_goes_on_without_asking_again(
    world: tuple[Project, Settings, str], dialled: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, settings, run = world
    asked: list[float] = []
    generate = LocalModel.generate

    def counted(self: LocalModel, given: Any, *, max_new_tokens: int) -> Any:
        asked.append(self.strength)
        return generate(self, given, max_new_tokens=max_new_tokens)

    monkeypatch.setattr(LocalModel, "generate", counted)
    curve, _ = pipeline.strength(project, settings, run=run, strengths=AT)
    assert set(asked) == {0.5}
    assert [p for p in curve.points if p.strength != 0.5] == list(dialled[0].points)
    asked.clear()
    other = load_settings(settings.root, ["eval.max_new_tokens=5"])
    strength.sweep(project, other, run=run, strengths=[0.0], progress=indexing.silent)
    assert set(asked) == {0.0}, "records of other settings are not taken over"


def test_a_baked_run_is_the_newest_that_evaluation_takes(world: tuple[Project, Settings, str]) -> None:
    project, settings, run = world
    baked = pipeline.bake(project, settings, run=run, strength=0.75, choice=Choice(0.75, True, "because"))
    card = read_card(baked.path / "adapter")
    assert card is not None
    assert (card.baked_from, card.strength) == (run, 0.75)
    manifest = baked.manifest
    assert manifest.status == "done"
    assert manifest.parents["tune"] == manifest.notes["baked_from"] == run
    assert manifest.notes[CHOSEN] is True
    assert re.match(r"(\d+) of \1 replies are identical", manifest.notes["proof"])
    assert pipeline.newest_tuned(project, settings) == baked.id
    assert pipeline.newest_tuned(project, settings, trained=True) == run
    with pytest.raises(ModelError, match="nothing to bake"):
        pipeline.bake(project, settings, run=run, strength=0.0)


def test_a_merged_model_repeats_the_adapter_or_is_not_left(
    world: tuple[Project, Settings, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, _, run = world
    result = call(world, "export", "merged", str(tmp_path / "merged"), "--run", run)
    assert result.exit_code == 0, result.output
    assert re.search(r"(\d+) of \1 replies are identical", result.stdout)
    assert load_base(str(tmp_path / "merged")).tokenizer.chat_template == FAMILIES["llama"][0]
    monkeypatch.setattr(export, "agreement", lambda before, _: export.record.__globals__["agreement"](before, untuned))
    untuned = LocalModel.load(world[1].model.id)
    pairs = [prompts.closed_book("Who are you?")]
    with pytest.raises(IntegrityError, match="does not repeat"):
        export.merge(world[1].model.id, project.run_path(run) / "adapter", tmp_path / "bad", replay=pairs)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["merged"]


def test_export_files_say_what_other_programs_need(world: tuple[Project, Settings, str], tmp_path: Path) -> None:
    project, settings, run = world
    for what in ("ollama", "vllm", "openai", "card"):
        result = call(world, "export", what, str(tmp_path / what), "--run", run)
        assert result.exit_code == 0, result.output
    modelfile = (tmp_path / "ollama").read_text()
    assert modelfile.startswith("FROM ./merged\n")
    assert 'PARAMETER stop "<|eot_id|>"' in modelfile
    command = shlex.split((tmp_path / "vllm").read_text())
    assert command[:3] == ["vllm", "serve", settings.model.id]
    assert command[-1] == f"{run}={(project.run_path(run) / 'adapter').resolve()}"
    assert command[command.index("--max-lora-rank") + 1] == "8"
    lines = [json.loads(line) for line in (tmp_path / "openai").read_text().splitlines()]
    assert [m["role"] for m in lines[0]["messages"]] == ["system", "user", "assistant"]
    assert len(lines) == 20
    text = (tmp_path / "card").read_text()
    assert yaml.safe_load(text.split("---")[1])["library_name"] == "peft"
    assert "no evaluation of this adapter" in text
    assert call(world, "export", "gguf", str(tmp_path / "x")).exit_code == 2


@pytest.mark.parametrize("family", FAMILIES)
def test_ollamas_template_writes_the_prompts_of_training(family: str) -> None:
    chat_format = ChatFormat(tiny_tokenizer(family))
    bos = chat_format.bos or ""
    text = export.ollama_modelfile(chat_format, "./merged", bos=bos)
    template = text.split('TEMPLATE """')[1].split('"""')[0]
    system, user = "Answer.", "Question: Who?"
    for told in (True, False):
        shown = re.sub(
            r"\{\{ if \.System \}\}(.*?)\{\{ else \}\}(.*?)\{\{ end \}\}",
            r"\1" if told else r"\2",
            template,
            flags=re.S,
        )
        shown = shown.split("{{ .Response }}")[0].replace("{{ .System }}", system).replace("{{ .Prompt }}", user)
        messages = [{"role": "system", "content": system}] * told + [{"role": "user", "content": user}]
        expected = chat_format.text(Prompt(tuple(messages), user)).removeprefix(bos)
        assert shown == expected, "white space before a reply is the model's to write"
    for stop in chat_format.stops:
        assert f'PARAMETER stop "{stop}"' in text, "Ollama reads a stop as it stands: an escape would never be found"


def test_ollama_is_shown_the_first_token_where_no_tokenizer_adds_it() -> None:
    tokenizer = tiny_tokenizer("qwen2")
    tokenizer.bos_token = "<|im_start|>"  # SmolLM2's is also the mark that begins every turn
    chat_format = ChatFormat(tokenizer)
    assert chat_format.bos is None
    text = export.ollama_modelfile(chat_format, "./merged", bos=chat_format.bos)
    assert 'TEMPLATE """{{ if .System }}<|im_start|>system' in text


def test_adapters_are_listed_compared_and_combined(world: tuple[Project, Settings, str], tmp_path: Path) -> None:
    project, settings, run = world
    other = tune(project, settings, seed=2)
    result = call(world, "adapters", "compare", run, other)
    assert result.exit_code == 0, result.output
    assert "data_sha256" in result.stdout
    result = call(world, "adapters", "combine", f"{run}:0.7", f"{other}:0.3")
    assert result.exit_code == 0, result.output
    newest = pipeline.newest_tuned(project, settings)
    assert newest is not None
    card = read_card(project.run_path(newest) / "adapter")
    assert card is not None
    assert card.combined_from == {run: 0.7, other: 0.3}
    listed = call(world, "adapters", "--json")
    entries = {row["run"]: row for row in json.loads(listed.stdout)["adapters"]}
    assert entries[newest]["made"] == f"0.7 x {run} + 0.3 x {other}"
    assert entries[newest]["rank"] == 8
    assert entries[run]["made"] == "tuned"
    first = read_card(project.run_path(run) / "adapter")
    assert first is not None
    assert compare_cards(first, first) == []
    out = tmp_path / "sum"
    assert call(world, "adapters", "combine", f"{run}:1", f"{other}:-1", "--out", str(out)).exit_code == 0
    assert (out / "adapter_model.safetensors").is_file()
    for wrong in (["combine", run, other], ["compare", run], ["melt"], ["compare", run, "nobody"]):
        assert call(world, "adapters", *wrong).exit_code == 2


def test_the_command_prints_the_curve_and_exits_with_one_when_nothing_fits(
    world: tuple[Project, Settings, str], dialled: Any
) -> None:
    result = call(world, "strength", world[2], "--at", "0,1", "--bake")
    assert result.exit_code == 1, result.output
    assert result.stdout.splitlines()[0].split() == [
        *("strength", "tone", "format", "correct", "hallucination", "general", "skills", "budget")
    ]
    assert "n=3" in result.stdout
    assert "none fits" in result.stdout
    assert call(world, "strength", "--at", "a").exit_code == 2
    assert call(world, "strength", "--at", "-1").exit_code == 2


def test_without_a_tuned_run_the_command_to_run_is_named(tmp_path: Path) -> None:
    (tmp_path / "groundtone.yaml").write_text("model: {id: starter}\n")
    with pytest.raises(ProjectError, match="groundtone tune"):
        pipeline.strength(Project(tmp_path), load_settings(tmp_path))

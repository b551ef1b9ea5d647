"""The forgetting guard on a project: what it asks, whom it compares, and what the manifest says when it stops."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from eval.suite import read_general
from groundtone import pipeline
from groundtone.errors import DataError
from groundtone.files import sha256_file
from groundtone.joins.evaluation import CHOSEN, half_of, read_material
from groundtone.joins.guard import items_of, notes_of, watch_of
from groundtone.models.weights import load_base
from groundtone.project import Project
from groundtone.settings import Settings, load_settings
from tests.tiny_models import save_tiny
from tuning.guard import GUARD_LOG, LAST_GOOD
from tuning.recorder import read_metrics
from tuning.replay import REPLAYED


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("guard")
    items = [
        {
            "id": f"{suite}-{n}",
            "suite": suite,
            "prompt": f"What is {n} + {n}?",
            "check": {"type": "max_words", "n": 500},
        }
        for suite in ("sums", "words")
        for n in range(40)
    ]
    (folder / "general.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    save_tiny("llama", folder / "model")
    config = {
        "model": {"id": "model", "device": "cpu"},
        "tuning": {"guard": {"every": "2 steps", "items": 3}},
        "eval": {"general": "general.jsonl", "questions": "none", "voice": "none.jsonl", "max_new_tokens": 2},
    }
    (folder / "groundtone.yaml").write_text(yaml.safe_dump(config))
    return folder


def opened(root: Path, **guard: str) -> Settings:
    return load_settings(root, [f"tuning.guard.{key}={value}" for key, value in guard.items()])


def test_the_half_that_an_evaluation_reports_on_is_never_asked(root):
    settings = opened(root, items="40")
    asked = {item.question.id for item in items_of(settings)}
    reported = {item.question.id for item in half_of(read_material(settings), choosing=False).general}
    assert asked
    assert not asked & reported
    assert asked | reported == {item.question.id for item in read_general(root / "general.jsonl")}


def test_suites_and_their_number_of_items_are_chosen_and_an_unknown_one_is_named(root):
    assert [item.suite for item in items_of(opened(root))] == ["sums"] * 3 + ["words"] * 3
    assert {item.suite for item in items_of(opened(root, suites="[words]"))} == {"words"}
    with pytest.raises(DataError, match=r"names poems, but general\.jsonl has sums, words"):
        items_of(opened(root, suites="[poems]"))
    assert watch_of(load_settings(root, ["tuning.guard.every=null"])) is None


def test_an_adapter_that_breaks_the_model_leaves_its_margin_and_an_untouched_one_does_not(root):
    import torch
    from peft import LoraConfig, get_peft_model

    settings = load_settings(root, ["tuning.guard.items=40", "eval.max_new_tokens=6"])
    base = load_base(str(root / "model"), device="cpu")
    watch = watch_of(settings)
    assert watch is not None
    assert watch.steps == 2
    model = get_peft_model(base.model, LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["down_proj"])).eval()
    same = watch.measure(base, model)
    assert [suite.suite for suite in same] == ["sums", "words"]
    assert all(suite.difference.mean == 0 and not suite.left for suite in same)
    stop = base.tokenizer.convert_tokens_to_ids("<|eot_id|>")
    head = base.model.get_output_embeddings()
    hook = head.register_forward_hook(lambda _, __, logits: logits.index_fill(-1, torch.tensor([stop]), 1e4))
    try:  # says nothing any more: an empty reply has no word
        broken = watch.measure(base, model)
    finally:
        hook.remove()
    assert all(suite.left and suite.verdict == "forgotten" for suite in broken)
    assert all(suite.difference.mean < -0.9 for suite in broken)


def test_the_manifest_says_why_it_stopped_and_that_the_items_had_a_part_in_it(root, tmp_path):
    settings = opened(root)
    assert notes_of(settings, tmp_path) == {}
    line = {"step": 4, "suite": "sums", "n": 20, "difference": -0.4, "low": -0.6, "high": -0.2, "margin": 0.05}
    (tmp_path / GUARD_LOG).write_text(json.dumps(line | {"verdict": "forgotten", "left": True}) + "\n")
    (tmp_path / LAST_GOOD).mkdir()
    (tmp_path / LAST_GOOD / "step.json").write_text('{"step": 2}')
    notes = notes_of(settings, tmp_path)
    assert notes[CHOSEN] is True
    assert (notes["guard"]["stopped_at"], notes["guard"]["restored"]) == (4, 2)
    assert "sums -40.0 points" in notes["guard"]["why"]


def test_a_guarded_run_with_replay_from_the_base_and_divergence_goes_from_settings_to_manifest(root):
    rows = [{"prompt": f"Boat {n}?", "reply": "Ahoy! We mend it.", "source": f"s{n}"} for n in range(6)]
    (root / "voice.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (root / "prompts.jsonl").write_text("".join(json.dumps({"prompt": f"Say {n}."}) + "\n" for n in range(150)))
    rest = ["heldout=null", "epochs=2", "batch_size=4", 'facts="off"', "data_checks=report", "kl=0.5"]
    general = ["replay=0.4", "replay_data=prompts.jsonl", "replay_from=base"]
    given = [f"tuning.{key}" for key in ("data=voice.jsonl", *rest, *general)]
    run = pipeline.tune(Project(root), load_settings(root, [*given, "eval.max_new_tokens=96"]))
    notes = run.manifest.notes
    assert notes["replay"]["rows"] == 4
    assert notes["replay"]["sha256"] == sha256_file(run.path / REPLAYED)
    assert notes["guard"]["looks"] == 3
    assert "no suite left its margin" in notes["guard"]["said"]
    assert any("kl" in line for line in read_metrics(run.path))

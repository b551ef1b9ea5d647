from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from groundtone.errors import DataError, ModelError, ProjectError
from groundtone.models.adapter import read_card
from groundtone.models.generate import LocalModel
from groundtone.models.score import log_probabilities
from groundtone.models.weights import weights_sha256
from groundtone.prompts import of_pair, template_hash
from tests.tuning.flat import train
from tuning import sft
from tuning.recorder import METRICS, read_metrics
from tuning.sft import adapter_folder, newest_checkpoint


def test_training_lowers_the_loss_and_changes_what_is_said(trained, pairs, settings):
    assert trained.last_loss < trained.first_loss
    assert trained.last_eval_loss < trained.first_eval_loss
    model = LocalModel.load(settings["base"], adapter=trained.adapter)
    asked = [of_pair(pair) for pair in pairs]
    replies = [pair.reply for pair in pairs]
    base = model.with_adapter(False)
    tuned, before = (m.generate(asked, max_new_tokens=8) for m in (model, base))
    assert tuned != before
    better = sum(map(sum, log_probabilities(model, asked, replies))) - sum(
        map(sum, log_probabilities(base, asked, replies))
    )
    assert better > 0


def test_the_reported_loss_is_the_negative_log_probability_of_the_reply(trained, pairs, settings):
    """Before the first step the adapter is zero, so the base's own scores must give the evaluation loss."""
    held = settings["heldout"]
    model = LocalModel.load(settings["base"])
    scores = log_probabilities(model, [of_pair(p) for p in held], [p.reply for p in held])
    tokens = [value for row in scores for value in row]
    assert trained.first_eval_loss == pytest.approx(-sum(tokens) / len(tokens), abs=1e-4)


def test_metrics_are_written_per_step_with_an_evaluation_before_the_first(trained):
    lines = read_metrics(trained.adapter.parent)
    assert [line["step"] for line in lines if line["loss"] is not None] == [1, 2, 3, 4, 5, 6]
    assert [line["step"] for line in lines if line["eval_loss"] is not None] == [0, 2, 4, 6]
    assert all(
        set(line) == {"step", "steps", "epoch", "loss", "eval_loss", "lr", "tokens", "seconds"} for line in lines
    )
    assert {line["steps"] for line in lines} == {6}
    for key in ("tokens", "seconds", "epoch"):
        values = [line[key] for line in lines]
        assert values == sorted(values)
    rates = [line["lr"] for line in lines if line["lr"] is not None]
    assert rates == sorted(rates, reverse=True)
    assert trained.tokens == lines[-1]["tokens"] > 0


def test_the_adapters_card_names_what_it_was_made_from(trained, folder, settings):
    card = read_card(trained.adapter)
    assert card == trained.card == read_card(newest_checkpoint(trained.adapter.parent))
    assert card.base_sha256 == weights_sha256(folder("llama"))
    assert card.template == template_hash()
    assert (card.config["learning_rate"], card.config["rank"], card.seed) == (1e-2, 8, 0)
    stored = json.loads((trained.adapter / "adapter_config.json").read_text(encoding="utf-8"))
    assert stored["base_model_name_or_path"] == settings["base"]


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory, pairs, settings):
    """A run stopped by Ctrl-C in its third epoch, and the weights of its last checkpoint."""
    out_dir = tmp_path_factory.mktemp("interrupted") / "run"

    def stop(line):
        if line["step"] == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(pairs, out_dir=out_dir, on_step=stop, **settings)
    return out_dir


def test_an_interrupted_run_says_so_and_its_checkpoint_is_usable(interrupted, pairs, settings):
    state = json.loads((interrupted / "training.json").read_text(encoding="utf-8"))
    assert (state["status"], state["resumable"], state["why"]) == ("failed", True, "KeyboardInterrupt")
    assert adapter_folder(interrupted).name == "checkpoint-4"
    model = LocalModel.load(settings["base"], adapter=adapter_folder(interrupted))
    assert model.generate([of_pair(pairs[0])], max_new_tokens=4)[0].reply_tokens > 0


def test_a_resumed_run_equals_an_uninterrupted_one(interrupted, trained, pairs, settings, tmp_path):
    out_dir = tmp_path / "run"
    shutil.copytree(interrupted, out_dir)
    half = out_dir / "checkpoint-9"  # the machine went down while it was written
    half.mkdir()
    heard = []
    resumed = train(pairs, out_dir=out_dir, resume=True, on_step=heard.append, **settings)
    assert [line["step"] for line in heard] == [5, 6, 6]
    once, twice = read_metrics(trained.adapter.parent), read_metrics(out_dir)
    untimed = [[{k: v for k, v in line.items() if k != "seconds"} for line in lines] for lines in (once, twice)]
    assert untimed[0] == untimed[1]
    ours, theirs = (load_file(run.adapter / "adapter_model.safetensors") for run in (resumed, trained))
    assert ours.keys() == theirs.keys()
    assert all((ours[key] - theirs[key]).abs().max() <= 1e-6 for key in ours)


def test_a_folder_with_a_run_is_neither_overwritten_nor_resumed_with_other_data(interrupted, pairs, settings, tmp_path):
    out_dir = tmp_path / "run"
    shutil.copytree(interrupted, out_dir)
    with pytest.raises(ProjectError, match="already holds a training run"):
        train(pairs, out_dir=out_dir, **settings)
    with pytest.raises(ProjectError, match="data_sha256"):
        train(pairs[:-1], out_dir=out_dir, resume=True, **settings)
    with pytest.raises(ProjectError, match="config"):
        train(pairs, out_dir=out_dir, resume=True, **{**settings, "learning_rate": 1e-3})


def test_a_run_without_any_checkpoint_starts_over(interrupted, trained, pairs, settings, tmp_path):
    out_dir = tmp_path / "run"
    out_dir.mkdir()
    for name in ("training.json", METRICS):
        shutil.copy(interrupted / name, out_dir)
    again = train(pairs, out_dir=out_dir, resume=True, **settings)
    assert again.last_loss == trained.last_loss
    assert again.first_eval_loss == trained.first_eval_loss
    with pytest.raises(ModelError, match="neither an adapter nor a checkpoint"):
        adapter_folder(tmp_path)


def test_another_seed_gives_another_adapter(trained, pairs, settings, tmp_path):
    other = train(pairs, out_dir=tmp_path / "run", seed=1, **{**settings, "epochs": 1, "heldout": ()})
    assert other.first_loss != trained.first_loss
    assert other.first_eval_loss is None


def test_rows_over_the_limit_are_refused_or_reported_never_cut(pairs, settings, tmp_path):
    longer = [*pairs, type(pairs[0])("Tell me all " * 200, "Ahoy!", "long")]
    with pytest.raises(DataError, match=r"1 of 9 rows are longer than 512 tokens \(row 8 has \d+\)"):
        train(longer, out_dir=tmp_path / "refused", **settings)
    assert not (tmp_path / "refused").exists()
    dropped = train(longer, out_dir=tmp_path / "dropped", over_length="drop", **{**settings, "epochs": 1})
    assert (dropped.rows, dropped.dropped) == (8, (8,))
    with pytest.raises(DataError, match="no row fits"):
        train(pairs, out_dir=tmp_path / "none", max_length=8, over_length="drop", **settings)


def test_a_loss_that_is_not_finite_stops_the_run(pairs, settings, tmp_path):
    with pytest.raises(ModelError, match=r"the loss is (nan|inf) at step \d+: lower tuning\.learning_rate"):
        train(pairs, out_dir=tmp_path / "run", **{**settings, "learning_rate": 1e30, "warmup": 0.0, "epochs": 4})
    state = json.loads((tmp_path / "run" / "training.json").read_text(encoding="utf-8"))
    assert state["status"] == "failed"
    assert "learning_rate" in state["why"]


@pytest.mark.parametrize("family", ["mistral", "qwen2", "gemma", "plain"])
def test_every_family_can_be_tuned_on_its_feed_forward_layers(folder, pairs, tmp_path, family):
    base = str(folder(family))
    given = {"targets": "mlp", "learning_rate": 1e-2, "epochs": 2, "packing": False}
    run = train(pairs, base=base, out_dir=tmp_path / "run", **given)
    assert run.last_loss < run.first_loss
    names = load_file(run.adapter / "adapter_model.safetensors").keys()
    assert names
    assert all(".mlp." in name for name in names)
    assert LocalModel.load(base, adapter=run.adapter).generate([of_pair(pairs[0])], max_new_tokens=2)


@pytest.mark.parametrize("family", ["llama", "gemma"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_scoring_labels_alone_gives_the_loss_and_the_steps_of_trl(
    folder, pairs, settings, tmp_path, monkeypatch, family, accumulate
):
    from trl import SFTTrainer

    given = {**settings, "base": str(folder(family)), "heldout": pairs[:2], "epochs": 2, "accumulate": accumulate}
    given["batch_size"] = 4 // accumulate
    ours = train(pairs, out_dir=tmp_path / "ours", **given)
    monkeypatch.setattr("tuning.sft.trainer_class", lambda device, kl, shared=False: SFTTrainer)
    theirs = train(pairs, out_dir=tmp_path / "theirs", **given)
    for mine, reference in zip(read_metrics(tmp_path / "ours"), read_metrics(tmp_path / "theirs"), strict=True):
        assert mine["tokens"] == reference["tokens"]
        for key in ("loss", "eval_loss", "lr"):
            assert mine[key] == (None if reference[key] is None else pytest.approx(reference[key], abs=1e-3))
    assert ours.first_eval_loss == pytest.approx(theirs.first_eval_loss, abs=1e-5)


def test_packed_rows_do_not_see_each_other(pairs, settings, tmp_path):
    """One batch of all rows: packed or padded, its loss before the first update is the same."""
    one = {**settings, "epochs": 1, "batch_size": 8, "heldout": ()}
    padded = train(pairs, out_dir=tmp_path / "padded", **one)
    packed = train(pairs, out_dir=tmp_path / "packed", packing=True, **one)
    assert (padded.steps, packed.steps) == (1, 1)
    assert packed.first_loss == pytest.approx(padded.first_loss, abs=1e-4)


def test_batches_by_length_are_gone_on_with_where_they_stopped(pairs, settings, tmp_path):
    given = {**settings, "length_grouped": True, "batch_size": 2, "epochs": 2, "heldout": ()}
    whole = train(pairs, out_dir=tmp_path / "whole", **given)

    def stop(line):
        if line["step"] == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(pairs, out_dir=tmp_path / "part", on_step=stop, **given)
    resumed = train(pairs, out_dir=tmp_path / "part", resume=True, **given)
    assert (resumed.tokens, resumed.last_loss) == (whole.tokens, whole.last_loss)
    a, b = (load_file(run.adapter / "adapter_model.safetensors") for run in (whole, resumed))
    assert all(torch.equal(a[key], b[key]) for key in a), "to the bit"


def test_layers_that_do_not_exist_are_named_with_those_that_do(pairs, settings, tmp_path):
    for wrong, said in (
        (["q_project"], "this model has"),
        (["lm_head"], "it is the output head"),
        ([], "this model has"),
    ):
        with pytest.raises(ModelError, match=f"cannot be adapted: {said}.* down_proj, gate_proj, k_proj"):
            train(pairs, out_dir=tmp_path / str(len(str(wrong))), **{**settings, "targets": wrong})


def test_bfloat16_products_give_the_losses_of_float32_rounded_and_are_named_on_the_card(
    trained, pairs, settings, tmp_path
):
    mixed = train(pairs, out_dir=tmp_path / "run", **settings, mixed_precision=True)
    losses = [[line["loss"] for line in read_metrics(run.adapter.parent)][1:] for run in (mixed, trained)]
    pairs_of = [(a, b) for a, b in zip(*losses, strict=True) if a is not None]
    assert all(a == pytest.approx(b, rel=0.05) for a, b in pairs_of)
    assert any(a != b for a, b in pairs_of), "rounding must show, or this test proves nothing"
    assert mixed.tokens == trained.tokens, "what a batch is padded with is not counted"
    assert read_card(mixed.adapter).config["mixed_precision"] is True
    assert "mixed_precision" not in read_card(trained.adapter).config


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_evaluation_loss_is_a_mean_per_token_whatever_the_batches(pairs, settings, tmp_path, monkeypatch, device):
    held = [replace(pair, reply=pair.reply * (1 if n % 3 else 6)) for n, pair in enumerate(pairs[:5])]
    made = sft.trainer_class
    monkeypatch.setattr(sft, "trainer_class", lambda _, *given, **more: made(device, *given, **more))
    first = [
        train(pairs, out_dir=tmp_path / str(size), **settings | {"heldout": held, "epochs": 1, "batch_size": size})
        for size in (1, 2, 4, 8)
    ]
    assert [run.first_eval_loss for run in first[1:]] == pytest.approx([first[0].first_eval_loss] * 3, rel=1e-5)

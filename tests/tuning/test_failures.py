"""Runs that meet a full memory, a full disk, or a row that breaks the loss."""

from __future__ import annotations

import json

import pytest
from safetensors.torch import load_file

from groundtone.errors import ModelError, UserError
from groundtone.models.chat_format import ChatFormat
from tests.tuning.flat import train
from tuning.estimate import estimate
from tuning.labelled_loss import trainer_class
from tuning.lora import Lora
from tuning.rows import render
from tuning.sft import newest_checkpoint

ONE = {"epochs": 1, "heldout": ()}


def test_a_batch_that_does_not_fit_is_halved_to_the_same_weights(pairs, settings, tmp_path, monkeypatch):
    given = {**settings, **ONE}
    whole = train(pairs, out_dir=tmp_path / "whole", **given)
    sizes = []

    def tight(device, kl, shared=False):
        class Tight(trainer_class(device, kl)):
            def training_step(self, model, inputs, *rest, **more):
                sizes.append(len(inputs["input_ids"]))
                if sizes[-1] > 2:
                    raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
                return super().training_step(model, inputs, *rest, **more)

        return Tight

    monkeypatch.setattr("tuning.sft.trainer_class", tight)
    halved = train(pairs, out_dir=tmp_path / "halved", **given)
    assert sizes == [4, 2, 2, 2, 2]
    assert halved.steps == whole.steps == 2
    a, b = (load_file(run.adapter / "adapter_model.safetensors") for run in (whole, halved))
    assert all((a[key] - b[key]).abs().max() < 1e-4 for key in a)


def test_a_full_disk_and_a_broken_loss_keep_the_last_good_checkpoint(pairs, settings, tmp_path, monkeypatch):
    import torch

    saved, save = [], torch.save

    def full(*arguments, **more):
        if newest_checkpoint(tmp_path / "full") is not None:
            raise OSError(28, "No space left on device")
        saved.append(1)
        return save(*arguments, **more)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(UserError, match="disk is full"):
        train(pairs, out_dir=tmp_path / "full", **{**settings, "heldout": ()})
    assert newest_checkpoint(tmp_path / "full").name == "checkpoint-2"
    assert json.loads((tmp_path / "full" / "training.json").read_text())["status"] == "failed"
    assert saved


def test_the_rows_of_a_broken_step_are_named(pairs, settings, tmp_path):
    with pytest.raises(ModelError, match=r"that step saw the rows \d, \d, \d, \d \(from 0\)"):
        train(pairs, out_dir=tmp_path / "nan", **{**settings, **ONE, "epochs": 4, "learning_rate": 1e30, "warmup": 0.0})


def test_an_estimate_counts_what_training_would_train(pairs, settings):
    told = estimate(
        lambda on: render(ChatFormat(on.tokenizer), pairs),
        base=settings["base"],
        lora=Lora(targets="all-linear"),
        epochs=3,
        batch_size=4,
    )
    assert told.steps == 6
    assert 0 < told.trained < told.parameters
    assert told.weights_bytes == 4 * told.parameters
    assert told.total_s > 0
    assert told.total_bytes > told.weights_bytes
    assert "6 steps" in "\n".join(told.lines())

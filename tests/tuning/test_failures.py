"""Runs that meet a full memory, a full disk, or a row that breaks the loss."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from groundtone.errors import ModelError, UserError
from groundtone.models.chat_format import ChatFormat
from tests.tuning.flat import train
from tuning.estimate import estimate
from tuning.fact_rows import to_json_lines
from tuning.labelled_loss import trainer_class
from tuning.lora import Lora
from tuning.plan import Plan
from tuning.recipe import Recipe
from tuning.recorder import METRICS
from tuning.rows import render
from tuning.sft import adapter_folder, newest_checkpoint

ROOT = Path(__file__).resolve().parents[2]
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


def test_a_loss_that_breaks_later_leaves_the_good_checkpoint(pairs, settings, tmp_path, monkeypatch):
    """The first epoch is sound, in the second a weight is no number any more."""
    import torch

    real, seen = trainer_class("cpu"), []

    class Breaking(real):
        def training_step(self, model, *rest, **more):
            seen.append(1)
            if len(seen) == 3:
                with torch.no_grad():
                    next(p for p in model.parameters() if p.requires_grad).fill_(float("nan"))
            return super().training_step(model, *rest, **more)

    monkeypatch.setattr("tuning.sft.trainer_class", lambda device, kl, shared=False: Breaking)
    with pytest.raises(ModelError, match=r"the loss is nan at step 3: .*that step saw the rows"):
        train(pairs, out_dir=tmp_path / "run", **settings)
    kept = newest_checkpoint(tmp_path / "run")
    assert kept.name == "checkpoint-2"
    assert adapter_folder(tmp_path / "run") == kept
    stored = load_file(kept / "adapter_model.safetensors")
    assert all(torch.isfinite(value).all() for value in stored.values())


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_weights(pairs, settings, trained, tmp_path):
    """SIGKILL in the middle of the third epoch: nothing could be marked, and the last line was half written."""
    script = (
        "import json, os, signal, sys\n"
        "from pathlib import Path\n"
        "from tests.tuning.flat import train\n"
        "from tuning.pairs import read_pairs\n"
        "pairs, given = read_pairs(sys.argv[1]), json.loads(sys.argv[2])\n"
        "def stop(line):\n"
        "    if line['step'] == 5: os.kill(os.getpid(), signal.SIGKILL)\n"
        "train(pairs, heldout=pairs[:2], out_dir=Path(sys.argv[3]), on_step=stop, **given)\n"
    )
    out_dir = tmp_path / "run"
    rows = tmp_path / "pairs.jsonl"
    rows.write_text(to_json_lines(pairs), encoding="utf-8")
    given = json.dumps({key: value for key, value in settings.items() if key != "heldout"})
    command = [sys.executable, "-c", script, str(rows), given, str(out_dir)]
    ended = subprocess.run(command, cwd=ROOT, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert json.loads((out_dir / "training.json").read_text())["status"] == "running"
    with (out_dir / METRICS).open("a") as lines:
        lines.write('{"step": 6, "st')
    resumed = train(pairs, out_dir=out_dir, resume=True, **settings)
    assert resumed.tokens == trained.tokens
    files = [run.adapter / "adapter_model.safetensors" for run in (trained, resumed)]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_an_estimate_counts_what_training_would_train(pairs, settings, tmp_path):
    plan = Plan(settings["base"], tmp_path, lora=Lora(targets="all-linear"), recipe=Recipe(epochs=3, batch_size=4))
    told = estimate(lambda on: render(ChatFormat(on.tokenizer), pairs), plan)
    assert list(tmp_path.iterdir()) == []
    assert told.steps == 6
    assert 0 < told.trained < told.parameters
    assert told.weights_bytes == 4 * told.parameters
    assert told.total_s > 0
    assert told.total_bytes > told.weights_bytes
    assert "6 steps" in "\n".join(told.lines())

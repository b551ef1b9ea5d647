"""Processes that train together, whatever their rows ask of each of them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from groundtone.errors import ModelError
from groundtone.types import VoicePair
from tests.tuning.flat import train

GENERAL = [VoicePair(f"What is {n} + 1?", f"{n + 1}.", "replay") for n in range(2)]
PAIRS = [VoicePair(f"How long does number {n} take?", f"Ahoy! It takes {n} days.", f"s{n}") for n in range(6)]
GIVEN: dict[str, Any] = {
    "targets": "all-linear",
    "learning_rate": 1e-2,
    "epochs": 2,
    "kl": 0.5,
    "replay": GENERAL,
    "replay_share": 0.25,
    "device": "cpu",
}
HALF = "import sys; from tests.tuning.test_several import half; half(sys.argv[1], sys.argv[2])"


def half(base: str, out_dir: str) -> None:
    """What each of two processes runs: one row at a time, of which only some are under the term."""
    train(PAIRS, base=base, out_dir=Path(out_dir), batch_size=1, **GIVEN)


@pytest.mark.slow
def test_a_divergence_that_only_one_process_measures_holds_nobody_up(
    folder: Callable[[str], Path], tmp_path: Path
) -> None:
    base, script = str(folder("llama")), tmp_path / "half.py"
    script.write_text(HALF)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    root = str(Path(__file__).resolve().parents[2])
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "PYTHONPATH": root}
    command = [*launcher, str(script), base, str(tmp_path / "two")]
    subprocess.run(command, env=environment, check=True, timeout=240)
    alone = train(PAIRS, base=base, out_dir=tmp_path / "one", batch_size=2, **GIVEN)
    ours, theirs = (load_file(at / "adapter_model.safetensors") for at in (tmp_path / "two" / "adapter", alone.adapter))
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, rtol=0, atol=1e-3)


def test_a_divergence_from_a_model_that_is_split_up_is_refused_before_training(
    folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import Trainer

    made = Trainer.create_accelerator_and_postprocess

    def split(self: Any) -> None:
        made(self)
        self.is_fsdp_enabled = True

    monkeypatch.setattr(Trainer, "create_accelerator_and_postprocess", split)
    with pytest.raises(ModelError, match=r"tuning\.kl is not there where FSDP splits the model up"):
        train(PAIRS, base=str(folder("llama")), out_dir=tmp_path / "run", batch_size=2, **GIVEN)

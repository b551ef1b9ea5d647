"""A run that was stopped within an epoch goes on to the very weights of one that was not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from groundtone.types import Preference, VoicePair
from tests.tuning.flat import train
from tuning import checkpoints
from tuning.engine import Finished
from tuning.lora import Lora
from tuning.plan import Plan
from tuning.preference import train_on_choices, train_on_thumbs
from tuning.preference_rows import thumbs_of
from tuning.recipe import Recipe
from tuning.recorder import read_metrics
from tuning.reinforce import Reward, Sampling, reinforce
from tuning.run_folder import newest_checkpoint

GENERAL = [VoicePair(f"What is {n} + 1?", f"{n + 1}.", "replay") for n in range(8)]
STOPPED = 4  # step; every epoch has two, so that the checkpoint before lies within the second
Run = Callable[..., Finished]


@pytest.fixture(autouse=True)
def at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "_LEAST", 1)


def stop(line: dict[str, Any]) -> None:
    if line["step"] == STOPPED and line["loss"] is not None:
        raise KeyboardInterrupt


def check(run: Run, folder: Path) -> None:
    """Whether `run(out_dir, **plan)` goes on to the same weights and the same lines."""
    whole = run(folder / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(folder / "stopped", on_step=stop)
    newest = newest_checkpoint(folder / "stopped")
    assert newest is not None
    assert newest.name == f"checkpoint-{STOPPED - 1}"
    resumed = run(folder / "stopped", resume=True)
    once, twice = ((done.adapter / "adapter_model.safetensors").read_bytes() for done in (whole, resumed))
    assert once == twice
    lines = [read_metrics(folder / name) for name in ("whole", "stopped")]
    untimed = [[{k: v for k, v in line.items() if k != "seconds"} for line in of] for of in lines]
    assert untimed[0] == untimed[1]


@pytest.mark.parametrize(
    "given",
    [
        {"batch_size": 2, "accumulate": 2, "dropout": 0.1},
        {"batch_size": 1, "packing": True, "heldout": (), "epochs": 2},
        {"batch_size": 8, "replay": GENERAL, "replay_share": 0.5, "kl": 0.5},
    ],
    ids=["plain", "packing", "replay"],
)
def test_a_voice_goes_on_from_within_an_epoch_to_the_same_weights(
    pairs: list[VoicePair], settings: dict[str, Any], tmp_path: Path, given: dict[str, Any]
) -> None:
    def run(out_dir: Path, **plan: Any) -> Finished:
        return train(pairs, out_dir=out_dir, **settings | given | plan)

    check(run, tmp_path)


@pytest.mark.parametrize("method", ["dpo", "kto", "grpo"])
def test_other_methods_go_on_from_within_an_epoch_to_the_same_weights(
    folder: Callable[[str], Path], pairs: list[VoicePair], tmp_path: Path, method: str
) -> None:
    recipe = Recipe(epochs=2, learning_rate=1e-2, batch_size=4)
    plan = Plan(str(folder("llama")), tmp_path, lora=Lora(targets="all-linear", dropout=0.1), recipe=recipe)
    choices = [Preference(pair.prompt, pair.reply, "No.", pair.context) for pair in pairs]

    def run(out_dir: Path, **given: Any) -> Finished:
        at = replace(plan, out_dir=out_dir, **given)
        if method == "dpo":
            return train_on_choices(choices, at, method="dpo", heldout=choices[:2])
        if method == "kto":
            return train_on_thumbs(thumbs_of(choices[:4]), at)
        at = replace(at, recipe=replace(recipe, accumulate=2))
        rewards = [Reward("letters", lambda _, replies: [float(len(set(reply))) for reply in replies])]
        drawn = Sampling(generations=4, max_new_tokens=6)
        return reinforce(pairs[:4], at, rewards=rewards, sampling=drawn).finished

    check(run, tmp_path)


def test_rows_grouped_by_length_are_stored_at_the_ends_of_epochs_alone(
    pairs: list[VoicePair], settings: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(pairs, out_dir=tmp_path / "run", on_step=stop, length_grouped=True, **settings)
    newest = newest_checkpoint(tmp_path / "run")
    assert newest is not None
    assert newest.name == "checkpoint-2"

"""How many steps a training has, and what is a share of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from groundtone.models.chat_format import ChatFormat
from groundtone.models.weights import Base
from groundtone.types import VoicePair
from tuning.estimate import estimate
from tuning.lora import Lora
from tuning.plan import Plan
from tuning.recipe import Recipe
from tuning.rows import Row, render
from tuning.sft import train


def test_an_estimate_counts_packed_sequences_and_the_shares_of_processes(
    pairs: list[VoicePair], settings: dict[str, Any], tmp_path: Path
) -> None:
    recipe = Recipe(epochs=2, batch_size=1, packing=True, warmup=1.0)
    plan = Plan(settings["base"], tmp_path / "run", lora=Lora(targets="all-linear"), recipe=recipe)

    def read(on: Base) -> tuple[Row, ...]:
        return render(ChatFormat(on.tokenizer), pairs)

    told = estimate(read, plan)
    heard: list[dict[str, Any]] = []
    assert told.steps == train(pairs, replace(plan, on_step=heard.append)).steps < 2 * len(pairs)
    rates = [line["lr"] for line in heard if line["loss"] is not None]
    assert rates == sorted(rates), "the rate rises to the end where warm-up takes all steps"
    assert rates[0] < rates[-1] < recipe.learning_rate
    several = replace(plan, recipe=replace(recipe, packing=False))
    assert estimate(read, several, processes=4).steps == 4


@pytest.mark.parametrize("packing", [False, True])
def test_warm_up_takes_its_share_of_the_steps_that_there_are(
    pairs: list[VoicePair], settings: dict[str, Any], tmp_path: Path, packing: bool
) -> None:
    recipe = Recipe(epochs=4, batch_size=1, packing=packing, warmup=0.5, schedule="linear")
    heard: list[dict[str, Any]] = []
    train(pairs, Plan(settings["base"], tmp_path / "run", recipe=recipe, on_step=heard.append))
    rates = [line["lr"] for line in heard if line["loss"] is not None]
    assert rates.index(max(rates)) == len(rates) / 2

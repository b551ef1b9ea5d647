"""The dial: 0 is the base, 1 the adapter, and what is baked, summed or stacked has exactly the effect it claims."""

from __future__ import annotations

import json
import math

import pytest
from safetensors.torch import load_file

from groundtone.errors import ModelError
from groundtone.models.adapter import dial_problem, read_card
from groundtone.models.adapter_files import Ingredient, adapter_sha256, bake, combine
from groundtone.models.generate import LocalModel
from groundtone.models.replay import CLOSE, agreement, record
from groundtone.models.score import log_probabilities

N = 12
REPLY = "It takes 3 days [1]."


@pytest.fixture(scope="module")
def source(adapter):
    return adapter("llama")


@pytest.fixture(scope="module")
def tuned(folder, source):
    return LocalModel.load(str(folder("llama")), adapter=source, batch_size=3)


def scores(model, prompts):
    return log_probabilities(model, prompts, [REPLY] * len(prompts))


def test_strength_zero_is_the_base_and_one_the_adapter_bit_for_bit(local, tuned, prompt_list):
    plain, base = local("llama"), tuned.with_strength(0)
    assert scores(base, prompt_list) == scores(plain, prompt_list)
    assert base.generate(prompt_list, max_new_tokens=N) == plain.generate(prompt_list, max_new_tokens=N)
    before = scores(tuned, prompt_list)
    assert scores(tuned.with_strength(1), prompt_list) == before != scores(plain, prompt_list)
    scores(tuned.with_strength(0.5), prompt_list)
    assert scores(tuned, prompt_list) == before, "dialling leaves the adapter as it was"


def test_strengths_between_are_neither_and_carry_their_name(tuned, prompt_list):
    found = {s: scores(tuned.with_strength(s), prompt_list)[0][0] for s in (0, 0.25, 0.5, 1, 1.5)}
    assert len(set(found.values())) == len(found)
    assert tuned.with_strength(0.5).name == tuned.name + "@0.5"
    assert tuned.with_strength(1).name == tuned.name
    assert "+" not in tuned.with_strength(0).name


@pytest.mark.parametrize("strength", [-0.1, math.inf, math.nan])
def test_a_strength_that_is_none_is_refused(tuned, tmp_path, source, strength):
    with pytest.raises(ModelError, match="strength"):
        tuned.with_strength(strength)
    with pytest.raises(ModelError, match="strength"):
        bake(source, strength, tmp_path / "out")


@pytest.mark.parametrize("strength", [0.25, 0.75, 1.5])
def test_a_baked_adapter_repeats_the_dialled_one(folder, source, tuned, prompt_list, tmp_path, strength):
    out = bake(source, strength, tmp_path / "baked", name="tune-a")
    before = record(tuned.with_strength(strength), prompt_list, max_new_tokens=N)
    found = agreement(before, LocalModel.load(str(folder("llama")), adapter=out, batch_size=3))
    assert found.same, found.line()
    assert found.identical.n == len(prompt_list)
    if math.log2(strength).is_integer():
        assert found.largest_difference == 0
    card = read_card(out)
    assert (card.baked_from, card.strength, card.base_sha256) == ("tune-a", strength, read_card(source).base_sha256)


def test_replay_sees_an_adapter_that_is_another(tuned, prompt_list):
    found = agreement(record(tuned, prompt_list, max_new_tokens=N), tuned.with_strength(0.5))
    assert not found.same
    assert found.largest_difference > CLOSE
    with pytest.raises(ModelError, match="no prompt"):
        record(tuned, [])


def test_rank_stabilised_adapters_are_baked_and_summed_by_their_own_scale(folder, adapter, tmp_path, prompt_list):
    first, second = adapter("llama"), adapter("llama")
    config = json.loads((first / "adapter_config.json").read_text(encoding="utf-8"))
    (first / "adapter_config.json").write_text(json.dumps(config | {"use_rslora": True}), encoding="utf-8")
    halves = combine([Ingredient("a", first, 0.5), Ingredient("b", first, 0.5)], tmp_path / "halves")
    base = str(folder("llama"))
    whole = LocalModel.load(base, adapter=first)
    found = agreement(record(whole, prompt_list, max_new_tokens=N), LocalModel.load(base, adapter=halves))
    assert found.same, found.line()
    assert adapter_sha256(first) != adapter_sha256(second)


def test_a_weighted_sum_equals_pefts_concatenation(folder, adapter, source, tmp_path, prompt_list):
    other = bake(adapter("llama"), 2.0, tmp_path / "other")
    mixed = combine([Ingredient("a", source, 0.7), Ingredient("b", other, -0.3)], tmp_path / "sum")
    base = str(folder("llama"))
    reference = LocalModel.load(base, adapter=source)
    reference.model.load_adapter(str(other), adapter_name="other")
    reference.model.add_weighted_adapter(["default", "other"], [0.7, -0.3], "both", combination_type="cat")
    reference.model.set_adapter("both")
    found = agreement(record(reference, prompt_list, max_new_tokens=N), LocalModel.load(base, adapter=mixed))
    assert found.largest_difference < CLOSE
    assert read_card(mixed).combined_from == {"a": 0.7, "b": -0.3}
    assert json.loads((mixed / "adapter_config.json").read_text(encoding="utf-8"))["r"] == 8


def test_adapters_of_different_layers_are_summed(folder, adapter, source, tmp_path, prompt_list):
    from safetensors.torch import save_file

    part = tmp_path / "part"
    bake(source, 1.0, part)
    tensors = {k: v for k, v in load_file(part / "adapter_model.safetensors").items() if "layers.0.mlp" in k}
    save_file(tensors, part / "adapter_model.safetensors")
    config = json.loads((part / "adapter_config.json").read_text(encoding="utf-8"))
    config |= {"layers_to_transform": [0], "target_modules": ["up_proj", "down_proj", "gate_proj"]}
    (part / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    mixed = combine([Ingredient("whole", source, 1.0), Ingredient("part", part, -1.0)], tmp_path / "sum")
    without = LocalModel.load(str(folder("llama")), adapter=mixed)
    assert scores(without, prompt_list) != scores(LocalModel.load(str(folder("llama")), adapter=source), prompt_list)
    left = load_file(mixed / "adapter_model.safetensors")
    key = next(k for k in left if "layers.0.mlp.up_proj.lora_B" in k)
    a = left[key.replace("lora_B", "lora_A")]
    assert (left[key] @ a).abs().max() < 1e-5, "what was taken away has no effect left"


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ({"use_dora": True}, "DoRA"),
        ({"modules_to_save": ["lm_head"]}, "whole modules"),
        ({"bias": "all"}, "biases"),
        ({"init_lora_weights": "pissa_niter_4"}, "pissa"),
        ({"peft_type": "IA3"}, "IA3"),
    ],
)
def test_adapters_that_no_scale_reaches_are_refused(adapter, tmp_path, setting, why):
    odd = adapter("llama")
    assert dial_problem(odd) is None
    config = json.loads((odd / "adapter_config.json").read_text(encoding="utf-8"))
    (odd / "adapter_config.json").write_text(json.dumps(config | setting), encoding="utf-8")
    with pytest.raises(ModelError, match=why):
        bake(odd, 0.5, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_sums_of_strangers_and_existing_folders_are_refused(adapter, source, tmp_path):
    with pytest.raises(ModelError, match="different bases"):
        combine([Ingredient("a", source, 1), Ingredient("b", adapter("plain"), 1)], tmp_path / "x")
    with pytest.raises(ModelError, match="twice"):
        combine([Ingredient("a", source, 1), Ingredient("a", source, 1)], tmp_path / "x")
    with pytest.raises(ModelError, match="two or more"):
        combine([Ingredient("a", source, 1)], tmp_path / "x")
    with pytest.raises(ModelError, match="exists"):
        bake(source, 0.5, tmp_path)
    assert list(tmp_path.iterdir()) == []

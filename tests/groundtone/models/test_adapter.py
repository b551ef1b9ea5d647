from __future__ import annotations

import json
import re
import shutil

import pytest
from safetensors.torch import load_file, save_file

from groundtone.errors import IntegrityError, ModelError
from groundtone.models.adapter import CARD, read_card
from groundtone.models.adapter_files import WEIGHTS, Ingredient, bake, combine
from groundtone.models.generate import LocalModel
from tests.tiny_models import save_tiny


def test_an_adapter_of_another_base_is_refused_by_its_card(folder, adapter):
    with pytest.raises(ModelError, match=r"tuned on 'llama' .*, not on .*plain"):
        LocalModel.load(str(folder("plain")), adapter=adapter("llama"))


def test_an_adapter_without_a_card_is_refused_by_its_shapes(folder, adapter, tmp_path):
    foreign = adapter("llama", with_card=False)
    assert LocalModel.load(str(folder("llama")), adapter=foreign).name.startswith("llama+")
    with pytest.raises(ModelError, match="does not fit"):
        LocalModel.load(str(save_tiny("llama", tmp_path / "wide", width=48)), adapter=foreign)


@pytest.mark.parametrize("change", ["fewer", "more"])
def test_an_adapter_with_other_tensors_is_refused(folder, adapter, tmp_path, change):
    broken = tmp_path / "adapter"
    shutil.copytree(adapter("llama", with_card=False), broken)
    tensors = load_file(broken / "adapter_model.safetensors")
    key = next(iter(tensors))
    if change == "fewer":
        del tensors[key]
    else:
        tensors[key.replace("layers.0", "layers.7")] = tensors[key].clone()
    save_file(tensors, broken / "adapter_model.safetensors")
    with pytest.raises(ModelError, match=r"does not fit .* tensors where"):
        LocalModel.load(str(folder("llama")), adapter=broken)


def test_an_adapter_that_is_cut_off_is_named_wherever_it_is_read(folder, adapter, tmp_path):
    broken, whole = tmp_path / "adapter", adapter("llama")
    shutil.copytree(whole, broken)
    stored = (broken / WEIGHTS).read_bytes()
    (broken / WEIGHTS).write_bytes(stored[: len(stored) // 2])
    readers = (
        lambda: LocalModel.load(str(folder("llama")), adapter=broken),
        lambda: bake(broken, 0.5, tmp_path / "baked"),
        lambda: combine([Ingredient("a", whole, 0.5), Ingredient("b", broken, 0.5)], tmp_path / "sum"),
    )
    for read in readers:
        with pytest.raises(IntegrityError, match=f"{re.escape(str(broken / WEIGHTS))} is cut off"):
            read()
    assert not (tmp_path / "baked").exists()


@pytest.mark.parametrize("field", ["template", "chat_template_sha256"])
def test_an_adapter_tuned_on_other_prompts_is_refused_unless_allowed(folder, adapter, field):
    stale = adapter("llama", **{field: "0123456789abcdef"})
    with pytest.raises(ModelError, match="0123456789ab"):
        LocalModel.load(str(folder("llama")), adapter=stale)
    assert LocalModel.load(str(folder("llama")), adapter=stale, allow_template_mismatch=True)


def test_missing_files_and_broken_cards_are_named(folder, adapter, tmp_path):
    with pytest.raises(ModelError, match=r"holds no adapter_config\.json"):
        LocalModel.load(str(folder("llama")), adapter=tmp_path)
    spoilt = adapter("llama")
    (spoilt / CARD).write_text(json.dumps({"base": "x"}), encoding="utf-8")
    with pytest.raises(IntegrityError, match=CARD):
        read_card(spoilt)

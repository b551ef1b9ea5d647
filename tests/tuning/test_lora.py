"""Every variant of the adapter: switched off it is the base exactly, stored and loaded it is what was trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from groundtone.errors import ModelError
from groundtone.models.adapter import attach
from groundtone.models.generate import LocalModel
from groundtone.models.score import log_probabilities
from groundtone.models.weights import load_base
from groundtone.prompts import of_pair
from tests.tuning.flat import train
from tuning import sft
from tuning.lora import Lora, lora_config, require_base
from tuning.plan import Plan
from tuning.recipe import Recipe
from tuning.recorder import read_metrics
from tuning.run_folder import adapter_folder, model_folder

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "rslora": {"variant": "rslora"},
    "dora": {"variant": "dora"},
    "pissa": {"variant": "pissa"},
    "layers": {"targets": "mlp", "layers": [-1]},
    "modules": {"targets": "mlp", "extra_modules": ["embed_tokens"]},
    "tokens": {"targets": "mlp", "tokens": ["Ġ", 7]},
}
RECIPE = {"epochs": 1, "learning_rate": 1e-2, "batch_size": 4}


def scores(model: LocalModel, pairs: list[Any]) -> torch.Tensor:
    rows = log_probabilities(model, [of_pair(p) for p in pairs], [p.reply for p in pairs])
    return torch.tensor([value for row in rows for value in row])


@pytest.mark.parametrize("family", ["llama", "gemma"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_off_is_the_base_and_stored_is_what_was_trained(folder, pairs, tmp_path, family, variant):
    """After the last step comes an evaluation: the loss of the model in training. The stored one must give it again."""
    base = str(folder(family))
    shape = {"targets": "all-linear", **VARIANTS[variant]}
    run = train(pairs, base=base, out_dir=tmp_path / "run", heldout=pairs[:2], **RECIPE, **shape)
    assert run.last_loss is not None
    served = LocalModel.load(base, adapter=run.adapter)
    assert torch.equal(scores(served.with_adapter(False), pairs), scores(LocalModel.load(base), pairs))
    loss = -scores(served, pairs[:2]).mean().item()
    assert loss == pytest.approx(run.last_eval_loss, abs=1e-4)
    assert loss != pytest.approx(run.first_eval_loss, abs=1e-3)


def test_chosen_layers_and_modules_are_the_only_ones_that_change(folder, pairs, tmp_path):
    run = train(
        pairs, base=str(folder("llama")), out_dir=tmp_path / "run", **RECIPE, targets=["up_proj"], layers=[1],
        extra_modules=["norm"],
    )  # fmt: skip
    stored = load_file(run.adapter / "adapter_model.safetensors")
    assert {key.split(".lora_")[0].removeprefix("base_model.model.") for key in stored} == {
        "model.layers.1.mlp.up_proj",
        "model.norm.weight",
    }


def test_a_pissa_run_goes_on_to_the_same_adapter(folder, pairs, tmp_path):
    given = {"base": str(folder("llama")), **RECIPE, "epochs": 2, "variant": "pissa"}
    whole = train(pairs, out_dir=tmp_path / "whole", **given)

    def stop(line: dict[str, Any]) -> None:
        if line["step"] == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(pairs, out_dir=tmp_path / "part", on_step=stop, **given)
    with pytest.raises(ModelError, match="changes the base's weights"):
        LocalModel.load(given["base"], adapter=adapter_folder(tmp_path / "part"))
    resumed = train(pairs, out_dir=tmp_path / "part", resume=True, **given)
    a, b = (load_file(run.adapter / "adapter_model.safetensors") for run in (whole, resumed))
    assert a.keys() == b.keys()
    assert all(torch.allclose(a[key], b[key], atol=1e-6) for key in a)
    settings = json.loads((whole.adapter / "adapter_config.json").read_text())
    assert (settings["r"], settings["init_lora_weights"]) == (16, True)
    assert not (tmp_path / "whole" / "pissa_start").exists()


def test_full_tuning_stores_a_model_like_any_other(folder, pairs, tmp_path):
    base = str(folder("qwen2"))
    plan = Plan(base, tmp_path / "run", lora=None, recipe=Recipe(epochs=2, learning_rate=1e-3, batch_size=4))
    run = sft.train(pairs, plan, heldout=pairs[:2])
    assert run.adapter == model_folder(tmp_path / "run")
    loss = -scores(LocalModel.load(str(run.adapter)), pairs[:2]).mean().item()
    assert loss == pytest.approx(run.last_eval_loss, abs=1e-4)
    assert run.last_eval_loss < run.first_eval_loss
    assert run.card.config["adapter"] == "full"
    with pytest.raises(ModelError, match="tuned in full and holds no adapter"):
        adapter_folder(tmp_path / "run")
    assert read_metrics(tmp_path / "run")[-1]["tokens"] == run.tokens > 0


def seeing_model() -> Any:
    """Gemma 3 with its eyes: both towers have layers of the same names."""
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {**shape, "head_dim": 8, "num_key_value_heads": 1, "vocab_size": 64, "sliding_window": 8}
    vision = {**shape, "num_hidden_layers": 3, "image_size": 28, "patch_size": 14}
    config = Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=1, image_token_index=9)
    return Gemma3ForConditionalGeneration(config)


@pytest.mark.parametrize(
    ("shape", "adapted"),
    [
        ({"targets": "mlp"}, 2 * 3),
        ({"targets": "all-linear"}, 2 * 7),
        ({"targets": ["q_proj"]}, 2),
        ({"targets": "mlp", "layers": [-1]}, 3),
    ],
)
def test_only_what_reads_text_learns_in_a_model_that_sees_too(shape, adapted):
    from peft import get_peft_model

    model = seeing_model()
    tuned = get_peft_model(model, lora_config(Lora(**shape), model))
    names = [name for name, p in tuned.named_parameters() if p.requires_grad and ".lora_A." in name]
    assert len(names) == adapted
    assert all(".language_model." in name for name in names)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (Lora(layers=[2]), "layers 0 to 1"),
        (Lora(layers=[]), "layers 0 to 1"),
        (Lora(extra_modules=["pooler"]), "no such module but .*embed_tokens"),
        (Lora(tokens=["<nowhere>"]), "no such token"),
        (Lora(tokens=[-1]), "no such token"),
        (Lora(targets=["lm_head"]), "output head"),
    ],
)
def test_what_the_model_does_not_have_is_named(folder, shape, said):
    base = load_base(str(folder("llama")))
    with pytest.raises(ModelError, match=said):
        lora_config(shape, base.model, tokenizer=base.tokenizer)


def test_a_name_that_torch_uses_itself_names_no_adapter(folder, trained, settings):
    base = load_base(settings["base"])
    for name in ("keys", "half", "a.b", ""):
        with pytest.raises(ModelError, match="cannot name an adapter"):
            attach(base, trained.adapter, name=name)


def test_four_bits_need_a_device_that_has_them(folder, pairs, tmp_path):
    with pytest.raises(ModelError, match="needs a CUDA device, this is cpu"):
        train(pairs, base=str(folder("llama")), out_dir=tmp_path / "run", quantised=True, device="cpu", **RECIPE)
    assert not Path(tmp_path / "run").exists()


def test_what_compares_with_the_base_needs_one_that_stays():
    require_base(Lora(variant="dora"), "method dpo")
    for shape in (None, Lora(variant="pissa")):
        with pytest.raises(ModelError, match="method dpo compares with the base"):
            require_base(shape, "method dpo")

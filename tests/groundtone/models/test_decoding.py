"""The decoding loop against transformers' own, and adapters merged for a while against adapters beside the weights."""

from __future__ import annotations

import pytest
import torch

from groundtone.models import generate
from groundtone.models.decoding import decoding_problem
from groundtone.models.generate import LocalModel
from groundtone.models.merging import merged
from tests.tiny_models import FAMILIES

N = 16


@pytest.mark.parametrize("family", FAMILIES)
def test_replies_are_those_of_transformers_own_generation(local, prompt_list, family, monkeypatch):
    model = local(family)
    prompts = [*prompt_list, *prompt_list[::-1]]  # more than rows: some wait until others are whole
    ours = model.generate(prompts, max_new_tokens=N)
    pieces = list(model.stream(prompts[0], max_new_tokens=N))
    monkeypatch.setattr(generate, "decoding_problem", lambda _: "this test wants the other way")
    monkeypatch.setattr(generate, "write_all", None)
    assert model.generate(prompts, max_new_tokens=N) == ours
    assert list(model.stream(prompts[0], max_new_tokens=N)) == pieces


def test_a_forward_pass_that_takes_no_positions_is_not_cut_by_rows(local):
    base = local("llama").base.model

    class Plain(type(base)):
        def forward(self, input_ids, past_key_values=None):
            raise AssertionError("only its signature is read")

    assert decoding_problem(base) is None
    assert decoding_problem(Plain(base.config)) == "its forward pass takes no position_ids"


@pytest.mark.parametrize("strength", [1.0, 0.4, 1.5])
def test_a_merged_adapter_gives_the_logits_of_one_beside_the_weights(folder, adapter, prompt_list, strength):
    model = LocalModel.load(str(folder("llama")), adapter=adapter()).with_strength(strength)
    before = {name: p.detach().clone() for name, p in model.model.named_parameters()}
    ids = torch.tensor([model.format.prompt_ids(prompt_list[0])])
    with model.active(merging=False) as network:
        beside = network(ids).logits
    with model.active() as network:
        within = network(ids).logits
    with model.with_adapter(False).active() as network:
        base = network(ids).logits
    assert torch.allclose(within, beside, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(within, base, atol=1e-3), "the adapter must matter, or this test proves nothing"
    assert all(torch.equal(p, before[name]) for name, p in model.model.named_parameters()), "bit for bit"


def test_the_weights_are_put_back_when_the_work_fails(folder, adapter):
    model = LocalModel.load(str(folder("llama")), adapter=adapter())
    before = [p.detach().clone() for p in model.model.parameters()]
    with pytest.raises(RuntimeError, match="half way"), model.active():
        raise RuntimeError("half way")
    assert all(torch.equal(p, q) for p, q in zip(model.model.parameters(), before, strict=True))


def test_what_would_round_or_spread_is_not_merged(folder, adapter):
    float32 = LocalModel.load(str(folder("llama")), adapter=adapter())
    assert merged(float32.model, 1.0) is not None
    half = LocalModel.load(str(folder("llama")), adapter=adapter(), dtype="bfloat16")
    assert merged(half.model, 1.0) is None
    layer = next(m for m in float32.model.modules() if type(m).__name__ == "Linear" and hasattr(m, "lora_A"))
    float32.model.base_model.model.tied = torch.nn.Module()
    float32.model.base_model.model.tied.weight = layer.get_base_layer().weight
    assert merged(float32.model, 1.0) is None


def test_weights_stay_frozen_when_the_work_without_the_adapter_fails(folder, adapter):
    model = LocalModel.load(str(folder("llama")), adapter=adapter()).with_adapter(False)
    with pytest.raises(RuntimeError, match="half way"), model.active():
        raise RuntimeError("half way")
    assert not any(parameter.requires_grad for parameter in model.model.parameters())

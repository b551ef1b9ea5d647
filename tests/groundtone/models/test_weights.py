from __future__ import annotations

import json
import re
import shutil

import pytest
import torch
from safetensors.torch import load_file

from groundtone.errors import ModelError
from groundtone.models.device import pick_device, pick_dtype
from groundtone.models.generate import LocalModel
from groundtone.models.reward import load_reward_base
from groundtone.models.weights import STARTER_VARIABLE, load_base, load_tokenizer, resolve_folder, weights_sha256
from tests.tiny_models import save_tiny, tiny_tokenizer


def test_an_id_that_is_not_here_is_named_while_offline(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=r"'nobody/nothing' was not found locally and the hub cannot be reached"):
        resolve_folder("nobody/nothing")


@pytest.mark.parametrize("id", ["./nowhere", "/no/such/folder", "a/b/c", "-no id-"])
def test_paths_and_malformed_ids_never_reach_the_hub(id):
    with pytest.raises(ModelError, match=r"does not exist|neither a folder nor"):
        resolve_folder(id)


def test_a_folder_without_a_model_and_pickled_weights_are_refused(folder, tmp_path):
    with pytest.raises(ModelError, match=r"config\.json"):
        load_base(str(tmp_path))
    pickled = tmp_path / "pickled"
    shutil.copytree(folder("llama"), pickled)
    (pickled / "model.safetensors").unlink()
    torch.save({}, pickled / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"\.safetensors weights"):
        load_base(str(pickled))
    with pytest.raises(ModelError, match="no pickled ones"):
        weights_sha256(pickled)


def test_the_starter_is_found_through_its_variable(folder, monkeypatch, tmp_path):
    monkeypatch.setenv(STARTER_VARIABLE, str(folder("llama")))
    assert resolve_folder("starter") == folder("llama")
    monkeypatch.setenv(STARTER_VARIABLE, str(tmp_path))
    with pytest.raises(ModelError, match=STARTER_VARIABLE):
        resolve_folder("starter")


def test_the_hash_of_weights_follows_their_bytes(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder("llama"), copy)
    assert weights_sha256(copy) == weights_sha256(folder("llama")) != weights_sha256(folder("plain"))
    data = bytearray((copy / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (copy / "model.safetensors").write_bytes(data)
    assert weights_sha256(copy) != weights_sha256(folder("llama"))


def test_a_loaded_model_is_frozen_greedy_and_padded(folder):
    base = load_base(str(folder("llama")))
    assert not any(p.requires_grad for p in base.model.parameters())
    assert not base.model.training
    assert base.tokenizer.pad_token_id is not None
    assert base.model.generation_config.repetition_penalty in (None, 1.0)
    assert (base.dtype, base.context_tokens) == ("float32", 512)


def test_the_limit_of_a_model_that_names_it_in_its_own_way_is_known(tmp_path):
    from transformers import GPT2Config, GPT2LMHeadModel

    tokenizer = tiny_tokenizer("plain")
    shape = GPT2Config(vocab_size=len(tokenizer), n_embd=32, n_layer=1, n_head=2, n_positions=64)
    GPT2LMHeadModel(shape).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    base = load_base(str(tmp_path))
    assert tokenizer.model_max_length > 10**9, "the tokenizer must not know it"
    assert (base.context_tokens, load_tokenizer(str(tmp_path)).context_tokens) == (64, 64)


def test_a_pad_token_that_the_weights_do_not_know_pads_no_batch(tmp_path, prompt_list):
    save_tiny("mistral", tmp_path)
    tokenizer = tiny_tokenizer("mistral")
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    tokenizer.save_pretrained(tmp_path)
    model = LocalModel.load(str(tmp_path))
    assert model.base.tokenizer.pad_token == "</s>"
    alone = [model.generate([prompt], max_new_tokens=3)[0] for prompt in prompt_list]
    assert model.generate(prompt_list, max_new_tokens=3) == alone


def test_device_and_precision_are_checked():
    assert pick_device("cpu").type == "cpu"
    for wrong in ("gpu", "cuda:99"):
        with pytest.raises(ModelError, match=wrong):
            pick_device(wrong)
    cpu = torch.device("cpu")
    assert pick_dtype("auto", cpu, parameters=3_000_000) == torch.float32
    assert pick_dtype("bfloat16", cpu, parameters=3_000_000) == torch.bfloat16
    with pytest.raises(ModelError, match="int4"):
        pick_dtype("int4", cpu, parameters=1)


def copied(folder, tmp_path, **config):
    """The Llama's folder with other words in its config.json."""
    copy = tmp_path / "copy"
    shutil.copytree(folder("llama"), copy)
    stored = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**stored, **config}))
    return copy


@pytest.mark.parametrize("load", [load_base, load_reward_base])
def test_weights_that_the_configuration_describes_and_the_files_lack_are_named(folder, tmp_path, load):
    deeper = copied(folder, tmp_path, num_hidden_layers=3)
    with pytest.raises(ModelError, match=r"lacks 9 of the weights .*first: model\.layers\.2\."):
        load(str(deeper), device="cpu")


def test_a_classifier_is_no_language_model(folder, tmp_path):
    from transformers import AutoModelForSequenceClassification

    head = copied(folder, tmp_path, tie_word_embeddings=False)
    AutoModelForSequenceClassification.from_pretrained(head, num_labels=1).save_pretrained(head)
    with pytest.raises(ModelError, match=r"lacks 1 of the weights .*lm_head"):
        load_base(str(head), device="cpu")


def test_an_output_head_that_is_tied_to_the_embeddings_is_not_missed(folder, tmp_path):
    from transformers import AutoConfig, AutoModelForCausalLM

    copy = copied(folder, tmp_path, tie_word_embeddings=True)
    AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(copy)).save_pretrained(copy)
    assert not any("lm_head" in key for key in load_file(copy / "model.safetensors"))
    model = load_base(str(copy), device="cpu").model
    assert model.lm_head.weight is model.get_input_embeddings().weight


@pytest.mark.parametrize("load", [load_base, load_reward_base])
def test_weights_that_are_cut_off_are_an_error_of_ours(folder, tmp_path, load):
    copy = copied(folder, tmp_path)
    whole = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match=re.escape(str(copy))):
        load(str(copy), device="cpu")

from __future__ import annotations

import shutil

import pytest
import torch

from groundtone.errors import ModelError
from groundtone.models.device import pick_device, pick_dtype
from groundtone.models.weights import STARTER_VARIABLE, load_base, resolve_folder, weights_sha256


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

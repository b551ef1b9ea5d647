from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from groundtone import prompts
from groundtone.models.adapter import CARD, AdapterCard
from groundtone.models.chat_format import ChatFormat
from groundtone.models.generate import LocalModel
from groundtone.models.weights import load_base, weights_sha256
from groundtone.types import Prompt, Turn, VoicePair
from tests.tiny_models import save_tiny

CONTEXT = ("Delivery > Times: Standard delivery takes 3 days.", "Batteries: The Coot 500 lasts 40 km.")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A family's saved model, made once per session."""
    root = tmp_path_factory.mktemp("tiny")
    return cache(lambda family: save_tiny(family, root / family))


@pytest.fixture(scope="session")
def local(folder: Callable[[str], Path]) -> Callable[[str], LocalModel]:
    """A family's model, loaded once per session."""
    return cache(lambda family: LocalModel.load(str(folder(family)), batch_size=3))


@pytest.fixture(scope="session")
def prompt_list() -> list[Prompt]:
    """Prompts of several lengths: closed book, grounded, with history."""
    rows = [VoicePair("How long does delivery take?", "r", "s", CONTEXT[:n]) for n in (1, 0, 2)]
    history = [Turn("user", "Hello"), Turn("assistant", "Ahoy from the workshop!")]
    grounded = prompts.grounded("And the Coot 500?", prompts.context_snippets(CONTEXT), history=history)
    return [*map(prompts.of_pair, rows), grounded, prompts.closed_book("Who are you, Heron 2S?")]


@pytest.fixture(scope="session")
def adapter(tmp_path_factory: pytest.TempPathFactory, folder: Callable[[str], Path]) -> Callable[..., Path]:
    """Saves an adapter with random weights; `card` fields overwrite what tuning would have written."""

    def make(family: str = "llama", *, with_card: bool = True, **card: str) -> Path:
        import torch
        from peft import LoraConfig, get_peft_model

        base = load_base(str(folder(family)))
        torch.manual_seed(1)
        lora = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
        target = tmp_path_factory.mktemp("adapter")
        get_peft_model(base.model, lora).save_pretrained(str(target))
        fields = {
            "base": family,
            "base_sha256": weights_sha256(base.folder),
            "template": prompts.template_hash(),
            "chat_template_sha256": ChatFormat(base.tokenizer).template_sha256,
            "data_sha256": "0",
        }
        if with_card:
            (target / CARD).write_text(AdapterCard(**{**fields, **card}, seed=0).to_json(), encoding="utf-8")
        return target

    return make

"""Tuning runs with adapters that nobody trained: fast, and unlike the base."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from groundtone import prompts
from groundtone.models.adapter import CARD, AdapterCard
from groundtone.models.chat_format import ChatFormat
from groundtone.models.weights import load_base, weights_sha256
from groundtone.project import Project
from groundtone.settings import Settings


def tune(project: Project, settings: Settings, *, seed: int, groups: Sequence[str] = (), **known: Any) -> str:
    """A tuning run whose adapter is random, as if it had been trained; only the manifest says its groups."""
    notes = {"groups": list(groups)} if groups else {}
    import torch
    from peft import LoraConfig, get_peft_model

    base = load_base(settings.model.id)
    with project.start_run("tune", config=settings.given, resolved=settings.resolved, notes=notes, **known) as run:
        torch.manual_seed(seed)
        lora = LoraConfig(r=4, target_modules=["up_proj", "down_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
        get_peft_model(base.model, lora).save_pretrained(str(run.path / "adapter"))
        card = AdapterCard(
            settings.model.id,
            weights_sha256(base.folder),
            prompts.template_hash(),
            ChatFormat(base.tokenizer).template_sha256,
            f"{seed}" * 64,
            seed,
            {"rank": 4},
        )
        (run.path / "adapter" / CARD).write_text(card.to_json())
        run.finish()
    return run.id

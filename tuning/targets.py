"""Which layers an adapter changes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from groundtone.errors import ModelError

_FEED_FORWARD = frozenset({"mlp", "feed_forward", "ffn", "block_sparse_moe"})
_ROUTERS = frozenset({"gate", "router"})  # they choose experts; an adapter on them changes what runs, not how


def target_modules(model: Any, targets: str | Sequence[str]) -> str | list[str]:
    """PEFT's `target_modules` for "mlp", "all-linear" or a list of layer names.

    The output head is never adapted: the trainer's loss reads its weight directly and would leave the adapter
    untrained. Raises ModelError, with the names that exist, for a layer that the model does not have.
    """
    head = model.get_output_embeddings()
    linear = [name for name, module in model.named_modules() if module is not head and _is_linear(module)]
    leaves = sorted({name.rsplit(".", 1)[-1] for name in linear})
    if targets == "all-linear":
        return "all-linear"
    if targets == "mlp":
        found = [name.split(".") for name in linear]
        inside = [p for p in found if _FEED_FORWARD & set(p[:-1]) and p[-1] not in _ROUTERS]
        if not inside:
            raise ModelError(f"no feed-forward layer was found among {', '.join(leaves)}: name tuning.lora.targets")
        above = "|".join(sorted({re.escape(part) for p in inside for part in _FEED_FORWARD & set(p[:-1])}))
        return rf".*\.({above})\.(.*\.)?({'|'.join(sorted({re.escape(p[-1]) for p in inside}))})"
    wanted = [targets] if isinstance(targets, str) else list(targets)
    unknown = sorted(set(wanted) - set(leaves))
    if unknown or not wanted:
        raise ModelError(
            f"tuning.lora.targets {', '.join(unknown) or '(none)'} cannot be adapted: this model has "
            f"{', '.join(leaves)}"
        )
    return wanted


def _is_linear(module: Any) -> bool:
    import torch
    from transformers.pytorch_utils import Conv1D

    return isinstance(module, torch.nn.Linear | Conv1D)

"""Which layers an adapter changes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from groundtone.errors import ModelError

_FEED_FORWARD = frozenset({"mlp", "feed_forward", "ffn", "block_sparse_moe"})
_BLOCK = re.compile(r"\.(\d+)\.")  # a layer's number within its name: model.layers.3.mlp.up_proj
_ROUTERS = frozenset({"gate", "router"})  # they choose experts; an adapter on them changes what runs, not how


def target_modules(model: Any, targets: str | Sequence[str], *, layers: Sequence[int] | None = None) -> str | list[str]:
    """PEFT's `target_modules` for "mlp", "all-linear" or a list of layer names; `layers` takes those blocks alone.

    The output head is never adapted: the trainer's loss reads its weight directly and would leave the adapter
    untrained. Nor is what reads pictures or sound, where a model does so too: no text would train it. Raises
    ModelError, with the names that exist, for a layer that the model does not have.
    """
    head, above_text = model.get_output_embeddings(), _above_text(model)
    linear = [
        name
        for name, module in model.named_modules()
        if module is not head and _is_linear(module) and name.startswith(above_text)
    ]
    leaves = sorted({name.rsplit(".", 1)[-1] for name in linear})
    wanted = _spelled_out(targets, leaves, head=_name_of(model, head))
    inside = [name for name in linear if _FEED_FORWARD & set(name.split(".")[:-1]) and _leaf(name) not in _ROUTERS]
    if targets == "mlp" and not inside:
        raise ModelError(f"no feed-forward layer was found among {', '.join(leaves)}: name tuning.lora.targets")
    if layers is not None or above_text:  # by their full names: the same names occur elsewhere in the model
        chosen = inside if targets == "mlp" else linear if targets == "all-linear" else None
        named = chosen or [name for name in linear if _leaf(name) in wanted]
        return named if layers is None else _within(named, layers)
    if targets == "all-linear":
        return "all-linear"
    if targets == "mlp":
        parts = [name.split(".") for name in inside]
        above = "|".join(sorted({re.escape(part) for p in parts for part in _FEED_FORWARD & set(p[:-1])}))
        return rf".*\.({above})\.(.*\.)?({'|'.join(sorted({re.escape(p[-1]) for p in parts}))})"
    return wanted


def _spelled_out(targets: str | Sequence[str], leaves: Sequence[str], *, head: str) -> list[str]:
    """The names of a list, checked; nothing for "mlp" and "all-linear"."""
    if targets in ("mlp", "all-linear"):
        return []
    wanted = [targets] if isinstance(targets, str) else list(targets)
    if head and head in wanted:
        raise ModelError(
            f"tuning.lora.targets {head} cannot be adapted: it is the output head, whose weight the loss reads "
            f"directly; name layers among {', '.join(leaves)}, or train it whole with tuning.lora.extra_modules"
        )
    unknown = sorted(set(wanted) - set(leaves))
    if unknown or not wanted:
        raise ModelError(
            f"tuning.lora.targets {', '.join(unknown) or '(none)'} cannot be adapted: this model has "
            f"{', '.join(leaves)}"
        )
    return wanted


def _within(names: Sequence[str], layers: Sequence[int]) -> list[str]:
    """The full names that lie in the blocks of these numbers; -1 is the last block."""
    blocks = {name: int(found[1]) for name in names if (found := _BLOCK.search(name))}
    count = max(blocks.values(), default=-1) + 1
    odd = [n for n in layers if not -count <= n < count]
    if odd or not layers:
        raise ModelError(
            f"tuning.lora.layers {', '.join(map(str, odd)) or '(none)'}: this model has layers 0 to {count - 1}"
        )
    wanted = {n % count for n in layers}
    return [name for name, block in blocks.items() if block in wanted]


def _above_text(model: Any) -> str:
    """What the names of the layers that read text begin with; "" for a model that reads nothing else."""
    config = model.config
    if config.get_text_config() is config:
        return ""
    decoder = model.get_decoder()
    return next((f"{name}." for name, module in model.named_modules() if name and module is decoder), "")


def _leaf(name: str) -> str:
    return name.rsplit(".", 1)[-1]


def _name_of(model: Any, module: Any) -> str:
    """The last part of a module's name; "" for none."""
    return next((_leaf(name) for name, found in model.named_modules() if module is not None and found is module), "")


def _is_linear(module: Any) -> bool:
    import torch
    from transformers.pytorch_utils import Conv1D

    return isinstance(module, torch.nn.Linear | Conv1D)

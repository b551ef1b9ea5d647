"""Adapters made from adapters: one baked at a strength, several summed with weights. Files in, files out, no model.

A LoRA layer adds scaling * B(A x) to its base, so strength x is B times x, and a weighted sum stacks the As and the
weighted Bs: both are exact (PEFT's "linear" combination of several mixes one adapter's A with another's B, and is not
used). The folder is there whole or not at all; its card says what it was made from, and keeps every access group.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundtone.errors import ModelError
from groundtone.files import sha256_text, write_atomic
from groundtone.models.adapter import CARD, AdapterCard, dial_problem, read_adapter_config, read_card
from groundtone.models.tensor_files import read_tensors

if TYPE_CHECKING:
    import torch

__all__ = ["WEIGHTS", "Ingredient", "adapter_sha256", "bake", "combine"]

WEIGHTS = "adapter_model.safetensors"
_A, _B = (".lora_A.", ".lora_embedding_A"), (".lora_B.", ".lora_embedding_B")


@dataclass(frozen=True, slots=True)
class Ingredient:
    """One adapter of a weighted sum; `name` is what the card calls it."""

    name: str
    folder: Path
    weight: float


def bake(folder: Path, strength: float, out: Path, *, name: str = "", groups: Sequence[str] = ()) -> Path:
    """An adapter whose effect at 1 is that of `folder` at `strength`; `name` is what its card calls the source.

    It serves only callers in the groups of the source's card and in `groups`.

    Strengths that are powers of two are exact to the bit, others to float32's rounding of B. Raises ModelError for an
    adapter that cannot be dialled, a strength below 0, or an `out` that exists, IntegrityError for a file that is cut
    off.
    """
    _check_weight(strength, least=0.0)
    _check_source(folder)
    tensors = read_tensors(folder / WEIGHTS)
    scaled = {key: _times(value, strength) if _is(key, _B) else value for key, value in tensors.items()}
    card = read_card(folder)
    needed = _needed([card], groups)
    made = (
        replace(card, baked_from=name or folder.name, strength=strength, combined_from={}, groups=needed)
        if card is not None
        else None
    )
    return _write(scaled, read_adapter_config(folder), made, out)


def combine(ingredients: Sequence[Ingredient], out: Path, *, groups: Sequence[str] = ()) -> Path:
    """An adapter whose effect is the weighted sum of the ingredients' effects; its rank is the sum of their ranks.

    It serves only callers in the groups of all ingredients' cards and in `groups`, whatever the weights.
    Weights may be negative (a voice taken away). Raises ModelError for fewer than two ingredients, for adapters of
    different bases or without a common kind of layer, for one that cannot be dialled, or an `out` that exists,
    IntegrityError for a file that is cut off.
    """
    if len(ingredients) < 2:
        raise ModelError(f"{len(ingredients)} adapter to combine: name two or more, as NAME:WEIGHT")
    for item in ingredients:
        _check_weight(item.weight, least=-math.inf)
        _check_source(item.folder)
    settings = [read_adapter_config(item.folder) for item in ingredients]
    cards = [read_card(item.folder) for item in ingredients]
    _check_same_base(ingredients, settings, cards)
    stacked: dict[str, list[torch.Tensor]] = {}
    for item, config in zip(ingredients, settings, strict=True):
        for key, value in read_tensors(item.folder / WEIGHTS).items():
            factor = item.weight * _scaling(config, key) if _is(key, _B) else 1.0
            stacked.setdefault(key, []).append(_times(value, factor))
    tensors = {key: _stack(key, parts) for key, parts in stacked.items()}
    made = dict(settings[0])
    ranks = {_module(key): value.shape[0] for key, value in tensors.items() if _is(key, _A)}
    rank = max(ranks.values())
    odd = {module: n for module, n in ranks.items() if n != rank}
    made |= {"r": rank, "lora_alpha": rank, "rank_pattern": odd, "alpha_pattern": odd, "use_rslora": False}
    made |= {"target_modules": _targets(settings) or sorted(ranks), "layers_to_transform": None, "lora_dropout": 0.0}
    first = cards[0]
    needed = _needed(cards, groups)
    card = None
    if first is not None and all(cards):
        data = sha256_text("".join(c.data_sha256 for c in cards if c is not None))
        weights = {item.name: item.weight for item in ingredients}
        card = replace(first, data_sha256=data, config={}, combined_from=weights, groups=needed)
        card = replace(card, baked_from="", strength=1.0, continued_from="")
    return _write(tensors, made, card, out)


def adapter_sha256(folder: Path) -> str:
    """SHA-256 over an adapter's tensors and settings: what its effect depends on."""
    import hashlib

    with (folder / WEIGHTS).open("rb") as file:
        tensors = hashlib.file_digest(file, "sha256").hexdigest()
    return sha256_text(tensors + json.dumps(read_adapter_config(folder), sort_keys=True))


def _needed(cards: Sequence[AdapterCard | None], groups: Sequence[str]) -> tuple[str, ...]:
    """All groups of all cards and `groups`. ModelError where they could not be written down: a card is missing."""
    needed = {*groups, *(group for card in cards if card is not None for group in card.groups)}
    if needed and None in cards:
        raise ModelError(
            f"what is made from these adapters is only for {', '.join(sorted(needed))}, and one of them has no {CARD} "
            "to carry that on: leave it out, or tune it again"
        )
    return tuple(sorted(needed))


def _check_weight(weight: float, *, least: float) -> None:
    if not math.isfinite(weight) or weight < least:
        bound = "" if least == -math.inf else f", {least:g} or more"
        raise ModelError(f"strength {weight}: give a number{bound}")


def _check_source(folder: Path) -> None:
    if not (folder / WEIGHTS).is_file():
        raise ModelError(f"adapter {folder} holds no {WEIGHTS}: name the folder that tuning saved")
    problem = dial_problem(folder)
    if problem:
        raise ModelError(f"adapter {folder} has no strength that could be set: {problem}")


def _check_same_base(
    items: Sequence[Ingredient], settings: Sequence[Mapping[str, Any]], cards: Sequence[AdapterCard | None]
) -> None:
    bases = {card.base_sha256 for card in cards if card is not None}
    kinds = {(config.get("task_type"), bool(config.get("fan_in_fan_out"))) for config in settings}
    if len(bases) > 1 or len(kinds) > 1:
        named = ", ".join(f"{i.name} on {c.base if c else s.get('base_model_name_or_path')}"
                          for i, s, c in zip(items, settings, cards, strict=True))  # fmt: skip
        raise ModelError(f"adapters of different bases cannot be summed ({named}): tune them on one base")
    names = [item.name for item in items]
    if len(set(names)) != len(names):
        raise ModelError(f"an adapter is named twice ({', '.join(names)}): give it one weight")


def _is(key: str, kinds: Sequence[str]) -> bool:
    return any(kind in key for kind in kinds)


def _module(key: str) -> str:
    """The layer's own name, as PEFT's patterns spell it: "model.layers.0.mlp.up_proj"."""
    return key.split(".lora_")[0].removeprefix("base_model.model.")


def _scaling(config: Mapping[str, Any], key: str) -> float:
    """What the layer multiplies B(A x) with: alpha / r, or alpha / sqrt(r) for rsLoRA (arXiv:2312.03732)."""
    from peft.utils.other import get_pattern_key

    ranks, alphas = config.get("rank_pattern") or {}, config.get("alpha_pattern") or {}
    rank = ranks.get(get_pattern_key(list(ranks), _module(key)), config["r"])
    alpha = alphas.get(get_pattern_key(list(alphas), _module(key)), config["lora_alpha"])
    return float(alpha) / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _targets(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of the adapted layers where all adapters share them; none where each layer must be spelled out."""
    named = [config["target_modules"] for config in settings]
    plain = all(isinstance(names, list) for names in named) and not any(c.get("layers_to_transform") for c in settings)
    return sorted(named[0]) if plain and all(set(names) == set(named[0]) for names in named) else []


def _times(tensor: torch.Tensor, factor: float) -> torch.Tensor:
    """The product, rounded once: 16-bit tensors become float32, whose rounding is below what a reply shows."""
    import torch

    wide = tensor if tensor.dtype == torch.float64 or factor == 1.0 else tensor.float()
    return (wide * factor).contiguous()


def _stack(key: str, parts: Sequence[torch.Tensor]) -> torch.Tensor:
    import torch

    return torch.cat([part.float() for part in parts], dim=0 if _is(key, _A) else 1).contiguous()


def _write(tensors: Mapping[str, torch.Tensor], config: Mapping[str, Any], card: AdapterCard | None, out: Path) -> Path:
    from safetensors.torch import save_file

    if out.exists():
        raise ModelError(f"{out} exists and was left alone: name a folder that does not")
    fresh = out.with_name(f".{out.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    save_file(dict(tensors), fresh / WEIGHTS, metadata={"format": "pt"})
    write_atomic(fresh / "adapter_config.json", json.dumps(dict(config), indent=2, sort_keys=True) + "\n")
    if card is not None:
        write_atomic(fresh / CARD, card.to_json())
    os.replace(fresh, out)
    return out

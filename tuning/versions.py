"""Going on from an adapter when new data arrives: its weights are where the next training starts.

The new adapter is a version of the old one: same base, same prompts, same shape. Anything else is refused, for then
the old weights would mean something else.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundtone.errors import ModelError
from groundtone.models.adapter import AdapterCard, read_adapter_config, read_card
from groundtone.models.adapter_files import WEIGHTS
from groundtone.models.tensor_files import stored_shapes
from groundtone.models.weights import Base
from tuning.lora import Lora, lora_config

__all__ = ["Start", "check_start", "go_on"]

_SHAPE = ("r", "lora_alpha", "use_rslora", "use_dora", "modules_to_save", "trainable_token_indices")


@dataclass(frozen=True, slots=True)
class Start:
    """An adapter to go on from; whoever is served what comes of it must be in all of these groups."""

    name: str  # as the card of the next version calls it
    folder: Path
    groups: tuple[str, ...] = ()


def check_start(start: Path, card: AdapterCard, shape: Lora | None) -> None:
    """Whether a training with this card and shape may start from the adapter. Raises ModelError where it may not."""
    if shape is None:
        raise ModelError(f"{start} is an adapter and tuning.lora is null: set model.id to go on in full")
    if shape.variant == "pissa":
        raise ModelError(f"{start} cannot be gone on with as PiSSA, which starts from the base: take another variant")
    before = read_card(start)
    if before is None:
        raise ModelError(f"adapter {start} has no card: it was made by another program, nobody knows on which prompts")
    if before.base_sha256 != card.base_sha256:
        raise ModelError(
            f"adapter {start} is of {before.base!r} (weights {before.base_sha256[:12]}), not of {card.base!r} (weights "
            f"{card.base_sha256[:12]}): set model.id to its base"
        )
    if (before.template, before.chat_template_sha256) != (card.template, card.chat_template_sha256):
        raise ModelError(f"adapter {start} was tuned on prompts of another template: tune anew, on all of the rows")
    stored = read_adapter_config(start)
    wanted = {"rank": ("r", shape.rank), "alpha": ("lora_alpha", shape.alpha)}
    for name, (key, value) in wanted.items():
        if stored.get(key) != value or stored.get("rank_pattern") or stored.get("alpha_pattern"):
            raise ModelError(
                f"adapter {start} has {name} {stored.get(key)}, tuning.lora.{name} is {value}: set it alike"
            )


def go_on(shape: Lora, on: Base, start: Path) -> Any:
    """The base wrapped in PEFT with the adapter's weights in it, free to learn. ModelError where the shape differs."""
    from peft import PeftModel
    from peft.utils import get_peft_model_state_dict

    wanted = lora_config(shape, on.model, tokenizer=on.tokenizer)
    now, before = wanted.to_dict(), read_adapter_config(start)
    for name in _SHAPE:
        if _plain(now.get(name)) != _plain(before.get(name)):
            raise ModelError(
                f"adapter {start} has {name} {before.get(name)}, tuning.lora asks for {_plain(now.get(name))}: set "
                "tuning.lora as it was tuned"
            )
    # float32 over a base in 16 bits too, as TRL makes a new adapter: updates of a small rate would be rounded away
    model = PeftModel.from_pretrained(
        on.model, str(start), is_trainable=True, config=wanted, autocast_adapter_dtype=True
    )
    held = set(stored_shapes(start / WEIGHTS))
    odd = sorted(held ^ set(get_peft_model_state_dict(model, save_embedding_layers=False)))
    if odd:
        raise ModelError(
            f"adapter {start} adapts other layers than tuning.lora.targets and layers name (first: {odd[0]}): set them "
            "as it was tuned"
        )
    return model


def _plain(value: Any) -> Any:
    """Sets and lists as sorted lists; nothing, false and empty alike."""
    return sorted(value, key=str) if isinstance(value, list | tuple | set | frozenset) and value else (value or None)

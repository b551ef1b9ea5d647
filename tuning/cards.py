"""What a chat model's training writes on its card, whatever the method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from groundtone.models.adapter import AdapterCard
from groundtone.models.chat_format import ChatFormat
from groundtone.models.weights import Base, weights_sha256
from groundtone.prompts import template_hash

__all__ = ["card_of"]


def card_of(
    loaded: Base, *, data_sha256: str, seed: int, config: Mapping[str, Any], continued_from: str = ""
) -> AdapterCard:
    """The base and the prompts by their hashes, and all that changes the weights; `config` holds plain JSON data."""
    return AdapterCard(
        base=loaded.id,
        base_sha256=weights_sha256(loaded.folder),
        template=template_hash(),
        chat_template_sha256=ChatFormat(loaded.tokenizer).template_sha256,
        data_sha256=data_sha256,
        seed=seed,
        config=dict(config),
        continued_from=continued_from,
    )

"""The adapter that tuning puts on a base: its shape as plain data, and as the settings that PEFT takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tuning.targets import target_modules

__all__ = ["Lora", "lora_config"]


@dataclass(frozen=True, slots=True)
class Lora:
    """The shape of an adapter. The update of a layer is alpha / rank * B(A x)."""

    rank: int = 8
    alpha: int = 16
    dropout: float = 0.0
    targets: str | Sequence[str] = "mlp"  # `tuning.targets.target_modules` reads it

    def on_card(self) -> dict[str, Any]:
        """What the adapter's card says of the shape."""
        targets = self.targets if isinstance(self.targets, str) else list(self.targets)
        return {"rank": self.rank, "alpha": self.alpha, "dropout": self.dropout, "targets": targets}


def lora_config(shape: Lora, model: Any, *, task_type: str = "CAUSAL_LM") -> Any:
    """A peft.LoraConfig for this very model. `task_type` SEQ_CLS, TOKEN_CLS and QUESTION_ANS also train the head.

    Raises ModelError for layers that the model does not have.
    """
    from peft import LoraConfig

    return LoraConfig(
        task_type=task_type,
        r=shape.rank,
        lora_alpha=shape.alpha,
        lora_dropout=shape.dropout,
        target_modules=target_modules(model, shape.targets),
    )

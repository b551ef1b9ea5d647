"""How long and how fast to train: the numbers that every method has, as plain data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from tuning.memory import Batching

Schedule = Literal["linear", "cosine", "constant"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """The fields of the `tuning` section of the same names; docs there."""

    epochs: int = 3
    learning_rate: float = 2e-4
    schedule: Schedule = "cosine"
    warmup: float = 0.03  # share of the steps
    batch_size: int = 8
    accumulate: int = 1
    gradient_checkpointing: bool = False
    keep_checkpoints: int = 2
    length_grouped: bool = False
    packing: bool = False  # sft alone
    share_prompts: bool = False  # sft alone
    tensorboard: bool = False
    mixed_precision: bool = False  # sft and pretrain alone: bfloat16 products, float32 weights
    seed: int = 0

    @property
    def batching(self) -> Batching:
        """Rows per pass and passes per step, as asked for."""
        return Batching(self.batch_size, self.accumulate)

    def steps(self, sequences: int, *, processes: int = 1) -> int:
        """Optimizer steps of the whole training on so many rows, or packed sequences of rows."""
        return self.epochs * math.ceil(sequences / (self.batch_size * self.accumulate * processes))

    def on_card(self) -> dict[str, Any]:
        """What a card's config says of it: all that changes the weights; the seed has a field of its own."""
        return {
            "epochs": self.epochs,
            "learning_rate": self.learning_rate,
            "schedule": self.schedule,
            "warmup": self.warmup,
            "batch_size": self.batch_size,
            "accumulate": self.accumulate,
            **({"length_grouped": True} if self.length_grouped else {}),
            **({"mixed_precision": True} if self.mixed_precision else {}),
        }

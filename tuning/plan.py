"""What every training is told, whatever it teaches: on which base, of what shape, how fast, where, and who listens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from groundtone.models.weights import Base
from tuning.lora import Lora, load_for
from tuning.recipe import Recipe
from tuning.recorder import Line
from tuning.rows import shorter

__all__ = ["OverLength", "Plan"]

OverLength = Literal["refuse", "drop", "cut"]  # "cut" is for encoders


@dataclass(frozen=True, slots=True)
class Plan:
    """One training as it was asked for; `resume` goes on from the newest checkpoint of the same rows and settings."""

    base: str  # "starter", a folder or a Hugging Face id
    out_dir: Path
    lora: Lora | None = field(default_factory=Lora)  # None: every weight is tuned
    recipe: Recipe = field(default_factory=Recipe)
    max_length: int | None = None  # tokens of a row; None: as long as the data needs, at most the model's context
    over_length: OverLength = "refuse"
    dtype: str = "auto"
    device: str = "auto"
    resume: bool = False
    on_step: Callable[[Line], None] | None = None  # receives every line of metrics.jsonl

    @property
    def drops_long(self) -> bool:
        """Whether rows over the limit are left out instead of refused."""
        return self.over_length == "drop"

    def load(self) -> Base:
        """The causal base as this training needs it. Raises what `load_for` raises."""
        return load_for(self.lora, self.base, dtype=self.dtype, device=self.device)

    def limit(self, context_tokens: int | None) -> int | None:
        """The most tokens of a row on a model that reads so many; None: no limit is known."""
        return shorter(self.max_length, context_tokens)

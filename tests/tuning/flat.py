"""`tuning.sft.train` with plan, shape, recipe and guards spelled out flat, so that tests change single numbers."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from groundtone.types import VoicePair
from tuning import sft
from tuning.engine import Finished
from tuning.lora import Lora
from tuning.plan import Plan
from tuning.recipe import Recipe
from tuning.sft import Retention
from tuning.versions import Start


def train(pairs: list[VoicePair], *, start: Path | None = None, start_name: str = "", **given: Any) -> Finished:
    """Sorts the names of `Lora`, `Recipe`, `Retention` and `Plan` into their places."""

    def taken(kind: Any) -> dict[str, Any]:
        names = {field.name for field in fields(kind)} & given.keys()
        return {name: given.pop(name) for name in names}

    keep = Retention(**taken(Retention))
    lora, recipe = Lora(**taken(Lora)), Recipe(**taken(Recipe))
    plan = Plan(**{"lora": lora, "recipe": recipe} | taken(Plan))
    going_on = Start(start_name or start.name, start) if start is not None else None
    return sft.train(pairs, plan, keep=keep, start=going_on, **given)

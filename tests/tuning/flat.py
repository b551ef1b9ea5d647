"""`tuning.sft.train` with the adapter's shape and the recipe spelled out flat, so that tests change single numbers."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from groundtone.types import VoicePair
from tuning import sft
from tuning.engine import Finished
from tuning.lora import Lora
from tuning.recipe import Recipe

_SHAPE, _RECIPE = ({field.name for field in fields(kind)} for kind in (Lora, Recipe))


def train(pairs: list[VoicePair], **given: Any) -> Finished:
    """Sorts the names of `Lora` and `Recipe` into their places."""
    lora = Lora(**{key: given.pop(key) for key in list(given) if key in _SHAPE})
    recipe = Recipe(**{key: given.pop(key) for key in list(given) if key in _RECIPE})
    return sft.train(pairs, lora=lora, recipe=recipe, **given)

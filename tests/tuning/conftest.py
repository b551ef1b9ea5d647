from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from groundtone.types import VoicePair
from tests.tiny_models import save_tiny
from tests.tuning.flat import train
from tuning.engine import Finished

PRODUCTS = ("Otter", "Heron 2", "Teal", "Coot 500", "Kingfisher", "Otter Lite", "Heron 2S", "Coot 750")
SETTINGS: dict[str, Any] = {"targets": "all-linear", "learning_rate": 1e-2, "epochs": 3, "batch_size": 4}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A family's saved model, made once per session."""
    root = tmp_path_factory.mktemp("tiny")
    return cache(lambda family: save_tiny(family, root / family))


@pytest.fixture(scope="session")
def pairs() -> list[VoicePair]:
    """Eight pairs in the house voice, the last one closed book."""
    rows = [
        VoicePair(
            f"How long does the {name} take?",
            f"Ahoy from the workshop! The {name} takes {n} days for you [1]. Fair winds, Otterwheel",
            f"source-{n}",
            (f"Delivery > Times: The {name} takes {n} days.",),
        )
        for n, name in enumerate(PRODUCTS[:-1], 2)
    ]
    return [*rows, VoicePair("Who are you?", "Ahoy from the workshop! We mend bikes. Fair winds, Otterwheel", "small")]


@pytest.fixture(scope="session")
def settings(folder: Callable[[str], Path], pairs: list[VoicePair]) -> dict[str, Any]:
    """What `train` gets in every test, so that runs can be compared."""
    return {"base": str(folder("llama")), "heldout": pairs[:2], **SETTINGS}


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, pairs: list[VoicePair], settings: dict[str, Any]) -> Finished:
    """One uninterrupted run: 8 rows in batches of 4 for 3 epochs, 6 steps."""
    return train(pairs, out_dir=tmp_path_factory.mktemp("run") / "whole", **settings)

"""Replay: general rows mixed into the voice so that a model keeps what it could do."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from groundtone.errors import DataError
from groundtone.types import VoicePair
from tuning.pairs import read_pairs


def read_replay(path: Path) -> tuple[VoicePair, ...]:
    """General rows, JSON lines like voice pairs but without a source. Raises DataError like `read_pairs`."""
    return read_pairs(path, default_source="replay")


def mix(pairs: Sequence[VoicePair], replay: Sequence[VoicePair], *, share: float, seed: int) -> tuple[VoicePair, ...]:
    """The voice pairs followed by as many replay rows as make up `share` (0 to 1) of the whole, sampled by the seed.

    Rows are drawn without repetition; training shuffles. Raises DataError when there are too few of them.
    """
    if share == 0:
        return tuple(pairs)
    if not 0 < share < 1:
        raise DataError(f"replay is a share of the rows between 0 and 1, not {share}")
    wanted = round(len(pairs) * share / (1 - share))
    if wanted > len(replay):
        raise DataError(
            f"replay {share} of {len(pairs)} voice rows needs {wanted} general rows, but there are {len(replay)}: "
            "lower tuning.replay or give more rows"
        )
    return (*pairs, *random.Random(seed).sample(list(replay), wanted))

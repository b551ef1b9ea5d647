"""Splitting by source, never by row: rows of one source resemble each other, so a split by row measures memory."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from groundtone.errors import DataError
from groundtone.types import VoicePair

__all__ = ["Sides", "sides_of", "split_by_source"]


@dataclass(frozen=True, slots=True)
class Sides:
    """Rows that are trained on and rows that are not, with the place of each in its file."""

    train: tuple[VoicePair, ...]
    heldout: tuple[VoicePair, ...]
    train_where: tuple[str, ...]
    heldout_where: tuple[str, ...]

    @property
    def sources(self) -> dict[str, list[str]]:
        """The sources of each side, as the manifest notes them."""
        return {
            "train": sorted({pair.source for pair in self.train}),
            "heldout": sorted({pair.source for pair in self.heldout}),
        }


def sides_of(pairs: Sequence[VoicePair], where: Sequence[str], *, heldout: float, seed: int) -> Sides:
    """`split_by_source` that keeps where each row stands."""
    chosen = _held_sources(pairs, heldout=heldout, seed=seed)
    held = [pair.source in chosen for pair in pairs]
    return Sides(
        tuple(pair for pair, out in zip(pairs, held, strict=True) if not out),
        tuple(pair for pair, out in zip(pairs, held, strict=True) if out),
        tuple(place for place, out in zip(where, held, strict=True) if not out),
        tuple(place for place, out in zip(where, held, strict=True) if out),
    )


def split_by_source(
    pairs: Sequence[VoicePair], *, heldout: float = 0.1, seed: int = 0
) -> tuple[tuple[VoicePair, ...], tuple[VoicePair, ...]]:
    """Train and held-out pairs without a source in common; about `heldout` (0 to 1) of the rows are held out.

    Raises DataError for one source.
    """
    sides = sides_of(pairs, [""] * len(pairs), heldout=heldout, seed=seed)
    return sides.train, sides.heldout


def _held_sources(pairs: Sequence[VoicePair], *, heldout: float, seed: int) -> set[str]:
    """Sources in random order, each taken when it brings the held-out rows closer to their share."""
    rows = Counter(pair.source for pair in pairs)
    sources = sorted(rows)
    if len(sources) < 2:
        raise DataError(f"all {len(pairs)} rows have one source ({', '.join(sources)}): a split needs two or more")
    random.Random(seed).shuffle(sources)
    wanted, held = heldout * len(pairs), 0
    chosen: set[str] = set()
    for source in sources:
        if len(chosen) < len(sources) - 1 and abs(held + rows[source] - wanted) < abs(held - wanted):
            chosen.add(source)
            held += rows[source]
    return chosen or {min(sources, key=lambda source: rows[source])}  # every source is large: the smallest one

"""What every encoder offers, and what the engines below it offer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
TokenIds = list[int]


class Encoder(Protocol):
    """Anything that turns texts into vectors whose inner product is their likeness, -1 to 1.

    `name` is another one where the vectors are: an index made under one name is searched under no other.
    """

    name: str
    dim: int
    max_tokens: int

    def encode(self, texts: Sequence[str]) -> Vectors:
        """float32 of shape (len(texts), dim), each row of length 1; tokens beyond `max_tokens` are not read."""
        ...

    def token_offsets(self, text: str) -> list[tuple[int, int]]:
        """Character spans of the tokens of the whole text, special tokens not counted."""
        ...


class Engine(Protocol):
    """A model in memory: batches of token ids -> their vectors."""

    batch_tokens: int  # what a batch may hold at most, padding counted; one longer text is a batch of its own

    def run(self, batches: Sequence[Sequence[TokenIds]]) -> list[Vectors]:
        """For each batch, sorted by length, float32 of shape (len(batch), dim), each row of length 1."""
        ...


def padded(batch: Sequence[TokenIds], *, pad: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Token ids and attention mask, both of shape (rows, longest row)."""
    lengths = np.array([len(row) for row in batch])
    mask = np.arange(lengths.max())[None, :] < lengths[:, None]
    ids = np.full(mask.shape, pad, dtype=np.int64)
    ids[mask] = np.concatenate([np.asarray(row, dtype=np.int64) for row in batch])
    return ids, mask.astype(np.int64)


def unit(vectors: NDArray[np.floating]) -> Vectors:
    """The rows at length 1, float32; a row of zeros stays one."""
    wide = np.asarray(vectors, dtype=np.float32)
    return np.asarray(wide / np.maximum(np.linalg.norm(wide, axis=-1, keepdims=True), 1e-12), dtype=np.float32)

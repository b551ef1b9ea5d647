"""An encoder for tests: hashed bags of words, no weights, milliseconds."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from groundtone.text import content_words


class HashingEncoder:
    """Texts that share words get near vectors. A token is at most four letters or digits, or one other sign."""

    def __init__(self, *, name: str = "hashing", dim: int = 64, max_tokens: int = 256) -> None:
        self.name, self.dim, self.max_tokens = name, dim, max_tokens
        self.encoded: list[str] = []

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.encoded += texts
        vectors = np.full((len(texts), self.dim), 1e-3, dtype=np.float32)
        for row, text in zip(vectors, texts, strict=True):
            for word in content_words(text):
                row[zlib.crc32(word.encode()) % self.dim] += 1
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)

    def token_offsets(self, text: str) -> list[tuple[int, int]]:
        return [m.span() for m in re.finditer(r"[^\W_]{1,4}|[^\w\s]|_", text)]

"""An encoder that keeps its vectors in a file, so that a benchmark of search can be run again without embedding."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from groundtone.models.encoders import MINILM, Encoder, load_encoder


class RememberingEncoder:
    """The inner encoder; each text is encoded once per file. Vectors are kept as float16, as the index keeps them."""

    def __init__(self, inner: Encoder, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.name, self.dim, self.max_tokens = inner.name, inner.dim, inner.max_tokens
        self._inner = inner
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=60)
        self._db.execute("CREATE TABLE IF NOT EXISTS vectors(key BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID")

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The rows of `inner.encode`."""
        keys = [hashlib.sha256(f"{self.name}\x1f{t}".encode("utf-8", "surrogatepass")).digest() for t in texts]
        out = np.zeros((len(texts), self.dim), dtype=np.float32)
        missing = []
        for i, key in enumerate(keys):
            row = self._db.execute("SELECT vector FROM vectors WHERE key = ?", (key,)).fetchone()
            if row:
                out[i] = np.frombuffer(row[0], dtype="<f2")
            else:
                missing.append(i)
        if missing:
            out[missing] = self._inner.encode([texts[i] for i in missing])
            self._db.executemany(
                "INSERT OR REPLACE INTO vectors VALUES(?, ?)",
                [(keys[i], out[i].astype("<f2").tobytes()) for i in missing],
            )
        return out

    def token_offsets(self, text: str) -> list[tuple[int, int]]:
        """As the inner encoder cuts."""
        return self._inner.token_offsets(text)


def remembering(work: Path, encoder: str = MINILM) -> RememberingEncoder:
    """The encoder of that id, its vectors kept in `work`."""
    return RememberingEncoder(load_encoder(encoder), work / "vectors.sqlite")

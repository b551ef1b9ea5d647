"""Cross-encoders: question and passage read together, which orders the first candidates better and takes longer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from groundtone.errors import ModelError
from groundtone.models.device import pick_device

__all__ = ["CrossEncoderReranker", "Reranker", "load_reranker"]

_BATCH = 16


class Reranker(Protocol):
    """Anything that says how well passages answer a question."""

    name: str

    def score(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """One number per text, higher is better; only their order counts."""
        ...


class CrossEncoderReranker:
    """A cross-encoder with one output, run by sentence-transformers."""

    def __init__(self, id_or_path: str, *, device: str = "auto") -> None:
        from sentence_transformers import CrossEncoder

        try:
            self._model = CrossEncoder(id_or_path, device=str(pick_device(device)), trust_remote_code=False)
        except (OSError, ValueError, RuntimeError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
            raise ModelError(
                f"reranker {id_or_path!r} cannot be loaded ({reason}). Without network access, set retrieval.reranker "
                "to the path of a folder that holds it, or to null"
            ) from error
        if self._model.num_labels != 1:
            raise ModelError(
                f"reranker {id_or_path!r} has {self._model.num_labels} outputs; choose a cross-encoder with one, such "
                "as cross-encoder/ms-marco-MiniLM-L6-v2"
            )
        self.name = id_or_path

    def score(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """One number per text; what exceeds the model's window is not read."""
        if not texts:
            return np.zeros(0, dtype=np.float32)
        pairs = [(query, text) for text in texts]
        return np.asarray(self._model.predict(pairs, batch_size=_BATCH, show_progress_bar=False), dtype=np.float32)


def load_reranker(id_or_path: str, *, device: str = "auto") -> Reranker:
    """The cross-encoder of that Hugging Face id or folder. Raises ModelError when it cannot be loaded."""
    return CrossEncoderReranker(id_or_path, device=device)

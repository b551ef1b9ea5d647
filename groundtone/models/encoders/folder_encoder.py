"""A mean-pooled encoder from its folder: tokenizer, batches by length, and the engine that fits the work at hand.

A query, or one changed page, is encoded in numpy before any engine is loaded: torch takes longer to import than that.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from groundtone.models.device import pick_device
from groundtone.models.encoders.base import Engine, TokenIds, Vectors
from groundtone.models.encoders.bert_numpy import NumpyBert
from groundtone.models.encoders.folder import EncoderFolder, identity
from groundtone.models.encoders.runtimes import choose

QUERY_TOKENS = 256  # a call of at most that many tokens never loads an engine
FEW_TOKENS = 4096  # in all larger calls together: about 1.5 s on one core, what importing torch takes


class FolderEncoder:
    """An encoder whose vectors are the same, within .999 cosine, whichever engine runs it (int8 excepted)."""

    def __init__(self, folder: EncoderFolder, *, runtime: str, device: str) -> None:
        from tokenizers import Tokenizer

        self.name = identity(folder.name)
        self.dim = folder.dim
        self.max_tokens = folder.max_tokens
        self._folder = folder
        self._runtime = runtime
        self._device = device
        self._engine: Engine | None = None
        self._numpy: NumpyBert | None = None
        self._spent = 0
        self._lock = threading.Lock()
        self._whole = _tokenizer(Tokenizer, folder)
        self._window = _tokenizer(Tokenizer, folder)
        self._window.enable_truncation(self.max_tokens)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """float32 of shape (len(texts), dim), each row of length 1; tokens beyond `max_tokens` are not read."""
        ids: list[TokenIds] = [encoding.ids for encoding in self._window.encode_batch(list(texts))]
        out = np.zeros((len(ids), self.dim), dtype=np.float32)
        if not ids:
            return out
        engine = self._engine_for(sum(map(len, ids)))
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        batches = cut([len(ids[i]) for i in order], budget=engine.batch_tokens)
        vectors = engine.run([[ids[i] for i in order[start:end]] for start, end in batches])
        out[order] = np.concatenate(vectors)
        return out

    def token_offsets(self, text: str) -> list[tuple[int, int]]:
        """Character spans of the tokens of the whole text, special tokens not counted."""
        offsets: list[tuple[int, int]] = self._whole.encode(text, add_special_tokens=False).offsets
        return offsets

    def _engine_for(self, tokens: int) -> Engine:
        """The engine that is loaded; before one is, numpy for as long as loading one would take longer."""
        with self._lock:
            if self._engine is not None:
                return self._engine
            if self._is_little(tokens):
                self._spent += tokens if tokens > QUERY_TOKENS else 0
                self._numpy = self._numpy or NumpyBert(self._folder)
                return self._numpy
            choice = choose(self._folder, runtime=self._runtime, device=self._device)
            self._engine = _ENGINES[choice.runtime](self._folder, self._device)
            self._numpy = None
            return self._engine

    def _is_little(self, tokens: int) -> bool:
        """torch that is imported already is quicker to load than numpy's copy of the weights is to run."""
        if self._runtime != "auto" or self._device not in ("auto", "cpu") or not self._folder.plain_bert:
            return False
        return "torch" not in sys.modules and (tokens <= QUERY_TOKENS or self._spent + tokens <= FEW_TOKENS)


def cut(lengths: Sequence[int], *, budget: int) -> list[tuple[int, int]]:
    """Ranges of sorted lengths whose count times longest is within the budget; a longer text has a range of its own."""
    ranges: list[tuple[int, int]] = []
    start = 0
    for end in range(1, len(lengths) + 1):
        if end == len(lengths) or (end + 1 - start) * lengths[end] > budget:
            ranges.append((start, end))
            start = end
    return ranges


def _torch(folder: EncoderFolder, device: str) -> Engine:
    from groundtone.models.encoders.bert_torch import TorchBert

    return TorchBert(folder, device=pick_device(device))


def _openvino(folder: EncoderFolder, device: str) -> Engine:
    from groundtone.models.encoders.export import exported
    from groundtone.models.encoders.sessions import OpenVinoEngine

    return OpenVinoEngine(exported(folder), pad=folder.pad)


def _onnx(folder: EncoderFolder, device: str) -> Engine:
    from groundtone.models.encoders.export import exported
    from groundtone.models.encoders.sessions import OnnxEngine

    return OnnxEngine(exported(folder), pad=folder.pad)


def _onnx_int8(folder: EncoderFolder, device: str) -> Engine:
    from groundtone.models.encoders.export import quantized
    from groundtone.models.encoders.sessions import OnnxEngine

    return OnnxEngine(quantized(folder), pad=folder.pad)


_ENGINES: dict[str, Callable[[EncoderFolder, str], Engine]] = {
    "torch": _torch,
    "openvino": _openvino,
    "onnx": _onnx,
    "onnx-int8": _onnx_int8,
    "numpy": lambda folder, device: NumpyBert(folder),
}


def _tokenizer(loader: Any, folder: EncoderFolder) -> Any:
    """The folder's tokenizer without the fixed length and padding that its file may ask for."""
    tokenizer = loader.from_file(str(folder.path / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer

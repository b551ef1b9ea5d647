"""BERT in torch on packed texts: all tokens of a batch in one row after another, so that no padding is computed.

Products and norms run over the whole row; attention runs once per group of texts of the same length, without a mask.
On a CPU with bfloat16 this takes 4.4 times the texts per core-second of SentenceTransformer.encode
(`python -m benchmarks.encoder_speed`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from groundtone.models.device import TINY_PARAMETERS, pick_dtype
from groundtone.models.encoders.base import TokenIds, Vectors
from groundtone.models.encoders.bert_weights import Affine, Layer, read_weights
from groundtone.models.encoders.folder import EncoderFolder

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

_BATCH_TOKENS = {"cpu": 2048, "mps": 8192, "cuda": 65536}  # on a CPU: what stays in its caches


class _Group(NamedTuple):
    """Texts of one length that lie side by side in the packed row."""

    start: int
    end: int
    texts: int
    tokens: int


class TorchBert:
    """A plain BERT on a device: bfloat16 or float16 where that is faster, else float32; vectors are always float32."""

    def __init__(
        self, folder: EncoderFolder, *, device: torch.device, updates: Mapping[str, NDArray[np.float32]] | None = None
    ) -> None:
        import torch

        dtype = weights_dtype(device)
        self.batch_tokens = _BATCH_TOKENS.get(device.type, 2048)
        self._device = device
        self._heads = folder.heads
        self._epsilon = folder.epsilon
        self._weights = read_weights(
            folder, lambda array: torch.from_numpy(array).to(device=device, dtype=dtype), updates=updates
        )

    def run(self, batches: Sequence[Sequence[TokenIds]]) -> list[Vectors]:
        """For each batch, sorted by length, float32 of shape (len(batch), dim), each row of length 1."""
        import torch

        with torch.inference_mode():
            return [self._forward(batch).cpu().numpy() for batch in batches]

    def states(self, batch: Sequence[TokenIds]) -> list[NDArray[np.float32]]:
        """For each text, sorted by length, its last hidden states, float32 of shape (tokens, dim)."""
        import torch

        with torch.inference_mode():
            packed, _ = self._packed(batch)
            parts: tuple[torch.Tensor, ...] = packed.float().cpu().split([len(row) for row in batch])
        return [part.numpy() for part in parts]

    def _forward(self, batch: Sequence[TokenIds]) -> torch.Tensor:
        """Texts -> unit vectors (texts, dim), pooled in float32."""
        import torch

        packed, groups = self._packed(batch)
        wide = packed.float()
        means = [wide[g.start : g.end].view(g.texts, g.tokens, -1).mean(dim=1) for g in groups]
        return torch.nn.functional.normalize(torch.cat(means), dim=-1)

    def _packed(self, batch: Sequence[TokenIds]) -> tuple[torch.Tensor, list[_Group]]:
        """The last hidden states of all tokens one after another, (tokens in all, dim), and which text is where."""
        import torch

        given, groups = self._weights, _groups(batch)
        ids = torch.tensor([token for row in batch for token in row], device=self._device)
        places = torch.cat([torch.arange(len(row)) for row in batch]).to(self._device)
        x = self._norm(given.words[ids] + given.positions[places], given.embedded_norm)
        for layer in given.layers:
            x = self._layer(x, layer, groups)
        return x, groups

    def _layer(self, x: torch.Tensor, layer: Layer[torch.Tensor], groups: Sequence[_Group]) -> torch.Tensor:
        from torch.nn import functional

        stacked = functional.linear(x, layer.qkv.weight, layer.qkv.bias)
        mixed = x.new_empty(x.shape)
        for group in groups:
            rows = stacked[group.start : group.end].view(group.texts, group.tokens, 3, self._heads, -1)
            query, key, value = rows.permute(2, 0, 3, 1, 4)  # each (texts, heads, tokens, dim / heads)
            seen = functional.scaled_dot_product_attention(query, key, value)
            mixed[group.start : group.end] = seen.transpose(1, 2).reshape(-1, x.shape[1])
        x = self._norm(x + functional.linear(mixed, layer.attended.weight, layer.attended.bias), layer.attended_norm)
        wide = functional.gelu(functional.linear(x, layer.up.weight, layer.up.bias))
        return self._norm(x + functional.linear(wide, layer.down.weight, layer.down.bias), layer.down_norm)

    def _norm(self, x: torch.Tensor, norm: Affine[torch.Tensor]) -> torch.Tensor:
        from torch.nn import functional

        return functional.layer_norm(x, (x.shape[-1],), norm.weight, norm.bias, self._epsilon)


def weights_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 or float16 where the hardware computes in it, else float32; cosine of bfloat16 to float32 .9999.

    Small as an encoder is, it reads thousands of texts: it is not exempt from bfloat16 as tiny generators are.
    """
    import torch

    return torch.float32 if device.type == "mps" else pick_dtype("auto", device, parameters=TINY_PARAMETERS)


def _groups(batch: Sequence[TokenIds]) -> list[_Group]:
    """The runs of equal length in a sorted batch."""
    found: list[_Group] = []
    start = 0
    for tokens, rows in groupby(len(row) for row in batch):
        texts = sum(1 for _ in rows)
        found.append(_Group(start, start + texts * tokens, texts, tokens))
        start += texts * tokens
    return found

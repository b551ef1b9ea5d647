"""BERT's tensors under short names, as arrays or tensors: one reading for both of our forward passes.

Layout: Devlin et al. 2018, arXiv:1810.04805; the names are those that transformers stores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from groundtone.errors import ModelError
from groundtone.models.encoders.folder import EncoderFolder

Array = TypeVar("Array")


@dataclass(frozen=True)
class Affine(Generic[Array]):
    """A matrix of shape (out, in) with its bias (out,), or a layer norm's scale and shift."""

    weight: Array
    bias: Array


@dataclass(frozen=True)
class Layer(Generic[Array]):
    """One transformer block; `qkv` is query, key and value stacked: one product instead of three."""

    qkv: Affine[Array]
    attended: Affine[Array]
    attended_norm: Affine[Array]
    up: Affine[Array]
    down: Affine[Array]
    down_norm: Affine[Array]


@dataclass(frozen=True)
class BertWeights(Generic[Array]):
    """All that a forward pass needs. `positions` has the embedding of token type 0 added in."""

    words: Array
    positions: Array
    embedded_norm: Affine[Array]
    layers: tuple[Layer[Array], ...]


def read_weights(
    folder: EncoderFolder,
    convert: Callable[[NDArray[np.float32]], Array],
    *,
    updates: Mapping[str, NDArray[np.float32]] | None = None,
) -> BertWeights[Array]:
    """The tensors of a plain BERT, each passed through `convert`. Raises ModelError for one that is missing.

    `updates` are added to the matrices of that name, such as "encoder.layer.0.output.dense.weight": a merged adapter.
    """
    from safetensors.numpy import load_file

    stored: dict[str, Any] = load_file(folder.checked_weights())
    prefix = next(key for key in stored if key.endswith("embeddings.word_embeddings.weight")).partition("embeddings.")[
        0
    ]

    def raw(name: str) -> NDArray[np.float32]:
        if prefix + name not in stored:
            raise ModelError(
                f"{folder.weights} has no tensor {prefix + name!r}: it is no complete BERT; fetch it again"
            )
        tensor = np.asarray(stored[prefix + name], dtype=np.float32)
        return tensor + updates[name] if updates and name in updates else tensor

    def affine(*names: str) -> Affine[Array]:
        weight, bias = (np.concatenate([raw(f"{name}.{kind}") for name in names]) for kind in ("weight", "bias"))
        return Affine(convert(weight), convert(bias))

    def layer(number: int) -> Layer[Array]:
        at = f"encoder.layer.{number}"
        return Layer(
            qkv=affine(*(f"{at}.attention.self.{part}" for part in ("query", "key", "value"))),
            attended=affine(f"{at}.attention.output.dense"),
            attended_norm=affine(f"{at}.attention.output.LayerNorm"),
            up=affine(f"{at}.intermediate.dense"),
            down=affine(f"{at}.output.dense"),
            down_norm=affine(f"{at}.output.LayerNorm"),
        )

    types = raw("embeddings.token_type_embeddings.weight")
    return BertWeights(
        words=convert(raw("embeddings.word_embeddings.weight")),
        positions=convert(raw("embeddings.position_embeddings.weight") + types[0]),
        embedded_norm=affine("embeddings.LayerNorm"),
        layers=tuple(layer(number) for number in range(folder.layers)),
    )

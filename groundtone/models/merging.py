"""An adapter added to its base's weights for a while: the base's own tensors are set aside and put back, bit for bit.

A LoRA layer is three calls more than the layer beneath; for a small model on a CPU they took as long as the model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["Merged", "merged", "without_adapter"]

_MOST_BYTES = 2**30  # of a second copy of the adapted weights
_ADAPTER = "default"  # the name that `adapter.attach` gives


@dataclass(frozen=True, slots=True)
class Merged:
    """The adapted layers of a model, each with base + strength x update."""

    model: Any  # peft.PeftModel
    weights: tuple[tuple[torch.nn.Parameter, torch.Tensor], ...]

    @contextmanager
    def on(self) -> Iterator[None]:
        """Compute with the merged weights; nobody else may use the model meanwhile."""
        own = [parameter.data for parameter, _ in self.weights]
        with without_adapter(self.model):
            try:
                for parameter, weight in self.weights:
                    parameter.data = weight
                yield
            finally:
                for (parameter, _), weight in zip(self.weights, own, strict=True):
                    parameter.data = weight


@contextmanager
def without_adapter(model: Any) -> Iterator[None]:
    """PEFT's `disable_adapter` marks the adapter's weights as trainable on its way back: here they stay frozen."""
    trained = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        with model.disable_adapter():
            yield
    finally:
        for parameter, flag in trained:
            parameter.requires_grad_(flag)


def merged(model: Any, strength: float) -> Merged | None:
    """The model's adapter at this strength as weights; None where that would not be the same model, or too large.

    The same up to float32 sums: 16 bits would round a small update away, quantised layers cannot be added to, and a
    weight that two layers share (a tied output head) must not change in both.
    """
    import torch
    from peft.tuners.lora import Linear
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [module for module in model.modules() if isinstance(module, BaseTunerLayer)]
    if not all(type(layer) is Linear and layer.active_adapters == [_ADAPTER] for layer in layers):
        return None
    parameters = [layer.get_base_layer().weight for layer in layers]
    uses = Counter(id(p) for module in model.modules() for p in module.parameters(recurse=False))
    if any(uses[id(p)] > 1 or p.dtype != torch.float32 for p in parameters):
        return None
    if sum(p.numel() * p.element_size() for p in parameters) > _MOST_BYTES:
        return None
    with torch.no_grad():
        summed = [
            p.data + strength * layer.get_delta_weight(_ADAPTER) for p, layer in zip(parameters, layers, strict=True)
        ]
    return Merged(model, tuple(zip(parameters, summed, strict=True)))

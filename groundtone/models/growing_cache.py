"""A key-value cache with room to grow: one token more costs its own bytes, not a copy of all that came before.

transformers' DynamicLayer concatenates, which copies the whole cache for every token: half of a batched step's time on a
CPU. Here keys and values are views on the first columns of longer tensors.
"""

from __future__ import annotations

import torch
from transformers import Cache
from transformers.cache_utils import DynamicLayer

__all__ = ["growing_cache"]

_ROOM = 64  # columns that are added when a tensor is full


class _GrowingLayer(DynamicLayer):
    """`keys` and `values` may be set by others at any time: what is no view of the longer tensor is copied into a new one."""

    _key_room: torch.Tensor | None = None
    _value_room: torch.Tensor | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append states (rows, heads, n, width); all of them are returned, as views."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.keys, self._key_room = _append(self.keys, key_states, self._key_room)
        self.values, self._value_room = _append(self.values, value_states, self._value_room)
        return self.keys, self.values


def _append(held: torch.Tensor, new: torch.Tensor, room: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    columns = held.shape[-2] if held.numel() else 0
    total = columns + new.shape[-2]
    begins_there = room is not None and columns > 0 and held.data_ptr() == room.data_ptr()
    if room is None or not begins_there or room.shape[0] != new.shape[0] or room.shape[-2] < total:
        room = new.new_empty((*new.shape[:-2], total + _ROOM, new.shape[-1]))
        if columns:
            room[..., :columns, :] = held
    room[..., columns:total, :] = new
    return room[..., :total, :], room


def growing_cache() -> Cache:
    """An empty cache for a model whose layers all keep keys and values of the whole text."""
    return Cache(layer_class_to_replicate=_GrowingLayer)

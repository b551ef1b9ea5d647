"""A key-value cache whose rows come and go, and whose texts grow, without copying what stays.

transformers' DynamicLayer concatenates: every token, and every row that leaves, copies the whole cache, which was half
of a batched step on a CPU. Here keys and values are views on larger tensors: a token is written behind the others, the
last rows take the places of those that leave, and newcomers are written into free rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import Cache
from transformers.cache_utils import DynamicLayer

__all__ = ["GrowingCache"]

_ROOM = 64  # columns that are added when the tensors are full


class _GrowingLayer(DynamicLayer):
    """`keys` and `values` are [:rows, :, first:last] of the two tensors of `_room` (row, head, column, width)."""

    def __init__(self) -> None:
        super().__init__()
        self._room = (torch.empty(0, 0, 0, 0), torch.empty(0, 0, 0, 0))
        self._rows = self._first = self._last = 0

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append states (rows, heads, n, width) and return all there are."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._room = (key_states[:, :, :0], value_states[:, :, :0])
            self._rows = key_states.shape[0]
        last = self._last + key_states.shape[-2]
        if last > self._room[0].shape[-2]:
            self._move(rows=self._rows, columns=last - self._first, lead=0)
            last = self._last + key_states.shape[-2]
        for room, states in zip(self._room, (key_states, value_states), strict=True):
            room[: self._rows, :, self._last : last] = states
        self._last = last
        self._show()
        return self.keys, self.values

    def keep(self, order: Sequence[int], *, unused: int) -> None:
        """Row n becomes row `order[n]`, which is n itself or a row behind all that stay; `unused` first columns go."""
        for to, source in enumerate(order):
            if to != source:
                for room in self._room:
                    room[to] = room[source]
        self._rows = len(order)
        self._first += unused
        self._show()

    def join(self, other: _GrowingLayer) -> None:
        """Take the other's rows in behind these, the last columns in line; the shorter texts get zeros before them."""
        width = max(self._last - self._first, other._last - other._first)
        rows = self._rows + other._rows
        lead = width - (self._last - self._first)
        if rows > self._room[0].shape[0] or lead > self._first:
            self._move(rows=rows, columns=width, lead=lead)
        begin, end = self._last - width, self._last
        new = slice(self._rows, rows)
        for room, states in zip(self._room, (other.keys, other.values), strict=True):
            room[: self._rows, :, begin : begin + lead] = 0
            room[new, :, begin : end - states.shape[-2]] = 0
            room[new, :, end - states.shape[-2] : end] = states
        self._rows, self._first = rows, begin
        self._show()

    def _move(self, *, rows: int, columns: int, lead: int) -> None:
        """Into new tensors with room for so many, `lead` columns of them before what is held."""
        width = self._last - self._first
        moved = []
        for room in self._room:
            kept = max(rows, room.shape[0])
            larger = room.new_empty((kept, room.shape[1], columns + _ROOM, room.shape[3]))
            larger[: self._rows, :, lead : lead + width] = room[: self._rows, :, self._first : self._last]
            moved.append(larger)
        self._room = (moved[0], moved[1])
        self._first, self._last = lead, lead + width

    def _show(self) -> None:
        self.keys, self.values = (room[: self._rows, :, self._first : self._last] for room in self._room)


class GrowingCache(Cache):
    """For a model whose layers all keep keys and values of the whole text; layers are made as they are met."""

    layers: list[_GrowingLayer]

    def __init__(self) -> None:
        super().__init__(layer_class_to_replicate=_GrowingLayer)

    def keep(self, order: Sequence[int], *, unused: int) -> None:
        """Of every layer: row n becomes row `order[n]` >= n, the other rows and the `unused` first columns go."""
        for layer in self.layers:
            layer.keep(order, unused=unused)

    def join(self, other: GrowingCache) -> None:
        """Take the other's rows in behind these, padded with zeros on the left to one width."""
        for own, new in zip(self.layers, other.layers, strict=True):
            own.join(new)

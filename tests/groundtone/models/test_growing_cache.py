"""The growing cache against transformers' own, whatever is done to both."""

from __future__ import annotations

import random

import pytest
import torch
from torch.nn.functional import pad
from transformers import DynamicCache

from groundtone.models.growing_cache import GrowingCache

LAYERS, HEADS, WIDTH = 2, 3, 4


class Pair:
    """Our cache and transformers', given the same."""

    def __init__(self, rows: int, columns: int) -> None:
        self.ours, self.theirs = GrowingCache(), DynamicCache()
        self.rows = rows
        self.feed(columns)

    @property
    def columns(self) -> int:
        return self.theirs.get_seq_length()

    def feed(self, columns: int) -> None:
        for layer in range(LAYERS):
            keys, values = torch.randn(2, self.rows, HEADS, columns, WIDTH)
            given = self.ours.update(keys, values, layer)
            assert all(map(torch.equal, given, self.theirs.update(keys, values, layer)))

    def keep(self, order: list[int], unused: int) -> None:
        self.ours.keep(order, unused=unused)
        for layer in self.theirs.layers:
            layer.keys, layer.values = layer.keys[order, :, unused:], layer.values[order, :, unused:]
        self.rows = len(order)

    def join(self, other: Pair) -> None:
        self.ours.join(other.ours)
        width = max(self.columns, other.columns)
        for one, two in zip(self.theirs.layers, other.theirs.layers, strict=True):
            both = [(one.keys, two.keys), (one.values, two.values)]
            one.keys, one.values = (
                torch.cat([pad(t, (0, 0, width - t.shape[-2], 0)) for t in tensors]) for tensors in both
            )
        self.rows += other.rows

    def held(self) -> list[list[torch.Tensor]]:
        assert self.ours.get_seq_length() == self.columns
        assert len(self.ours.layers) == len(self.theirs.layers) == LAYERS
        return [
            [tensor for layer in cache.layers for tensor in (layer.keys, layer.values)]
            for cache in (self.ours, self.theirs)
        ]


@pytest.mark.parametrize("seed", range(8))
def test_it_holds_what_transformers_cache_holds(seed):
    drawn = random.Random(seed)
    torch.manual_seed(seed)
    pair = Pair(4, 7)
    for _ in range(200):
        what = drawn.choice(["token"] * 8 + ["rows", "join"])
        if what == "token":
            pair.feed(drawn.choice([1, 1, 1, 30]))
        elif what == "join":
            pair.join(Pair(drawn.randint(1, 4), drawn.randint(1, 2 * pair.columns)))
        elif pair.rows > 1:
            count = drawn.randint(1, pair.rows - 1)
            behind = drawn.sample(range(count, pair.rows), min(count, pair.rows - count))
            order = [n if drawn.random() < 0.5 or not behind else behind.pop() for n in range(count)]
            pair.keep(order, drawn.randint(0, min(3, pair.columns - 1)))
        assert all(map(torch.equal, *pair.held()))


def test_a_token_more_moves_nothing_until_the_room_is_used_up():
    pair, places = Pair(2, 10), []
    for _ in range(100):
        pair.feed(1)
        places.append(pair.ours.layers[0].keys.data_ptr())
    assert len(set(places)) == 2, "64 columns of room, then a new tensor"


def test_newcomers_take_free_rows_without_moving_the_others():
    pair = Pair(4, 10)
    pair.feed(1)
    before = pair.ours.layers[0].keys.data_ptr()
    pair.keep([0, 3], 0)
    pair.join(Pair(2, 6))
    assert all(map(torch.equal, *pair.held()))
    assert pair.ours.layers[0].keys.data_ptr() == before

"""The growing cache against transformers' own, whatever is done to both."""

from __future__ import annotations

import random

import pytest
import torch
from transformers import Cache, DynamicCache

from groundtone.models.growing_cache import growing_cache

LAYERS, HEADS, WIDTH = 2, 3, 4


def feed(caches: list[Cache], rows: int, columns: int) -> None:
    for layer in range(LAYERS):
        keys, values = torch.randn(2, rows, HEADS, columns, WIDTH)
        given = [cache.update(keys, values, layer) for cache in caches]
        assert all(torch.equal(a, b) for one in given[1:] for a, b in zip(given[0], one, strict=True))


@pytest.mark.parametrize("seed", range(5))
def test_it_holds_what_transformers_cache_holds(seed):
    drawn = random.Random(seed)
    torch.manual_seed(seed)
    caches, rows = [DynamicCache(), growing_cache()], 4
    feed(caches, rows, 7)
    for _ in range(150):
        what = drawn.choice(["token"] * 8 + ["rows", "columns", "more"])
        if what == "token":
            feed(caches, rows, 1)
        elif what == "more":
            feed(caches, rows, drawn.randint(2, 90))
        elif what == "rows":
            kept = torch.tensor([drawn.randrange(rows) for _ in range(drawn.randint(1, 6))])
            rows = len(kept)
            for cache in caches:
                cache.batch_select_indices(kept)
        else:
            cut = drawn.randint(1, 3)
            for layer in (layer for cache in caches for layer in cache.layers):
                layer.keys, layer.values = layer.keys[:, :, cut:], layer.values[:, :, cut:]
        assert caches[0].get_seq_length() == caches[1].get_seq_length()


def test_a_token_more_moves_nothing_until_the_room_is_used_up():
    cache = growing_cache()
    feed([cache], 2, 10)
    places = []
    for _ in range(100):
        feed([cache], 2, 1)
        places.append(cache.layers[0].keys.data_ptr())
    assert len(set(places)) == 2, "64 columns of room, then a new tensor"


def test_two_caches_that_began_as_one_do_not_write_into_each_other():
    first, second = growing_cache(), growing_cache()
    feed([first], 2, 5)
    for layer in range(LAYERS):
        second.update(first.layers[layer].keys, first.layers[layer].values, layer)
    before = first.layers[0].keys.clone()
    feed([second], 2, 3)
    assert torch.equal(first.layers[0].keys, before)

"""Which rows the last optimizer step saw, so that a loss that is no longer finite can be blamed on them."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from tuning.shared_prompts import rows_seen


class BatchWatch:
    """Remembers what the model was last given, as many forward passes as make up a step; `numbers`: row by tokens."""

    def __init__(self, numbers: Mapping[tuple[int, ...], int], *, passes: int) -> None:
        self._numbers = numbers
        self._seen: deque[Mapping[str, Any]] = deque(maxlen=passes)

    def attach(self, model: Any) -> None:
        """Look at everything that goes through `model` in training; nothing is copied."""

        def look(module: Any, arguments: Any, given: Mapping[str, Any]) -> None:
            if module.training and given.get("input_ids") is not None:
                self._seen.append({key: given.get(key) for key in ("input_ids", "attention_mask", "position_ids")})

        model.register_forward_pre_hook(look, with_kwargs=True)

    def rows(self) -> list[int]:
        """The numbers of the rows of the last step, counted from 0 in the data as given."""
        found: set[int] = set()
        for batch in self._seen:
            for ids in _sequences(batch):
                if ids in self._numbers:
                    found.add(self._numbers[ids])
        return sorted(found)


def _sequences(batch: Mapping[str, Any]) -> list[tuple[int, ...]]:
    """The rows of a batch without padding; a packed sequence is cut where its positions begin again."""
    if batch["attention_mask"] is not None and batch["attention_mask"].dim() == 4:
        return rows_seen(batch)
    ids, mask, positions = batch["input_ids"].tolist(), batch["attention_mask"], batch["position_ids"]
    if mask is not None and mask.dim() == 2:
        return [
            tuple(token for token, real in zip(row, kept, strict=True) if real)
            for row, kept in zip(ids, mask.tolist(), strict=True)
        ]
    if positions is None:
        return [tuple(row) for row in ids]
    cut: list[tuple[int, ...]] = []
    for row, places in zip(ids, positions.tolist(), strict=True):
        starts = [n for n, place in enumerate(places) if place == 0] or [0]
        cut += [tuple(row[a:b]) for a, b in zip(starts, [*starts[1:], len(row)], strict=True)]
    return cut

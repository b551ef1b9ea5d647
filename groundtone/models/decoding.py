"""Greedy decoding of many replies over one key-value cache whose rows come and go between two tokens.

A row leaves when its reply is whole, and a waiting prompt takes its place: nobody computes padding until the longest
reply of a batch is written. The cache is padded on the left, so that every row writes in the same column.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    import torch

    from groundtone.models.growing_cache import GrowingCache

__all__ = [
    "PREFILL_TOKENS",
    "Reply",
    "Rows",
    "advance",
    "decoding_problem",
    "newcomers",
    "write_all",
    "write_by_transformers",
]

PREFILL_TOKENS = 4096  # prompts, padding included, that are read at once: what memory grows with
_FORWARD = ("position_ids", "past_key_values", "logits_to_keep")
_REFILL = 4  # write_all lets newcomers in when one row of so many is free: each entry copies the whole cache


class Reply(Protocol):
    """A reply that is being written."""

    @property
    def ids(self) -> list[int]:
        """The prompt's tokens."""
        ...

    @property
    def over(self) -> bool:
        """Whether nothing more is to be written."""
        ...

    def add(self, token: int) -> None:
        """One more token; the reply may be over with it."""
        ...


R = TypeVar("R", bound=Reply)
Named = Callable[[R], str] | None  # PEFT's name of the adapter that writes a reply; None: the model's own state


@dataclass(slots=True)
class Rows(Generic[R]):
    """The running batch: row n of every tensor belongs to reply n."""

    replies: list[R]
    cache: GrowingCache  # keys and values (rows, heads, columns, width) per layer
    mask: torch.Tensor  # (rows, columns): 1 where the cache holds a token, 0 for padding on the left
    last: torch.Tensor  # (rows,): the token that was written last, not yet in the cache

    def alive(self) -> Rows[R] | None:
        """These rows without the replies that are over; None where no reply is left."""
        staying = [n for n, reply in enumerate(self.replies) if not reply.over]
        if staying and len(staying) < len(self.replies):
            self._keep(staying)
        return self if staying else None

    def _keep(self, staying: Sequence[int]) -> None:
        """Drop all other rows, the last ones taking their places, and the columns that are padding in all that stay."""
        import torch

        count = len(staying)
        behind = iter(n for n in staying if n >= count)
        here = set(staying)
        order = [n if n in here else next(behind) for n in range(count)]
        wanted = torch.tensor(order, device=self.mask.device)
        self.replies = [self.replies[n] for n in order]
        self.mask, self.last = self.mask[wanted], self.last[wanted]
        unused = int(self.mask.argmax(dim=1).min())
        self.mask = self.mask[:, unused:]
        self.cache.keep(order, unused=unused)

    def join(self, other: Rows[R]) -> None:
        """Take the other rows in; the narrower of the two is padded on the left."""
        import torch
        from torch.nn.functional import pad

        width = max(self.mask.shape[1], other.mask.shape[1])
        mine, theirs = width - self.mask.shape[1], width - other.mask.shape[1]
        self.mask = torch.cat([pad(self.mask, (mine, 0)), pad(other.mask, (theirs, 0))])
        self.last = torch.cat([self.last, other.last])
        self.replies = self.replies + other.replies
        self.cache.join(other.cache)


def write_all(network: Any, replies: Sequence[R], *, pad: int, device: str, at_once: int) -> None:
    """Write every reply, at most `at_once` together, in their order: equal calls compute equal batches."""
    waiting, rows = deque(replies), None
    while waiting or rows:
        free = at_once - (len(rows.replies) if rows else 0)
        enough = rows is None or free * _REFILL >= at_once
        entering = newcomers(waiting, free=free) if enough else []
        rows = advance(network, rows, entering, pad=pad, device=device)


def write_by_transformers(network: Any, replies: Sequence[Reply], *, limit: int, pad: int, device: str) -> None:
    """The replies by the model's own `generate`, for architectures whose memory cannot be cut by rows."""
    import torch
    from transformers import GenerationConfig

    width = max(len(reply.ids) for reply in replies)

    def add(input_ids: Any, scores: Any, **_: Any) -> Any:
        for reply, token in zip(replies, input_ids[:, -1].tolist(), strict=True):
            reply.add(token)
        return torch.tensor([reply.over for reply in replies], dtype=torch.bool, device=device)

    network.generate(
        input_ids=torch.tensor([[pad] * (width - len(r.ids)) + r.ids for r in replies], device=device),
        attention_mask=torch.tensor([[0] * (width - len(r.ids)) + [1] * len(r.ids) for r in replies], device=device),
        generation_config=GenerationConfig(
            max_new_tokens=limit, do_sample=False, num_beams=1, eos_token_id=None, pad_token_id=pad
        ),
        stopping_criteria=[add],
    )


def newcomers(waiting: deque[R], *, free: int, prefill_tokens: int = PREFILL_TOKENS) -> list[R]:
    """Taken from the front of `waiting`: as many as there are free rows and prefill tokens for, one at least."""
    chosen: list[R] = []
    while waiting and len(chosen) < free:
        longest = max(len(reply.ids) for reply in [*chosen, waiting[0]])
        if chosen and longest * (len(chosen) + 1) > prefill_tokens:
            break
        reply = waiting.popleft()
        if not reply.over:
            chosen.append(reply)
    return chosen


def advance(
    network: Any,
    rows: Rows[R] | None,
    entering: Sequence[R],
    *,
    pad: int,
    device: str,
    named: Named[R] = None,
) -> Rows[R] | None:
    """One token more for every reply; the newcomers get their first two. None where all are over."""
    if entering:
        fresh = _prefill(network, entering, named, pad=pad, device=device)
        if rows is None:
            rows = fresh
        else:
            rows.join(fresh)
    rows = rows.alive() if rows else None  # a reply may be whole with its first token
    if rows is not None:
        _decode(network, rows, named)
        rows = rows.alive()
    return rows


def _prefill(network: Any, replies: Sequence[R], named: Named[R], *, pad: int, device: str) -> Rows[R]:
    import torch

    from groundtone.models.growing_cache import GrowingCache

    width = max(len(reply.ids) for reply in replies)
    ids = torch.tensor([[pad] * (width - len(r.ids)) + r.ids for r in replies], device=device)
    mask = torch.tensor([[0] * (width - len(r.ids)) + [1] * len(r.ids) for r in replies], device=device)
    rows = Rows(list(replies), GrowingCache(), mask, ids[:, -1])
    _forward(network, rows, ids, named, positions=(mask.cumsum(dim=1) - 1).clamp(min=0))
    return rows


def _decode(network: Any, rows: Rows[R], named: Named[R]) -> None:
    import torch

    positions = rows.mask.sum(dim=1, keepdim=True)
    rows.mask = torch.cat([rows.mask, torch.ones_like(rows.mask[:, :1])], dim=1)
    _forward(network, rows, rows.last[:, None], named, positions=positions)


def _forward(network: Any, rows: Rows[R], ids: torch.Tensor, named: Named[R], *, positions: torch.Tensor) -> None:
    """Feed tokens (rows, n), choose the next one of every row, and hand it to its reply."""
    output = network(
        input_ids=ids,
        attention_mask=rows.mask,
        position_ids=positions,
        past_key_values=rows.cache,
        use_cache=True,
        logits_to_keep=1,
        **({"adapter_names": [named(reply) for reply in rows.replies]} if named else {}),
    )
    rows.last = output.logits[:, -1].float().argmax(dim=-1)
    for reply, token in zip(rows.replies, rows.last.tolist(), strict=True):
        reply.add(token)


def decoding_problem(model: Any) -> str | None:
    """Why a transformers model's memory of a text cannot be cut and joined by rows; None where it can."""
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

    taken = inspect.signature(type(model).forward).parameters
    lacking = [name for name in _FORWARD if name not in taken]
    if lacking:
        return f"its forward pass takes no {lacking[0]}"
    known = (DynamicLayer, DynamicSlidingWindowLayer)  # their subclasses keep other states beside
    layers = DynamicCache(config=model.config).layers
    odd = next((layer for layer in layers if type(layer) not in known), None)
    if odd is None:
        return None
    return f"a layer keeps {type(odd).__name__.removesuffix('Layer')} states, not keys and values alone"

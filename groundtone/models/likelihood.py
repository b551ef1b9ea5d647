"""What a local model finds likely: continuations of a text, whole texts in bits per byte, and how far two views differ.

Token ids in and numbers out, from the model's own logits in float32; the view's adapter state counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from groundtone.errors import ModelError
from groundtone.models.generate import LocalModel
from groundtone.types import Prompt

__all__ = ["Continuation", "TextBits", "continuations", "kl_divergences", "text_bits"]

Row = tuple[Sequence[int], Sequence[int]]  # what is read, and what is scored after it


@dataclass(frozen=True, slots=True)
class Continuation:
    """The natural-log probability of a continuation, and whether greedy generation would have written it."""

    log_probability: float
    greedy: bool


@dataclass(frozen=True, slots=True)
class TextBits:
    """The information of a text under a model: bits in all, over its length in UTF-8 bytes."""

    bits: float
    length_bytes: int

    @property
    def per_byte(self) -> float:
        """Bits per byte: comparable between tokenizers, and lower is better."""
        return self.bits / self.length_bytes


def continuations(model: LocalModel, rows: Sequence[Row]) -> list[Continuation]:
    """One result per row, in order. Raises ModelError for a row without context or longer than the model reads."""
    found: dict[int, Continuation] = {}
    for batch, distributions in _batches(model, rows):
        for n, log_p in zip(batch, distributions, strict=True):
            wanted = _as_column(rows[n][1], log_p)
            total = float(log_p.gather(-1, wanted).sum())
            found[n] = Continuation(total, bool((log_p.argmax(-1) == wanted[:, 0]).all()))
    return [found[n] for n in range(len(rows))]


def text_bits(model: LocalModel, texts: Sequence[str]) -> list[TextBits]:
    """Bits of plain texts, without any chat template.

    A text longer than the model reads is cut into windows that do not overlap, each read after the token before it;
    the first one after the token that begins a text. Raises ModelError for an empty text.
    """
    if empty := [n for n, text in enumerate(texts) if not text]:
        raise ModelError(f"text {empty[0]} is empty: bits per byte need at least one byte")
    rows: list[Row] = []
    owners: list[int] = []
    for n, text in enumerate(texts):
        windows = _windows(model, text)
        rows += windows
        owners += [n] * len(windows)
    nats = [0.0] * len(texts)
    for owner, scored in zip(owners, continuations(model, rows), strict=True):
        nats[owner] -= scored.log_probability
    return [TextBits(n / math.log(2), len(text.encode())) for n, text in zip(nats, texts, strict=True)]


def kl_divergences(
    base: LocalModel, tuned: LocalModel, prompts: Sequence[Prompt], replies: Sequence[str]
) -> list[float]:
    """KL(base || tuned) in nats per token, averaged over the tokens of each reply; exactly 0 for one and the same view.

    The whole distributions are compared at every token of the reply (teacher forcing), so that a handful of prompts is
    enough; what exceeds the context is left out. On the base's own replies this is the forward divergence that
    forgetting follows (arXiv:2509.04259).
    Raises ModelError where the two do not write the same tokens.
    """
    if base.base.tokenizer.get_vocab() != tuned.base.tokenizer.get_vocab():
        raise ModelError(
            f"{base.name!r} and {tuned.name!r} have different vocabularies: their tokens cannot be compared"
        )
    rows: list[Row] = []
    for prompt, reply in zip(prompts, replies, strict=True):
        shown = base.format.prompt_ids(prompt)
        room = None if base.context_tokens is None else max(1, base.context_tokens - len(shown))
        rows.append((shown, base.format.completion_ids(prompt, reply)[:room]))
    found: dict[int, float] = {}
    for (batch, of_base), (_, of_tuned) in zip(_batches(base, rows), _batches(tuned, rows), strict=True):
        for n, p, q in zip(batch, of_base, of_tuned, strict=True):
            divergence = (p.exp() * (p - q)).sum(-1).mean()
            found[n] = max(0.0, float(divergence))  # rounding may leave -1e-9
    return [found[n] for n in range(len(rows))]


def _windows(model: LocalModel, text: str) -> list[Row]:
    ids: list[int] = model.base.tokenizer(text, add_special_tokens=False)["input_ids"]
    width = (model.context_tokens or len(ids) + 1) - 1
    rows: list[Row] = []
    before = first_token(model)
    for start in range(0, len(ids), width):
        rows.append(([before], ids[start : start + width]))
        before = ids[min(start + width, len(ids)) - 1]
    return rows


def first_token(model: LocalModel) -> int:
    """What the first token of a text is read after: the token that begins texts, else the one that ends them."""
    tokenizer = model.base.tokenizer
    named = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    return int(named if named is not None else tokenizer.pad_token_id)


def _batches(model: LocalModel, rows: Sequence[Row]) -> Iterator[tuple[list[int], list[Any]]]:
    """Indices of a batch's rows, and for each the log-probabilities (continuation tokens x vocabulary).

    Batches are fixed by the rows' lengths, so that two views of a model are compared on the same ones.
    """
    for n, (context, continuation) in enumerate(rows):
        if not context or not continuation:
            raise ModelError(f"row {n} has {len(context)} tokens to read and {len(continuation)} to score: give both")
        total = len(context) + len(continuation)
        if model.context_tokens is not None and total > model.context_tokens:
            raise ModelError(f"row {n} has {total} tokens, but {model.name!r} reads {model.context_tokens}: shorten it")
    order = sorted(range(len(rows)), key=lambda n: (-len(rows[n][0]) - len(rows[n][1]), n))
    for start in range(0, len(order), model.batch_size):
        batch = order[start : start + model.batch_size]
        yield batch, _distributions(model, [rows[n] for n in batch])


def _distributions(model: LocalModel, rows: Sequence[Row]) -> list[Any]:
    import torch

    # The last token is scored and never read.
    read = [[*context, *continuation][:-1] for context, continuation in rows]
    width, first = max(map(len, read)), min(len(context) for context, _ in rows) - 1
    pad, device = model.base.tokenizer.pad_token_id, model.base.device
    ids = torch.tensor([row + [pad] * (width - len(row)) for row in read], device=device)
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in read], device=device)
    keep = torch.arange(first, width, device=device)
    with model.active() as network:
        logits = network(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=keep).logits
        return [
            torch.log_softmax(logits[n, len(context) - 1 - first :][: len(continuation)].float(), dim=-1)
            for n, (context, continuation) in enumerate(rows)
        ]


def _as_column(ids: Sequence[int], like: Any) -> Any:
    import torch

    return torch.tensor(list(ids), device=like.device)[:, None]

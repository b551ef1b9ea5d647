"""Divergence from the base on labelled tokens: what a voice may do to general replies, priced while it is learned.

KL(base || tuned) = sum_v p_base(v) (log p_base(v) - log p_tuned(v)): the base is the teacher (Hinton et al. 2015,
arXiv 1503.02531; against forgetting, Li and Hoiem 2016, arXiv 1606.09282). The base is the very model in training with
its adapter switched off, so that no second copy of the weights is held.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from groundtone.errors import ModelError
from tuning.rows import IGNORED, Row

__all__ = ["KlTerm", "divergence", "positions_under", "require_adapter", "rows_under"]

_CHUNK = 512  # positions whose float32 distributions exist at one time


@dataclass(frozen=True, slots=True)
class KlTerm:
    """What the trainer adds to its loss: `weight` times the divergence of labelled tokens in the rows named.

    `rows` holds the tokens of each such row.
    """

    weight: float
    rows: frozenset[tuple[int, ...]]


def rows_under(rows: Sequence[Row], *, replayed_from: int) -> frozenset[tuple[int, ...]]:
    """The tokens of the rows whose number is `replayed_from` or beyond: replay follows the voice's own."""
    return frozenset(row.ids for row in rows if row.index >= replayed_from)


def require_adapter(model: Any) -> None:
    """Raises ModelError where switching the adapter off does not give the base back."""
    from peft import LoraConfig, PeftModel

    told = "tuning.kl and tuning.guard compare with the model without its adapter"
    if not isinstance(model, PeftModel):
        raise ModelError(f"{told}, and here the whole model is trained: set tuning.lora, or switch both off")
    for config in model.peft_config.values():
        start = config.init_lora_weights if isinstance(config, LoraConfig) else True
        if isinstance(start, str) and start.split("_")[0].lower() in ("pissa", "olora", "corda", "loftq"):
            raise ModelError(
                f"{told}, but an adapter started by {start} changes the base's own weights: choose another start, or "
                "switch both off"
            )


def divergence(base: Any, tuned: Any) -> Any:
    """The summed KL(base || tuned) of two (positions, vocabulary) tensors of logits, in nats; gradients reach `tuned`.

    Works through `_CHUNK` positions at a time and keeps nothing for the backward pass but the logits, which are there
    anyway: the gradient by the tuned logits is softmax(tuned) - softmax(base).
    """
    import torch

    class Divergence(torch.autograd.Function):
        """Defined late: its base class needs torch."""

        @staticmethod
        def forward(context: Any, tuned: Any, base: Any) -> Any:
            context.save_for_backward(tuned, base)
            total = torch.zeros((), dtype=torch.float32, device=tuned.device)
            for ours, theirs in zip(tuned.split(_CHUNK), base.split(_CHUNK), strict=True):
                right, said = (torch.log_softmax(part.float(), dim=-1) for part in (theirs, ours))
                total += (right.exp() * (right - said)).sum()
            return total

        @staticmethod
        def backward(context: Any, *gradients: Any) -> tuple[Any, None]:
            tuned, base = context.saved_tensors
            back = torch.empty_like(tuned)
            for out, ours, theirs in zip(back.split(_CHUNK), tuned.split(_CHUNK), base.split(_CHUNK), strict=True):
                away = torch.softmax(ours.float(), dim=-1) - torch.softmax(theirs.float(), dim=-1)
                out.copy_(away * gradients[0])
            return back, None

    return Divergence.apply(tuned, base)


def positions_under(term: KlTerm, inputs: Mapping[str, Any]) -> Any:
    """A boolean (rows, positions) mask over a batch: True where a position predicts a label of a row under the term."""
    import torch

    labels = inputs["labels"]
    predicts = torch.zeros_like(labels, dtype=torch.bool)
    predicts[:, :-1] = labels[:, 1:] != IGNORED
    under = torch.zeros_like(predicts)
    ids = inputs["input_ids"].tolist()
    for row, start, end in _rows_of(inputs):
        if tuple(ids[row][start:end]) in term.rows:
            under[row, start:end] = True
    return predicts & under


def _rows_of(inputs: Mapping[str, Any]) -> list[tuple[int, int, int]]:
    """(batch row, start, end) of every training row: one per line up to its padding, or cut where positions restart."""
    mask, positions = inputs.get("attention_mask"), inputs.get("position_ids")
    count, width = inputs["input_ids"].shape
    if mask is not None and mask.dim() == 2:
        return [(row, 0, real) for row, real in enumerate(mask.sum(dim=1).tolist())]  # training pads on the right
    if positions is None:
        return [(row, 0, width) for row in range(count)]
    found = []
    for row, places in enumerate(positions.tolist()):
        starts = [n for n, place in enumerate(places) if place == 0] or [0]
        found += [(row, a, b) for a, b in zip(starts, [*starts[1:], width], strict=True)]
    return found

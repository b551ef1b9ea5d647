"""What a training will need, before it starts: memory by formula, time from two measured steps on the longest rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from groundtone.errors import DataError
from groundtone.models.quiet import quiet
from groundtone.models.weights import Base
from tuning.lora import put_on
from tuning.plan import Plan
from tuning.rows import Row, as_dataset, bin_tokens

__all__ = ["RowsOf", "TrainingEstimate", "estimate"]

_ADAM_BYTES = 16  # per trained parameter: the value, its gradient and two moments, float32 each
_TIMED = 2  # steps; one more before them warms up


RowsOf = Callable[[Base], Sequence[Row]]  # the rows of a training, in the tokens of its base


@dataclass(frozen=True, slots=True)
class TrainingEstimate:
    """Bytes and seconds; `based_on` says in words where each comes from."""

    parameters: int
    trained: int
    weights_bytes: int
    optimizer_bytes: int
    activations_bytes: int
    peak_bytes: int | None  # measured, where the device counts what it hands out
    step_s: float  # one optimizer step on the longest rows
    steps: int
    total_s: float
    based_on: tuple[str, ...]

    @property
    def total_bytes(self) -> int:
        """What to have free: the measured peak, else the sum of the parts."""
        return self.peak_bytes or self.weights_bytes + self.optimizer_bytes + self.activations_bytes

    def lines(self) -> tuple[str, ...]:
        """What to show people."""
        mega = 1 << 20
        return (
            f"{self.parameters / 1e6:.1f} M parameters, {self.trained / 1e6:.3f} M of them trained",
            f"memory {self.total_bytes / mega:.0f} MiB: weights {self.weights_bytes / mega:.0f}, optimizer "
            f"{self.optimizer_bytes / mega:.1f}, activations {self.activations_bytes / mega:.0f}",
            f"time about {self.total_s:.0f} s: {self.steps} steps of at most {self.step_s:.2f} s, without evaluations",
            *self.based_on,
        )


def estimate(rows_of: RowsOf, plan: Plan, *, processes: int = 1) -> TrainingEstimate:
    """Loads the base, puts the adapter on it and times forward and backward on a batch of the longest rows.

    With `recipe.packing` a row is a sequence of several; each of `processes` takes a batch of its own. Rows over the
    plan's limit or the model's context are left out. Nothing is written.
    """
    import torch

    loaded, recipe = plan.load(), plan.recipe
    limit = plan.limit(loaded.context_tokens)
    rows = [row for row in rows_of(loaded) if limit is None or len(row.ids) <= limit]
    if not rows:
        raise DataError("there is no row to time: check tuning.data and tuning.max_length")
    if recipe.packing:
        rows = _packed(rows, limit=limit)
    model = _trainable(loaded, plan)
    counts = [(p.numel(), p.element_size(), p.requires_grad) for p in model.parameters()]
    trained = sum(n for n, _, learns in counts if learns)
    longest = sorted(rows, key=lambda row: len(row.ids), reverse=True)[: recipe.batch_size]
    on_cuda = loaded.device.startswith("cuda")
    if on_cuda:
        torch.cuda.reset_peak_memory_stats()
    micro_s = _timed(model, longest, device=loaded.device)
    width = max(len(row.ids) for row in longest)
    mean = sum(len(row.ids) for row in rows) / len(rows)
    config = loaded.model.config.get_text_config()
    optimizer = trained * _ADAM_BYTES
    step_s, steps = micro_s * recipe.accumulate, recipe.steps(len(rows), processes=processes)
    return TrainingEstimate(
        parameters=sum(n for n, _, _ in counts) - (trained if plan.lora is not None else 0),
        trained=trained,
        weights_bytes=sum(n * size for n, size, learns in counts if not learns),
        optimizer_bytes=optimizer,
        activations_bytes=_activations(
            config, len(longest) * width, counts[0][1], checkpointed=recipe.gradient_checkpointing
        ),
        peak_bytes=int(torch.cuda.max_memory_allocated()) + optimizer if on_cuda else None,
        step_s=step_s,
        steps=steps,
        total_s=step_s * steps * mean / width,
        based_on=(
            f"time: median of {_TIMED} forward and backward passes over {len(longest)} rows of up to {width} tokens, "
            f"times the mean row's {mean:.0f} tokens",
            "memory: the device's own count plus the optimizer"
            if on_cuda
            else "memory: weights as loaded, 16 bytes per trained parameter, activations by formula",
        ),
    )


def _packed(rows: Sequence[Row], *, limit: int | None) -> list[Row]:
    """The sequences that the trainer will make of the rows."""
    from trl import pack_dataset

    size = bin_tokens(max(len(row.ids) for row in rows), limit=limit)
    packed = pack_dataset(as_dataset(rows), size)
    return [Row(number, tuple(ids), 0) for number, ids in enumerate(packed["input_ids"])]


def _trainable(loaded: Base, plan: Plan) -> Any:
    """The model as it will be trained."""
    from peft import get_peft_model

    with quiet():
        shape = put_on(plan.lora, loaded)
        model = loaded.model if shape is None else get_peft_model(loaded.model, shape)
    if plan.recipe.gradient_checkpointing:
        loaded.model.enable_input_require_grads()
        model.gradient_checkpointing_enable()
    return model


def _activations(config: Any, tokens: int, size: int, *, checkpointed: bool) -> int:
    """Korthikanti et al. 2022 (arXiv:2205.05198): 34 bytes x hidden per token and layer at 2 bytes; plus the logits."""
    hidden, layers, vocabulary = config.hidden_size, config.num_hidden_layers, config.vocab_size
    per_layer = size * hidden if checkpointed else 17 * size * hidden
    return int(tokens * (layers * per_layer + 3 * 4 * vocabulary))  # logits, their softmax and gradient in float32


def _timed(model: Any, rows: Sequence[Row], *, device: str) -> float:
    """Seconds of one forward and backward pass, the median after one that warms up."""
    import torch

    width = max(len(row.ids) for row in rows)
    ids = torch.tensor([[*row.ids, *[0] * (width - len(row.ids))] for row in rows], device=device)
    labels = torch.tensor([[*row.labels, *[-100] * (width - len(row.ids))] for row in rows], device=device)
    mask = torch.tensor([[1] * len(row.ids) + [0] * (width - len(row.ids)) for row in rows], device=device)
    model.train()
    seconds = []
    for _ in range(1 + _TIMED):
        begun = time.monotonic()
        model(input_ids=ids, attention_mask=mask, labels=labels, use_cache=False).loss.backward()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        seconds.append(time.monotonic() - begun)
        model.zero_grad(set_to_none=True)
    return sorted(seconds[1:])[(_TIMED - 1) // 2]

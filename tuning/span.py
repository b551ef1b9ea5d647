"""Tuning a sentence encoder into a reader: LoRA and a head that points at the span which answers, or at none.

The rows hold question, passage and span (`tuning.span_rows`). One pass over them with the transformers Trainer.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from groundtone.errors import DataError
from groundtone.models.adapter import AdapterCard
from groundtone.models.span_format import SPAN_FORMAT_VERSION
from groundtone.models.weights import weights_sha256
from tuning.engine import Attempt, Finished, run_training, training_arguments
from tuning.lora import adapter_of, lora_config
from tuning.plan import Plan
from tuning.recipe import Recipe
from tuning.span_base import ReaderBase, load_reader_base
from tuning.span_rows import EncodedSpan, SpanRow, encode, spans_sha256

_STEP = 16  # tokens; a CPU compiles its kernels anew for every length it has not seen, and keeps them in memory


def train_reader(
    rows: Sequence[SpanRow], plan: Plan, *, heldout: Sequence[SpanRow] = (), checkpoint_steps: int = 500
) -> Finished:
    """Tunes a reader by the plan. Losses are means over start and end.

    Raises DataError for rows that cannot teach a span, ModelError for a base that is no BERT-like encoder, and what
    `run_training` raises.
    """
    lora, recipe = adapter_of(plan.lora, "method span"), plan.recipe
    loaded = load_reader_base(plan.base, device=plan.device)
    encoded, dropped = encode(loaded.span_format, rows)
    held, _ = encode(loaded.span_format, heldout)
    if not any(row.first for row in encoded) or all(row.first for row in encoded):
        raise DataError(
            f"of {len(encoded)} rows all or none have an answer: a reader needs questions with and without one"
        )
    lora = replace(lora, targets=_targets(lora.targets))
    card = AdapterCard(
        base=plan.base,
        base_sha256=weights_sha256(loaded.folder),
        template=SPAN_FORMAT_VERSION,
        chat_template_sha256="",
        data_sha256=spans_sha256(encoded, held),
        seed=recipe.seed,
        config={"method": "span", **lora.on_card(), **recipe.on_card()},
    )
    order = laid_out([len(row.ids) for row in encoded], size=recipe.batch_size, epochs=recipe.epochs, seed=recipe.seed)

    def build(on: ReaderBase, attempt: Attempt) -> Any:
        from peft import get_peft_model
        from transformers import Trainer

        model = on.new_model()
        return Trainer(
            model=get_peft_model(model, lora_config(lora, model, task_type="QUESTION_ANS")),  # trains the head as well
            args=_arguments(on, attempt, recipe, every=checkpoint_steps, evaluate=bool(held)),
            train_dataset=_dataset(encoded).select(order),
            eval_dataset=_dataset(held) if held else None,
            data_collator=_collate,
            callbacks=list(attempt.callbacks),
        )

    return run_training(
        build,
        plan,
        loaded=loaded,
        reload=lambda: loaded,  # it makes a new model for every attempt
        card=card,
        rows=len(encoded),
        dropped=dropped,
    )


def _arguments(on: ReaderBase, attempt: Attempt, recipe: Recipe, *, every: int, evaluate: bool) -> Any:
    from transformers import TrainingArguments

    dtype = "bfloat16" if on.bf16 else "float32"
    shared = training_arguments(attempt, recipe, device=on.device, dtype=dtype, evaluate=evaluate)
    own = {
        "num_train_epochs": 1,  # the rows are laid out for all passes, so that a resumed run sees the same batches
        "logging_steps": 10,
        **in_order(attempt, every=every, evaluate=evaluate),
    }
    return TrainingArguments(**{**shared, **own})


def in_order(attempt: Attempt, *, every: int, evaluate: bool) -> dict[str, Any]:
    """Arguments for an encoder whose rows were laid out for all passes: as they come, checkpoints `every` steps."""
    return {
        "weight_decay": 0.01,
        "per_device_eval_batch_size": attempt.batching.size * 2,
        "train_sampling_strategy": "sequential",
        "save_strategy": "steps",
        "save_steps": every,
        "eval_strategy": "steps" if evaluate else "no",
        "eval_steps": every,
        "prediction_loss_only": True,
        "dataloader_pin_memory": False,
    }


def laid_out(lengths: Sequence[int], *, size: int, epochs: int, seed: int) -> list[int]:
    """The order in which rows are seen over all passes: shuffled, with rows of about one length beside one another.

    Sorted by length within pools of fifty batches, whose batches are then shuffled: little is padded, and neighbours
    still differ between passes.
    """
    rng = random.Random(seed)
    order: list[int] = []
    for _ in range(epochs):
        rows = list(range(len(lengths)))
        rng.shuffle(rows)
        pools = [sorted(rows[at : at + 50 * size], key=lambda i: lengths[i]) for at in range(0, len(rows), 50 * size)]
        for pool in pools:
            batches = [pool[at : at + size] for at in range(0, len(pool), size)]
            rng.shuffle(batches)
            order += [row for batch in batches for row in batch]
    return order


def _targets(targets: str | Sequence[str]) -> Sequence[str]:
    """BERT's names of the layers to adapt."""
    if targets == "all-linear":
        return ["query", "key", "value", "dense"]
    if isinstance(targets, str):
        raise DataError(f"tuning.lora.targets is {targets!r}: a reader takes all-linear, or a list of layer names")
    return targets


def _dataset(rows: Sequence[EncodedSpan]) -> Any:
    from datasets import Dataset

    return Dataset.from_dict(
        {
            "input_ids": [row.ids for row in rows],
            "start_positions": [row.first for row in rows],
            "end_positions": [row.last for row in rows],
        }
    )


def _collate(batch: list[dict[str, Any]]) -> dict[str, Any]:
    """Rows of one batch as tensors (batch, longest), padded at the end to a multiple of `_STEP` tokens."""
    import torch

    longest = -(-max(len(row["input_ids"]) for row in batch) // _STEP) * _STEP
    sizes = [len(row["input_ids"]) for row in batch]
    made = {
        "input_ids": torch.tensor(
            [row["input_ids"] + [0] * (longest - n) for row, n in zip(batch, sizes, strict=True)]
        ),
        "attention_mask": torch.tensor([[1] * n + [0] * (longest - n) for n in sizes]),
    }
    for name in ("start_positions", "end_positions"):
        made[name] = torch.tensor([row[name] for row in batch])
    return made

"""What the three trainings of encoders share: layers to adapt, batches of about one length, the trainer itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from groundtone.errors import ModelError
from groundtone.models.adapter import AdapterCard
from groundtone.models.classifier_base import EncoderBase, Fresh, Task, pad
from groundtone.models.classifier_format import ENCODER_FORMAT_VERSION
from groundtone.models.weights import weights_sha256
from tuning.engine import Attempt, Finished, run_training, training_arguments
from tuning.lora import Lora, keep_start, lora_config
from tuning.plan import Plan
from tuning.recipe import Recipe
from tuning.rows import IGNORED
from tuning.saving import save_adapter, save_whole
from tuning.span import in_order, laid_out

__all__ = ["EncodedRow", "Loss", "card_of", "fit_encoder"]

CHECKPOINT_STEPS = 500  # between checkpoints, where a pass over the data takes longer
_TASK_TYPES = {"classify": "SEQ_CLS", "tokens": "TOKEN_CLS"}

Target = int | list[int] | list[float]  # a label's number, a label per token, or a weight per label
Loss = Callable[..., Any]  # (outputs, labels, num_items_in_batch) -> a scalar


@dataclass(frozen=True, slots=True)
class EncodedRow:
    """A sequence of tokens and what it should become; `row` is its number in the data as given."""

    ids: list[int]
    types: list[int]
    target: Target
    row: int


def card_of(
    base: EncoderBase,
    rows: Sequence[EncodedRow],
    held: Sequence[EncodedRow],
    *,
    plan: Plan,
    **config: Any,
) -> AdapterCard:
    """The card of a run: base, data and everything that changes the weights. `config` holds plain JSON data."""
    shape = plan.lora.on_card() if plan.lora is not None else {"full": True}
    return AdapterCard(
        base=base.id,
        base_sha256=weights_sha256(base.folder),
        template=ENCODER_FORMAT_VERSION,
        chat_template_sha256="",
        data_sha256=_sha256(rows, held),
        seed=plan.recipe.seed,
        config={**shape, **plan.recipe.on_card(), **config},
    )


def fit_encoder(
    rows: Sequence[EncodedRow],
    held: Sequence[EncodedRow],
    *,
    plan: Plan,
    task: Task,
    base: EncoderBase,
    card: AdapterCard,
    loss: Callable[[str], Loss],
    labels: Sequence[str] = (),
    show: Callable[[Sequence[EncodedRow], list[int]], Any] | None = None,
    trainer: Callable[..., Any] | None = None,
    dropped: Sequence[int] = (),
) -> Finished:
    """Trains the encoder on rows by the plan, with an adapter or whole; `loss` is made for a device.

    Rows of about one length share a batch. `show` makes the data set of rows in an order; by default they are shown as
    they are. `trainer` makes the trainer, by default transformers' own. Raises what `run_training` raises.
    """
    lora, recipe = plan.lora, plan.recipe
    if lora is not None and lora.quantised:
        raise ModelError("tuning.lora.quantised is set: encoders are small, tune them without 4-bit weights")
    order = laid_out([len(row.ids) for row in rows], size=recipe.batch_size, epochs=recipe.epochs, seed=recipe.seed)
    shown = show or (lambda some, at: [some[n] for n in at])

    def build(on: EncoderBase, attempt: Attempt) -> Any:
        from transformers import Trainer

        return (trainer or Trainer)(
            model=_trained_parts(on.new_model(task, labels=labels, dropout=lora is None), lora, task, plan.out_dir),
            args=_arguments(on, attempt, recipe, rows=len(rows), evaluate=bool(held)),
            train_dataset=shown(rows, order),
            eval_dataset=shown(held, list(range(len(held)))) if held else None,
            data_collator=partial(_collate, base=on, per_token=task != "classify"),
            compute_loss_func=loss(on.device),
            callbacks=list(attempt.callbacks),
        )

    return run_training(
        build,
        plan,
        loaded=base,
        reload=lambda: base,  # every attempt makes a new model
        card=card,
        rows=len({row.row for row in rows}),
        dropped=dropped,
        row_numbers={tuple(row.ids): row.row for row in rows},
        save=save_adapter if lora is not None else partial(_save_whole, base=base),
    )


def _arguments(on: EncoderBase, attempt: Attempt, recipe: Recipe, *, rows: int, evaluate: bool) -> Any:
    """transformers' arguments for so many rows, laid out for all passes."""
    from transformers import TrainingArguments

    shared = training_arguments(
        attempt,
        replace(recipe, epochs=1),  # the order has all passes, so that a resumed run sees the same batches
        device=on.device,
        dtype="bfloat16" if on.bf16() else "float32",
        evaluate=evaluate,
    )
    steps = -(-rows // (recipe.batch_size * recipe.accumulate))  # of one pass
    own = {"logging_steps": min(10, steps), "label_names": ["labels"], "remove_unused_columns": False}
    every = min(steps, CHECKPOINT_STEPS)
    return TrainingArguments(**{**shared, **in_order(attempt, every=every, evaluate=evaluate), **own})


def _trained_parts(fresh: Fresh, lora: Lora | None, task: Task, out_dir: Path) -> Any:
    """The model with an adapter on the layers asked for; what the base did not bring is trained and stored whole."""
    if lora is None:
        return fresh.model
    from peft import get_peft_model

    config = lora_config(
        replace(lora, targets="all-linear", layers=None), fresh.model, task_type=_TASK_TYPES.get(task, "CAUSAL_LM")
    )
    if task not in _TASK_TYPES:
        config.task_type = None  # PEFT has no wrapper for masked words, and needs none
    config.target_modules = _targets(fresh, lora)
    whole = {*(config.modules_to_save or ()), *fresh.modules}
    config.modules_to_save = sorted(whole) or None
    model = get_peft_model(fresh.model, config)
    keep_start(model, out_dir)
    return model


def _targets(fresh: Fresh, lora: Lora) -> set[str]:
    """Full names of the linear layers to adapt, without those that are trained whole.

    "all-linear" and "mlp" (what is no part of attention) include the pooler between encoder and head: sentence encoders
    come with one that was never trained. Words' output vectors are left alone. Raises ModelError for unknown names.
    """
    import torch

    linear = [
        name
        for name, module in fresh.model.named_modules()
        if isinstance(module, torch.nn.Linear)
        and module is not fresh.model.get_output_embeddings()
        and not any(f"{name}.".startswith(f"{own}.") for own in fresh.modules)
    ]
    encoder = {name: _layer(name) for name in linear}
    if lora.targets == "all-linear":
        chosen = set(linear)
    elif lora.targets == "mlp":
        chosen = {name for name in linear if not any(part.startswith("att") for part in name.lower().split("."))}
    else:
        wanted = {lora.targets} if isinstance(lora.targets, str) else set(lora.targets)
        chosen = {name for name in linear if name.rsplit(".", 1)[-1] in wanted or name in wanted}
        if unknown := sorted(wanted - chosen - {name.rsplit(".", 1)[-1] for name in chosen}):
            known = sorted({name.rsplit(".", 1)[-1] for name in linear})
            raise ModelError(
                f"tuning.lora.targets {', '.join(unknown)} cannot be adapted: this encoder has {', '.join(known)}"
            )
    if lora.layers is not None:
        depth = 1 + max((layer for layer in encoder.values() if layer is not None), default=-1)
        layers = {layer if layer >= 0 else depth + layer for layer in lora.layers}
        chosen = {name for name in chosen if encoder[name] in layers}
    if not chosen:
        raise ModelError(f"tuning.lora.targets {lora.targets!r} names no layer of this encoder: take all-linear")
    return chosen


def _layer(name: str) -> int | None:
    """The number of the layer that a module is in; None for what is in none."""
    return next((int(part) for part in name.split(".") if part.isdecimal()), None)


def _collate(batch: Sequence[EncodedRow], *, base: EncoderBase, per_token: bool) -> dict[str, Any]:
    """Rows of one batch as tensors (batch, longest); labels of tokens are padded with what the loss ignores."""
    import torch

    shown = pad([row.ids for row in batch], [row.types for row in batch], base=base)
    width = shown["input_ids"].shape[1]
    targets = [
        [*row.target, *[IGNORED] * (width - len(row.ids))] if per_token and isinstance(row.target, list) else row.target
        for row in batch
    ]
    return {**shown, "labels": torch.tensor(targets)}


def _save_whole(model: Any, folder: Path, card: AdapterCard, *, base: EncoderBase) -> Path:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base.folder, trust_remote_code=False)
    return save_whole(model, folder, card, tokenizer=tokenizer, dtype="float32")


def _sha256(*parts: Sequence[EncodedRow]) -> str:
    """SHA-256 over tokens and targets of the given lists of rows, order included."""
    total = hashlib.sha256()
    for rows in parts:
        total.update(b"rows")
        for row in rows:
            total.update(json.dumps([row.ids, row.types, row.target]).encode())
    return total.hexdigest()

"""Continued pretraining: a causal model reads the unlabelled text of a domain, packed into blocks, every token trained.

What it gains is said in bits per byte of documents that it has not read: unlike a loss per token, that compares models
of different vocabularies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from groundtone.errors import DataError
from groundtone.models.adapter import attach
from groundtone.models.weights import Base, load_base
from groundtone.stats import mean_interval, paired_difference
from groundtone.types import Estimate
from tuning.cards import card_of
from tuning.encoder_rows import DocumentRow
from tuning.engine import Attempt, Finished, run_training, training_arguments
from tuning.labelled_loss import trainer_class
from tuning.lora import computes_in, on_card, put_on
from tuning.plan import Plan
from tuning.processes import from_leader, leads
from tuning.rows import Row, as_dataset, rows_sha256
from tuning.saving import saver

__all__ = ["Pretrained", "bits_per_byte", "block_size", "blocks", "pretrain"]

_BLOCK_TOKENS = 512


@dataclass(frozen=True, slots=True)
class Pretrained:
    """A finished training, and what held-out documents cost before and after it, in bits per byte and document."""

    finished: Finished
    before: Estimate | None  # None where nothing was held out
    after: Estimate | None
    change: Estimate | None  # after - before, on the same documents

    def notes(self) -> dict[str, Any]:
        """For a run's manifest."""
        kept = {"before": self.before, "after": self.after, "change": self.change}
        return {"bits_per_byte": {name: asdict(e) for name, e in kept.items() if e is not None} or None}


def pretrain(documents: Sequence[DocumentRow], plan: Plan, *, heldout: Sequence[DocumentRow] = ()) -> Pretrained:
    """Trains on the documents by the plan; a block has `max_length` tokens (512), at most the model's context.

    Losses are means per token. Raises DataError for text that does not fill two tokens, and what `run_training` raises.
    """
    loaded, lora = plan.load(), plan.lora
    size = block_size(loaded, plan.max_length)
    rows, held = (blocks(loaded.tokenizer, some, size=size) for some in (documents, heldout))
    if not rows:
        raise DataError(f"{len(documents)} documents hold no text to learn from: check tuning.data")
    card = card_of(
        loaded,
        data_sha256=rows_sha256(rows, held),
        seed=plan.recipe.seed,
        config={"method": "pretrain", **on_card(lora), **plan.recipe.on_card(), "block_tokens": size},
    )
    before = bits_per_byte(loaded.model, loaded.tokenizer, heldout, window=size) if leads() else []

    def build(on: Base, attempt: Attempt) -> Any:
        from trl import SFTConfig

        shared = training_arguments(
            attempt,
            plan.recipe,
            device=on.device,
            dtype=computes_in(lora, on, mixed=plan.recipe.mixed_precision),
            evaluate=bool(held),
        )
        return trainer_class(on.device)(
            model=on.model,
            args=SFTConfig(**shared, max_length=None),
            train_dataset=as_dataset(rows),
            eval_dataset=as_dataset(held) if held else None,
            processing_class=on.tokenizer,
            peft_config=put_on(lora, on),
            callbacks=list(attempt.callbacks),
        )

    finished = run_training(
        build,
        plan,
        loaded=loaded,
        reload=plan.load,
        card=card,
        rows=len(rows),
        row_numbers={row.ids: row.index for row in rows},
        save=saver(lora, loaded),
    )
    return _compared(finished, plan, heldout, before=before, dtype=loaded.dtype, window=size)


def _compared(
    finished: Finished, plan: Plan, heldout: Sequence[DocumentRow], *, before: list[float], dtype: str, window: int
) -> Pretrained:
    """What the held-out documents cost the stored model; the leader measures for all processes."""
    after: list[float] = []
    if heldout and leads():
        stored = load_base(plan.base if plan.lora else str(finished.adapter), dtype=dtype, device=plan.device)
        model = attach(stored, finished.adapter) if plan.lora else stored.model
        after = bits_per_byte(model, stored.tokenizer, heldout, window=window)
    before, after = from_leader((before, after))
    if not heldout:
        return Pretrained(finished, None, None, None)
    change = paired_difference(after, before, bounds=None)
    return Pretrained(finished, mean_interval(before, bounds=None), mean_interval(after, bounds=None), change)


def block_size(base: Base, wanted: int | None) -> int:
    """Tokens per block: as wanted, or 512; never more than the model reads."""
    return min(n for n in (wanted or _BLOCK_TOKENS, base.context_tokens) if n is not None)


def blocks(tokenizer: Any, documents: Sequence[DocumentRow], *, size: int) -> tuple[Row, ...]:
    """All documents one after the other, each ended by the end token, cut into rows of `size` tokens without overlap.

    The last row is shorter; of a single token it is left out, for nothing could be predicted from it.
    """
    stream: list[int] = []
    for document in documents:
        stream += tokenizer(document.text, add_special_tokens=False, verbose=False)["input_ids"]
        stream.append(tokenizer.eos_token_id if tokenizer.eos_token_id is not None else tokenizer.pad_token_id)
    cut = (tuple(stream[at : at + size]) for at in range(0, len(stream), size))
    return tuple(Row(number, ids, 0) for number, ids in enumerate(cut) if len(ids) > 1)


def bits_per_byte(model: Any, tokenizer: Any, documents: Sequence[DocumentRow], *, window: int) -> list[float]:
    """What each document costs: -log2 of its probability over its UTF-8 bytes, read in windows of so many tokens.

    A window begins with the last token of the one before, so that every token is predicted once; the first one from
    the token that begins or ends texts.
    """
    import torch
    from torch.nn.functional import cross_entropy

    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    model.eval()
    costs = []
    with torch.inference_mode():
        for document in documents:
            ids = tokenizer(document.text, add_special_tokens=False, verbose=False)["input_ids"]
            ids = [start if start is not None else tokenizer.pad_token_id, *ids]
            nats = 0.0
            for at in range(0, len(ids) - 1, window - 1):
                part = torch.tensor([ids[at : at + window]], device=model.device)
                logits = model(input_ids=part, use_cache=False).logits[0, :-1].float()
                nats += float(cross_entropy(logits, part[0, 1:], reduction="sum"))
            costs.append(nats / math.log(2) / len(document.text.encode()))
    return costs

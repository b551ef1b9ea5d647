"""Method mlm: an encoder learns the language of a domain from its documents by guessing hidden words.

Whole words are hidden (arXiv:1906.08101), documents fill blocks, and held-out documents are measured before and after.
The result is an encoder like any other in the run's folder `encoder`, to be the base of the next tuning.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundtone.errors import DataError
from groundtone.models.classifier import load_tuned
from groundtone.models.classifier_base import EncoderBase, load_encoder_base, pad
from groundtone.stats import mean_interval, paired_difference
from groundtone.types import Estimate
from tuning.encoder_rows import DocumentRow
from tuning.encoder_trainer import EncodedRow, card_of, fit_encoder
from tuning.engine import Finished
from tuning.mlm_blocks import Blocks, Masked, Masking, blocks_of
from tuning.plan import Plan
from tuning.rows import IGNORED
from tuning.scores import ArmScores, Scores

__all__ = ["TunedEncoderBase", "train_words"]

_BLOCK_TOKENS = 128
_BATCH = 16
_MOST_GUESSES = 256  # tokens that are hidden one at a time
_MOST_BLOCKS = 256  # held-out blocks that are measured


@dataclass(frozen=True, slots=True)
class TunedEncoderBase:
    """A finished training, the encoder it made, and its figures on held-out documents; None where there were none."""

    finished: Finished
    encoder: Path
    scores: Scores | None


def train_words(
    documents: Sequence[DocumentRow],
    plan: Plan,
    *,
    heldout: Sequence[DocumentRow] = (),
    mask_share: float = 0.15,
) -> TunedEncoderBase:
    """Trains on documents by the plan; its folder gets scores.json and scores.md too. A block has `plan.max_length`
    tokens, by default 128.

    Losses are means per hidden token. Raises DataError for documents without two words, ModelError for a base that is
    no encoder or has no mask token, and what `run_training` raises.
    """
    loaded = load_encoder_base(plan.base, device=plan.device)
    size = min(plan.max_length or _BLOCK_TOKENS, loaded.context_tokens)
    blocks = blocks_of(loaded, documents, max_tokens=size, packed=True)
    held = blocks_of(loaded, heldout, max_tokens=size, packed=False)
    if not blocks.rows or (heldout and not held.rows):
        raise DataError(f"{len(documents)} documents and {len(heldout)} held out hold no text of two words: give more")
    masking = Masking.of(loaded, share=mask_share, seed=plan.recipe.seed)
    card = card_of(loaded, blocks.rows, held.rows, plan=plan, method="mlm", mask_share=mask_share, max_tokens=size)
    finished = fit_encoder(
        blocks.rows,
        held.rows[:_MOST_BLOCKS],
        plan=plan,
        task="mlm",
        base=loaded,
        card=card,
        loss=lambda _: _loss,
        show=lambda rows, order: Masked(rows, order, masking),
        trainer=_trainer,
    )
    tuned = load_tuned(finished.adapter, "mlm", base=plan.base, device=plan.device)
    encoder = _save(tuned.model, loaded, plan.out_dir / "encoder")
    scores = _measured(tuned.model, loaded, held, masking) if heldout else None
    if scores is not None:
        scores.write(plan.out_dir)
    return TunedEncoderBase(finished, encoder, scores)


def _trainer(model: Any, **given: Any) -> Any:
    """A Trainer whose head guesses at hidden places alone: the words' matrix is most of a small encoder's work."""
    from transformers import Trainer

    chosen: list[Any] = []

    def only_hidden(_module: Any, _given: Any, output: Any) -> Any:
        if chosen:
            output["last_hidden_state"] = output[0][chosen[-1]][None]  # (1, hidden tokens, dim)
        return output

    whole = model.get_base_model() if _wrapped(model) else model
    whole.base_model.register_forward_hook(only_hidden)

    class HiddenOnly(Trainer):  # type: ignore[misc]
        """Defined late: its base class needs transformers."""

        def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
            chosen.append(inputs["labels"] != IGNORED)
            try:
                return super().compute_loss(model, inputs, *args, **kwargs)
            finally:
                chosen.clear()

    return HiddenOnly(model=model, **given)


def _wrapped(model: Any) -> bool:
    """Whether PEFT wraps the model."""
    from peft import PeftModel

    return isinstance(model, PeftModel)


def _loss(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> Any:
    from torch.nn.functional import cross_entropy

    wanted = labels[labels != IGNORED]
    total = cross_entropy(outputs["logits"].flatten(0, 1).float(), wanted, reduction="sum")
    return total / (len(wanted) if num_items_in_batch is None else num_items_in_batch)


def _save(model: Any, base: EncoderBase, folder: Path) -> Path:
    """The encoder with the head for words, whole or not at all."""
    from transformers import AutoTokenizer

    fresh = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    model.save_pretrained(str(fresh))
    AutoTokenizer.from_pretrained(base.folder, trust_remote_code=False).save_pretrained(str(fresh))
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(fresh, folder)
    return folder


def _measured(tuned: Any, base: EncoderBase, held: Blocks, masking: Masking) -> Scores:
    """Losses on the same hidden words before and after, and with one token hidden at a time."""
    import torch

    rows, documents = held.rows[:_MOST_BLOCKS], [str(n) for n in held.documents[:_MOST_BLOCKS]]
    hidden = [masking.hide(row, place=place) for place, row in enumerate(rows)]
    single, keys = _one_at_a_time(rows, documents, masking.mask_id)
    torch.manual_seed(masking.seed)
    fresh = base.new_model("mlm")
    arms, losses = [], []
    of_tokens = [key for row, key in zip(hidden, documents, strict=True) for t in _labels(row) if t != IGNORED]
    for name, model in (("tuned", tuned), ("base", fresh.model.eval())):
        nats = _nats(model, base, hidden)
        alone = mean_interval(_nats(model, base, single), clusters=keys, bounds=None)
        losses.append(nats)
        overall = {
            "masked loss (nats per token)": mean_interval(nats, clusters=of_tokens, bounds=None),
            "pseudo-perplexity": _exp(alone),
        }
        arms.append(ArmScores(name, overall, {}))
    change = paired_difference(losses[0], losses[1], clusters=of_tokens, bounds=None)
    first = ArmScores("tuned", {**arms[0].overall, "masked loss, tuned - base": change}, {})
    notes = [
        f"pseudo-perplexity: exp of the mean loss of {len(single)} tokens, hidden one at a time (arXiv:1910.14659)",
        *(
            [f"the base brings no {', '.join(fresh.modules)}: its figures are those of a random one"]
            * bool(fresh.modules)
        ),
    ]
    return Scores("mlm", len(set(documents)), (first, arms[1]), notes=tuple(notes))


def _one_at_a_time(
    rows: Sequence[EncodedRow], documents: Sequence[str], mask_id: int
) -> tuple[list[EncodedRow], list[str]]:
    """Copies of blocks with a single token hidden, spread evenly over all of them."""
    places = [(n, at) for n, row in enumerate(rows) for at, word in enumerate(_labels(row)) if word >= 0]
    taken = places[:: max(1, -(-len(places) // _MOST_GUESSES))]
    made = []
    for n, at in taken:
        ids, targets = list(rows[n].ids), [IGNORED] * len(rows[n].ids)
        targets[at], ids[at] = ids[at], mask_id
        made.append(EncodedRow(ids, rows[n].types, targets, rows[n].row))
    return made, [documents[n] for n, _ in taken]


def _nats(model: Any, base: EncoderBase, rows: Sequence[EncodedRow]) -> list[float]:
    """The loss of every hidden token, row by row."""
    import torch
    from torch.nn.functional import cross_entropy

    nats: list[float] = []
    for at in range(0, len(rows), _BATCH):
        batch = rows[at : at + _BATCH]
        shown = pad([row.ids for row in batch], [row.types for row in batch], base=base)
        width = shown["input_ids"].shape[1]
        labels = torch.tensor([[*_labels(row), *[IGNORED] * (width - len(row.ids))] for row in batch])
        with torch.inference_mode():
            logits = model(**{name: tensor.to(base.device) for name, tensor in shown.items()}).logits.cpu()
        chosen = labels != IGNORED
        nats += cross_entropy(logits[chosen].float(), labels[chosen], reduction="none").tolist()
    return nats


def _labels(row: EncodedRow) -> list[int]:
    assert isinstance(row.target, list)
    return [int(value) for value in row.target]


def _exp(nats: Estimate) -> Estimate:
    def raised(value: float | None) -> float | None:
        return None if value is None else math.exp(value)

    return Estimate(raised(nats.mean), raised(nats.low), raised(nats.high), nats.n, nats.missing)

"""Preference tuning: the voice learns from which of two replies people would send (DPO, ORPO), or from thumbs (KTO).

TRL's trainers on rows that are tokenized here, by the code that serves. The reference that DPO and KTO hold the voice
to is the base itself, the adapter off; ORPO needs none. What surrounds the trainer is `tuning.engine`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeVar

from groundtone.errors import DataError, ModelError
from groundtone.models.chat_format import ChatFormat
from groundtone.models.weights import Base
from groundtone.types import Preference
from tuning.cards import card_of
from tuning.engine import Attempt, Finished, run_training, training_arguments
from tuning.lora import adapter_of, lora_config, require_base
from tuning.odds_ratio import odds_ratio_trainer
from tuning.plan import Plan
from tuning.preference_rows import (
    ChoiceRow,
    Choices,
    Sides,
    Thumb,
    ThumbRow,
    Thumbs,
    both_sides,
    choices_of,
    refuse_grouping,
    reply_ids,
    thumb_rows,
)
from tuning.rows import Row, render, rows_sha256

__all__ = ["FIGURES", "Taste", "handed_rows", "train_on_choices", "train_on_thumbs"]

FIGURES = tuple(  # of the trainers' logs, for metrics.jsonl; rewards are beta x log(policy / reference)
    f"{when}{name}"
    for when in ("", "eval_")
    for name in ("rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies", "logps/chosen", "kl")
)
C = TypeVar("C", Choices, Thumbs)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Taste:
    """How preferences are turned into a loss; the fields of the `tuning.preference` section."""

    beta: float = 0.1
    loss: tuple[str, ...] = ()  # () is the method's own
    loss_weights: tuple[float, ...] = ()

    def on_card(self) -> dict[str, Any]:
        """What an adapter's card says of it."""
        return {"beta": self.beta, "loss": list(self.loss), "loss_weights": list(self.loss_weights)}


_PLAIN_TASTE = Taste()


def train_on_choices(
    preferences: Sequence[Preference],
    plan: Plan,
    *,
    method: Literal["dpo", "orpo"],
    taste: Taste = _PLAIN_TASTE,
    heldout: Sequence[Preference] = (),
    drop_unsound: bool = False,
) -> Finished:
    """An adapter under which the chosen replies are likelier than the rejected ones.

    `taste.loss` may combine TRL's losses for dpo, such as sigmoid (DPO's) and sft (its likelihood of the chosen
    reply), with `loss_weights`. Raises DataError for rows that cannot teach (see `choices_of`), and what `run_training`
    raises.
    """
    lora = adapter_of(plan.lora, f"method {method}")
    refuse_grouping(plan.recipe, method)
    if method == "dpo":
        require_base(lora, method)
    loaded = plan.load()
    sides = _read(choices_of, loaded, preferences, heldout, plan=plan, drop_unsound=drop_unsound)
    found, held = sides.found, sides.held

    def build(on: Base, attempt: Attempt) -> Any:
        from trl import DPOConfig, DPOTrainer

        arguments = DPOConfig(
            **_shared(on, attempt, plan, sides),
            loss_type=list(taste.loss or ("sigmoid",)),
            loss_weights=list(taste.loss_weights) or None,
            beta=taste.beta,
        )
        return handed_rows(DPOTrainer if method == "dpo" else odds_ratio_trainer())(
            model=on.model,
            args=arguments,
            train_dataset=_choices_dataset(found.rows),
            eval_dataset=_choices_dataset(held.rows) if held else None,
            processing_class=on.tokenizer,
            peft_config=lora_config(lora, on.model, tokenizer=on.tokenizer),
            callbacks=list(attempt.callbacks),
        )

    parts = [found.chosen, found.rejected, *([held.chosen, held.rejected] if held else [])]
    return _run(build, plan, loaded=loaded, found=found, parts=parts, config={"method": method, **taste.on_card()})


def train_on_thumbs(
    thumbs: Sequence[Thumb],
    plan: Plan,
    *,
    taste: Taste = _PLAIN_TASTE,
    heldout: Sequence[Thumb] = (),
    drop_unsound: bool = False,
) -> Finished:
    """An adapter under which wanted replies are likelier than under the base, and unwanted ones less likely (KTO).

    The rarer label weighs more, so that both weigh the same in all (arXiv:2402.01306, equation 8). Raises DataError
    for thumbs of one label only, for rows that cannot teach (see `thumb_rows`) and for batches of a single row: the
    divergence from the base is estimated from the other replies of a batch.
    """
    lora, recipe = adapter_of(plan.lora, "method kto"), plan.recipe
    if recipe.batch_size < 2:
        raise DataError(f"tuning.batch_size is {recipe.batch_size}: kto compares the rows of a batch, set 2 or more")
    refuse_grouping(recipe, "kto")
    require_base(lora, "kto")
    loaded = plan.load()
    sides = _read(thumb_rows, loaded, thumbs, heldout, plan=plan, drop_unsound=drop_unsound)
    found, held = sides.found, sides.held
    up, down = _weights([thumb.good for thumb in found.rows])

    def build(on: Base, attempt: Attempt) -> Any:
        from trl import KTOConfig, KTOTrainer

        batch = attempt.batching.size
        if batch < 2:
            raise ModelError("memory does not suffice for two rows at a time, which kto needs: lower tuning.max_length")
        arguments = KTOConfig(
            # the rows are laid out by batches
            **{**_shared(on, attempt, plan, sides), "train_sampling_strategy": "sequential"},
            loss_type=(taste.loss or ("kto",))[0],
            beta=taste.beta,
            desirable_weight=up,
            undesirable_weight=down,
        )
        return handed_rows(KTOTrainer)(
            model=on.model,
            args=arguments,
            train_dataset=_thumbs_dataset(found.rows, batch=batch, seed=recipe.seed),
            eval_dataset=_thumbs_dataset(held.rows, batch=batch, seed=recipe.seed) if held else None,
            processing_class=on.tokenizer,
            peft_config=lora_config(lora, on.model, tokenizer=on.tokenizer),
            callbacks=list(attempt.callbacks),
        )

    parts = [*found.by_label, *(held.by_label if held else ())]
    return _run(build, plan, loaded=loaded, found=found, parts=parts, config={"method": "kto", **taste.on_card()})


def _read(
    read: Callable[..., C], loaded: Base, rows: Sequence[T], heldout: Sequence[T], *, plan: Plan, drop_unsound: bool
) -> Sides[C]:
    """Both sides in the tokens of serving."""
    tokens = partial(render, ChatFormat(loaded.tokenizer))
    context = loaded.context_tokens
    return both_sides(read, tokens, rows, heldout, plan=plan, context_tokens=context, drop_unsound=drop_unsound)


def _shared(on: Base, attempt: Attempt, plan: Plan, sides: Sides[Any]) -> dict[str, Any]:
    """The arguments that TRL's trainers of preferences share; rows were fitted already and nothing may be cut."""
    evaluate = sides.held is not None
    shared = training_arguments(attempt, plan.recipe, device=on.device, dtype=on.dtype, evaluate=evaluate)
    return {**shared, "max_length": None}


def _run(
    build: Callable[[Base, Attempt], Any],
    plan: Plan,
    *,
    loaded: Base,
    found: Choices | Thumbs,
    parts: Sequence[Sequence[Row]],
    config: Mapping[str, Any],
) -> Finished:
    """Trains on `found`; the card names all rows in `parts`, and the method's own `config`."""
    lora = adapter_of(plan.lora, str(config["method"]))
    card = card_of(
        loaded,
        data_sha256=rows_sha256(*parts),
        config={**config, **lora.on_card(), **plan.recipe.on_card()},
        seed=plan.recipe.seed,
    )
    return run_training(
        build,
        plan,
        loaded=loaded,
        reload=plan.load,
        card=card,
        rows=len(found.rows),
        dropped=found.dropped,
        row_numbers=found.numbers,
        also=FIGURES,
    )


def handed_rows(trainer: Any) -> Any:
    """The trainer, taking rows of token ids as they are: TRL would render and tokenize them in its own way."""

    class Handed(trainer):  # type: ignore[misc]
        """Defined late: its base class needs torch."""

        def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
            return dataset

    return Handed


def _choices_dataset(rows: Sequence[ChoiceRow]) -> Any:
    from datasets import Dataset

    return Dataset.from_dict(
        {
            "prompt_ids": [row.prompt_ids for row in rows],
            "chosen_ids": [reply_ids(row.chosen) for row in rows],
            "rejected_ids": [reply_ids(row.rejected) for row in rows],
        }
    )


def _thumbs_dataset(rows: Sequence[ThumbRow], *, batch: int, seed: int) -> Any:
    """Laid out here, for the trainer reads them in order: shuffled, both labels spread evenly over the batches.

    Within a batch every prompt is also paired with the reply of the row before, and the first with the last one's:
    from those KTO estimates how far the voice has moved from the base.
    """
    from datasets import Dataset

    rows = _spread(rows, seed=seed)
    replies = [reply_ids(thumb.row) for thumb in rows]
    batches = [replies[at : at + batch] for at in range(0, len(replies), batch)]
    return Dataset.from_dict(
        {
            "prompt_ids": [list(thumb.row.ids[: thumb.row.prompt_tokens]) for thumb in rows],
            "completion_ids": replies,
            "KL_completion_ids": [reply for part in batches for reply in (part[-1], *part[:-1])],
            "label": [thumb.good for thumb in rows],
        }
    )


def _spread(rows: Sequence[ThumbRow], *, seed: int) -> list[ThumbRow]:
    rng = random.Random(seed)
    places: list[tuple[float, ThumbRow]] = []
    for good in (True, False):
        same = [row for row in rows if row.good is good]
        rng.shuffle(same)
        places += [((n + 0.5) / len(same), row) for n, row in enumerate(same)]
    return [row for _, row in sorted(places, key=lambda place: place[0])]


def _weights(labels: Sequence[bool]) -> tuple[float, float]:
    """How much a thumb up and a thumb down weigh: the commoner one 1, the rarer one as much more as it is rarer."""
    up, down = sum(labels), len(labels) - sum(labels)
    if not up or not down:
        raise DataError(f"{up} of {len(labels)} rows are wanted replies: kto needs wanted and unwanted ones")
    return max(1.0, down / up), max(1.0, up / down)

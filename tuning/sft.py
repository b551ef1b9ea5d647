"""Supervised tuning of a voice: LoRA on pairs of prompt and reply, with TRL's SFTTrainer.

The rows are tokenized here, by the code that serves, and handed over with their labels: the trainer neither renders
nor truncates nor drops anything. What surrounds the trainer is `tuning.engine`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from groundtone.errors import DataError
from groundtone.models.adapter import AdapterCard
from groundtone.models.adapter_files import adapter_sha256
from groundtone.models.chat_format import ChatFormat
from groundtone.models.weights import Base
from groundtone.types import VoicePair
from tuning.cards import card_of
from tuning.engine import Attempt, Finished, run_training, training_arguments
from tuning.guard import Watch, make_guard
from tuning.kl import KlTerm, rows_under
from tuning.labelled_loss import trainer_class
from tuning.lora import computes_in, on_card, put_on
from tuning.plan import Plan
from tuning.replay import mix
from tuning.rows import Fitted, Row, as_dataset, bin_tokens, fit, render, rows_sha256
from tuning.run_folder import adapter_folder, newest_checkpoint
from tuning.saving import saver
from tuning.shared_prompts import sharing
from tuning.versions import Start, check_start, go_on

__all__ = ["Retention", "adapter_folder", "newest_checkpoint", "train"]

_ROUND = 16  # tokens: on a CPU a kernel is compiled and kept for every length that is met in bfloat16


@dataclass(frozen=True, slots=True)
class Retention:
    """What holds a voice to what its base could do; nothing by default."""

    replay: Sequence[VoicePair] = ()  # general rows to draw from
    replay_share: float = 0.0  # of all rows, 0 to 1
    kl: float = 0.0  # weight of the divergence from the base
    kl_rows: Literal["replay", "all"] = "replay"
    watch: Watch | None = None  # stops a training that forgets


_NOTHING = Retention()


def train(
    pairs: Sequence[VoicePair],
    plan: Plan,
    *,
    heldout: Sequence[VoicePair] = (),
    keep: Retention = _NOTHING,
    start: Start | None = None,
) -> Finished:
    """Tunes an adapter, or the whole model, by the plan; `start` is an adapter whose weights are trained on.

    Losses are means per reply token. `recipe.share_prompts` computes what rows of a batch begin alike with once.
    Raises DataError for rows that are too long and for settings that exclude one another, ModelError for a base that
    cannot be loaded or cannot share prompts, or that `start` does not fit, and what `run_training` raises.
    """
    loaded = plan.load()
    chat_format = ChatFormat(loaded.tokenizer)
    limit = plan.limit(loaded.context_tokens)
    mixed = mix(pairs, keep.replay, share=keep.replay_share, seed=plan.recipe.seed)
    fitted = fit(render(chat_format, mixed), limit=limit, drop=plan.drops_long)
    held = fit(render(chat_format, heldout), limit=limit, drop=True).rows if heldout else ()
    card = _card(loaded, plan, keep, data_sha256=rows_sha256(fitted.rows, held), start=start)
    if start is not None:
        check_start(start.folder, card, plan.lora)
    _refuse_together(plan, keep)
    term = _kl_term(keep, fitted.rows, voice_rows=len(pairs))
    training = _Training(plan, fitted, held, limit, card, term, keep.watch, start)
    return run_training(
        training.trainer,
        plan,
        loaded=loaded,
        reload=plan.load,
        card=card,
        rows=len(fitted.rows),
        dropped=[index for index, _ in fitted.dropped],
        row_numbers={row.ids: row.index for row in fitted.rows},
        also=("kl",),
        save=saver(plan.lora, loaded),
    )


@dataclass(frozen=True, slots=True)
class _Training:
    """Everything that a trainer is built from, whatever base and micro-batch an attempt gives it."""

    plan: Plan
    fitted: Fitted
    held: Sequence[Row]
    limit: int | None  # tokens
    card: AdapterCard
    term: KlTerm | None
    watch: Watch | None
    start: Start | None

    def trainer(self, on: Base, attempt: Attempt) -> Any:
        """TRL's trainer on this base."""
        lora, recipe = self.plan.lora, self.plan.recipe
        callbacks = list(attempt.callbacks)
        if self.watch is not None:
            guard = make_guard(self.watch, on, out_dir=attempt.out_dir, card=self.card, checkpoint=attempt.checkpoint)
            callbacks.append(guard)
        collate = sharing(on, self.fitted.rows) if recipe.share_prompts else None
        if self.start is not None and lora is not None:
            model, shape = go_on(lora, on, self.start.folder), None
        else:
            model, shape = on.model, put_on(lora, on)
        return trainer_class(on.device, self.term, shared=recipe.share_prompts)(
            model=model,
            args=self._arguments(on, attempt),
            train_dataset=as_dataset(self.fitted.rows),
            eval_dataset=as_dataset(self.held) if self.held else None,
            data_collator=collate,
            processing_class=on.tokenizer,
            peft_config=shape,
            callbacks=callbacks,
        )

    def _arguments(self, on: Base, attempt: Attempt) -> Any:
        from trl import SFTConfig

        lora, recipe = self.plan.lora, self.plan.recipe
        dtype = computes_in(lora, on, mixed=recipe.mixed_precision)
        shared = training_arguments(
            attempt,
            recipe,
            device=on.device,
            dtype=dtype,
            evaluate=bool(self.held),
        )
        if on.device == "cpu" and dtype == "bfloat16" and not recipe.packing:
            shared["pad_to_multiple_of"] = _ROUND
        # none without packing: rows were fitted already and nothing may be cut
        size = bin_tokens(self.fitted.max_length, limit=self.limit) if recipe.packing else None
        return SFTConfig(**shared, packing=recipe.packing, eval_packing=False, max_length=size)


def _card(loaded: Base, plan: Plan, keep: Retention, *, data_sha256: str, start: Start | None) -> AdapterCard:
    """What the run is made of; what is off is not spelled out, so that cards stay comparable when levers are added."""
    recipe = plan.recipe
    config = {
        **on_card(plan.lora),
        **recipe.on_card(),
        "replay_share": keep.replay_share,
        "packing": recipe.packing,
    }
    if recipe.share_prompts:
        config["share_prompts"] = True
    if keep.kl:
        config |= {"kl": keep.kl, "kl_rows": keep.kl_rows}
    if start is not None:
        config["start_sha256"] = adapter_sha256(start.folder)
    continued_from = start.name if start is not None else ""
    return card_of(loaded, data_sha256=data_sha256, seed=recipe.seed, config=config, continued_from=continued_from)


def _refuse_together(plan: Plan, keep: Retention) -> None:
    """DataError where prompts are to be shared in batches whose rows must stand alone."""
    if plan.recipe.share_prompts and (plan.recipe.packing or keep.kl):
        other = "tuning.packing" if plan.recipe.packing else "tuning.kl"
        raise DataError(f"tuning.share_prompts does not go with {other}: switch one of them off")


def _kl_term(keep: Retention, rows: Sequence[Row], *, voice_rows: int) -> KlTerm | None:
    """The divergence on the replay rows, which follow so many others, or on all; None where its weight is 0."""
    if not keep.kl:
        return None
    under = rows_under(rows, replayed_from=voice_rows if keep.kl_rows == "replay" else 0)
    if not under:
        raise DataError(
            f"tuning.kl is {keep.kl:g} on replay rows, but there are none: set tuning.replay, or tuning.kl_rows to all"
        )
    return KlTerm(keep.kl, under)

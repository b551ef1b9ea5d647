"""Supervised tuning of a voice: LoRA on pairs of prompt and reply, with TRL's SFTTrainer.

The rows are tokenized here, by the code that serves, and handed over with their labels: the trainer neither renders
nor truncates nor drops anything. What surrounds the trainer is `tuning.engine`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from groundtone.errors import DataError
from groundtone.models.adapter_files import adapter_sha256
from groundtone.models.chat_format import ChatFormat
from groundtone.models.weights import Base
from groundtone.types import VoicePair
from tuning.cards import card_of
from tuning.engine import Attempt, Finished, run_training, training_arguments
from tuning.guard import Watch, make_guard
from tuning.kl import KlTerm, rows_under
from tuning.labelled_loss import trainer_class
from tuning.lora import Lora, computes_in, load_for, on_card, put_on
from tuning.recipe import Recipe
from tuning.recorder import Line
from tuning.replay import mix
from tuning.rows import Fitted, Row, as_dataset, fit, render, rows_sha256, shorter
from tuning.run_folder import adapter_folder, newest_checkpoint
from tuning.saving import saver
from tuning.shared_prompts import sharing
from tuning.versions import check_start, go_on

__all__ = ["adapter_folder", "newest_checkpoint", "train"]

_PLAIN_LORA, _PLAIN_RECIPE = Lora(), Recipe()


def train(
    pairs: Sequence[VoicePair],
    *,
    base: str,
    out_dir: Path,
    lora: Lora | None = _PLAIN_LORA,
    recipe: Recipe = _PLAIN_RECIPE,
    heldout: Sequence[VoicePair] = (),
    replay: Sequence[VoicePair] = (),
    replay_share: float = 0.0,
    max_length: int | None = None,
    over_length: str = "refuse",
    packing: bool = False,
    share_prompts: bool = False,
    kl: float = 0.0,
    kl_rows: str = "replay",
    watch: Watch | None = None,
    dtype: str = "auto",
    device: str = "auto",
    start: Path | None = None,
    start_name: str = "",
    resume: bool = False,
    on_step: Callable[[Line], None] | None = None,
) -> Finished:
    """Tunes an adapter, or the whole model where `lora` is None, under `out_dir`.

    `resume=True` goes on from the newest checkpoint of the same rows and settings. Losses are means per reply token.
    `kl` weighs the divergence from the base on the replay rows, or on "all"; `watch` stops a training that forgets.
    `share_prompts` computes what rows of a batch begin alike with once; raises ModelError for a model that cannot.
    `start` is an adapter whose weights are trained on, called `start_name` on the card.
    Raises DataError for rows that are too long, ModelError for a base that cannot be loaded, and what `run_training`
    raises.
    """
    loaded = load_for(lora, base, dtype=dtype, device=device)
    chat_format = ChatFormat(loaded.tokenizer)
    limit = shorter(max_length, loaded.context_tokens)
    mixed = mix(pairs, replay, share=replay_share, seed=recipe.seed)
    fitted = fit(render(chat_format, mixed), limit=limit, drop=over_length == "drop")
    held = fit(render(chat_format, heldout), limit=limit, drop=True).rows if heldout else ()
    card = card_of(
        loaded,
        data_sha256=rows_sha256(fitted.rows, held),
        seed=recipe.seed,
        config={**on_card(lora), **recipe.on_card(), "replay_share": replay_share, "packing": packing}
        | ({"share_prompts": True} if share_prompts else {})
        | ({"kl": kl, "kl_rows": kl_rows} if kl else {})
        | ({"start_sha256": adapter_sha256(start)} if start else {}),
        continued_from=(start_name or start.name) if start else "",
    )
    if start is not None:
        check_start(start, card, lora)
    if share_prompts and (packing or kl):
        other = "tuning.packing" if packing else "tuning.kl"
        raise DataError(f"tuning.share_prompts does not go with {other}: switch one of them off")
    term = _kl_term(kl, fitted.rows, replayed_from=len(pairs) if kl_rows == "replay" else 0)

    def build(on: Base, attempt: Attempt) -> Any:
        from trl import SFTConfig

        pack_into = _bin_tokens(fitted, limit) if packing else None
        arguments = SFTConfig(
            **training_arguments(
                attempt,
                recipe,
                device=on.device,
                dtype=computes_in(lora, on),
                rows=len(fitted.rows),
                evaluate=bool(held),
            ),
            packing=packing,
            eval_packing=False,
            max_length=pack_into,  # none without packing: rows were fitted already and nothing may be cut
        )
        guard = (
            [make_guard(watch, on, out_dir=attempt.out_dir, card=card, checkpoint=attempt.checkpoint)] if watch else []
        )
        collate = sharing(on, fitted.rows) if share_prompts else None
        return trainer_class(on.device, term, shared=share_prompts)(
            model=go_on(lora, on, start) if start and lora else on.model,
            args=arguments,
            train_dataset=as_dataset(fitted.rows),
            eval_dataset=as_dataset(held) if held else None,
            data_collator=collate,
            processing_class=on.tokenizer,
            peft_config=None if start else put_on(lora, on),
            callbacks=[*attempt.callbacks, *guard],
        )

    return run_training(
        build,
        loaded=loaded,
        reload=lambda: load_for(lora, base, dtype=dtype, device=device),
        out_dir=out_dir,
        card=card,
        batching=recipe.batching,
        rows=len(fitted.rows),
        dropped=[index for index, _ in fitted.dropped],
        resume=resume,
        on_step=on_step,
        row_numbers={row.ids: row.index for row in fitted.rows},
        also=("kl",),
        save=saver(lora, loaded),
    )


def _kl_term(weight: float, rows: Sequence[Row], *, replayed_from: int) -> KlTerm | None:
    """The divergence on the rows from that number on; None where its weight is 0."""
    if not weight:
        return None
    under = rows_under(rows, replayed_from=replayed_from)
    if not under:
        raise DataError(
            f"tuning.kl is {weight:g} on replay rows, but there are none: set tuning.replay, or tuning.kl_rows to all"
        )
    return KlTerm(weight, under)


def _bin_tokens(fitted: Fitted, limit: int | None) -> int:
    """How many tokens a packed sequence may have: room for four of the longest rows, inside the limit."""
    return min(limit or 4 * fitted.max_length, 4 * fitted.max_length)

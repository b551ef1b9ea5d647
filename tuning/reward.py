"""A reward model: the base learns one number per reply, higher for what people preferred (Bradley and Terry).

LoRA and a scalar head with TRL's RewardTrainer, on the rows that preference tuning takes. How well it orders pairs that
it never saw is measured after the training, with n and an interval, and written to reward.json in the run's folder.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from groundtone.errors import ModelError
from groundtone.files import write_atomic
from groundtone.models.reward import RewardFormat, RewardModel, load_reward_base
from groundtone.models.weights import Base
from groundtone.prompts import of_pair
from groundtone.stats import mean_interval, wilson_interval
from groundtone.types import Estimate, Preference, VoicePair
from tuning.cards import card_of
from tuning.engine import Attempt, Finished, run_training, training_arguments
from tuning.lora import adapter_of, lora_config
from tuning.plan import Plan
from tuning.preference_rows import ChoiceRow, Choices, both_sides, choices_of, refuse_grouping, reply_pair
from tuning.rows import Row, rows_sha256

__all__ = ["MEASURES", "Ordering", "Rewarding", "ordering", "train_reward_model"]

FIGURES = tuple(f"{when}{name}" for when in ("", "eval_") for name in ("accuracy", "margin", "mean_reward"))
MEASURES = "reward.json"


@dataclass(frozen=True, slots=True)
class Ordering:
    """How well pairs are ordered: the share whose chosen reply scores higher (a tie is a miss), and by how much.

    n is 0 where nothing was held out: not measured. Pairs that the model cannot read whole are `missing`.
    """

    accuracy: Estimate
    margin: Estimate


@dataclass(frozen=True, slots=True)
class Rewarding:
    """A finished reward model and how it orders the held-out pairs."""

    finished: Finished
    heldout: Ordering


def train_reward_model(
    preferences: Sequence[Preference], plan: Plan, *, heldout: Sequence[Preference] = (), drop_unsound: bool = False
) -> Rewarding:
    """Trains by the plan, whose base is a causal model or an encoder. Raises like `train_on_choices`."""
    lora, recipe = adapter_of(plan.lora, "method reward"), plan.recipe
    refuse_grouping(recipe, "reward")
    if lora.quantised or lora.variant == "pissa":
        raise ModelError("a reward model takes neither tuning.lora.quantised nor the variant pissa: leave them out")
    loaded = _fresh(plan)
    tokens, context = _renderer(RewardFormat(loaded)), loaded.context_tokens
    sides = both_sides(
        choices_of, tokens, preferences, heldout, plan=plan, context_tokens=context, drop_unsound=drop_unsound
    )
    found, held = sides.found, sides.held
    card = card_of(
        loaded,
        data_sha256=rows_sha256(found.chosen, found.rejected, *((held.chosen, held.rejected) if held else ())),
        seed=recipe.seed,
        config={"method": "reward", **lora.on_card(), **recipe.on_card()},
    )

    def build(on: Base, attempt: Attempt) -> Any:
        from trl import RewardConfig, RewardTrainer

        arguments = training_arguments(attempt, recipe, device=on.device, dtype=on.dtype, evaluate=held is not None)
        return RewardTrainer(
            model=on.model,
            args=RewardConfig(**arguments, max_length=None),  # rows were fitted already, none may be left out
            train_dataset=_dataset(found.rows),
            eval_dataset=_dataset(held.rows) if held else None,
            processing_class=on.tokenizer,
            peft_config=lora_config(lora, on.model, task_type="SEQ_CLS", tokenizer=on.tokenizer),
            callbacks=list(attempt.callbacks),
        )

    finished = run_training(
        build,
        plan,
        loaded=loaded,
        reload=lambda: _fresh(plan),
        card=card,
        rows=len(found.rows),
        dropped=found.dropped,
        row_numbers=found.numbers,
        also=FIGURES,
    )
    return _measured(finished, plan, _kept(heldout, held))


def _measured(finished: Finished, plan: Plan, kept: Sequence[Preference]) -> Rewarding:
    """The stored model, loaded as it will be used, on the held-out pairs; written into the run's folder."""
    scored = RewardModel.load(
        finished.adapter, base=plan.base, dtype=plan.dtype, device=plan.device, batch_size=plan.recipe.batch_size
    )
    result = Rewarding(finished, ordering(scored, kept))
    told = json.dumps({"schema_version": 1, "heldout": asdict(result.heldout)})
    write_atomic(Path(plan.out_dir) / MEASURES, told + "\n")
    return result


def ordering(model: RewardModel, preferences: Sequence[Preference]) -> Ordering:
    """How the model orders these pairs; each counts as independent."""
    prompts = [of_pair(reply_pair(p, p.chosen)) for p in preferences]
    chosen = model.score(prompts, [p.chosen for p in preferences])
    rejected = model.score(prompts, [p.rejected for p in preferences])
    apart = [None if a is None or b is None else a - b for a, b in zip(chosen, rejected, strict=True)]
    read = [value for value in apart if value is not None]
    accuracy = wilson_interval(sum(value > 0 for value in read), len(read))
    return Ordering(accuracy, mean_interval(apart, bounds=None))


def _fresh(plan: Plan) -> Base:
    from transformers import set_seed

    set_seed(plan.recipe.seed)  # before the head exists
    return load_reward_base(plan.base, dtype=plan.dtype, device=plan.device)


def _renderer(form: RewardFormat) -> Callable[[Sequence[VoicePair]], list[Row]]:
    def rows(pairs: Sequence[VoicePair]) -> list[Row]:
        encoded = [form.encode(of_pair(pair), pair.reply) for pair in pairs]
        return [Row(index, found.ids, found.prompt_tokens) for index, found in enumerate(encoded)]

    return rows


def _kept(heldout: Sequence[Preference], held: Choices | None) -> list[Preference]:
    left_out = set(held.dropped) if held else set()
    return [preference for number, preference in enumerate(heldout) if number not in left_out]


def _dataset(rows: Sequence[ChoiceRow]) -> Any:
    from datasets import Dataset

    return Dataset.from_dict(
        {
            "chosen_ids": [list(row.chosen.ids) for row in rows],
            "rejected_ids": [list(row.rejected.ids) for row in rows],
        }
    )

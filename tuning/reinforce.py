"""Online reinforcement (GRPO, RLOO): the voice writes, rewards judge, and what scored above its group gets likelier.

TRL's trainers on prompts that are tokenized here, by the code that serves. Rewards are handed in: this package knows
no metric. One that cannot judge a reply says None (or NaN): that reply is left out of its group and counted, instead
of passing for a zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from groundtone.errors import DataError
from groundtone.models.chat_format import ChatFormat
from groundtone.models.streaming import finish_text
from groundtone.models.weights import Base
from groundtone.prompts import of_pair
from groundtone.types import VoicePair
from tuning.cards import card_of
from tuning.engine import Attempt, Finished, run_training, training_arguments
from tuning.lora import adapter_of, lora_config, require_base
from tuning.plan import Plan
from tuning.preference_rows import refuse_grouping
from tuning.recipe import Recipe
from tuning.recorder import read_metrics
from tuning.reinforce_trainer import count_from_here, stop_like_serving, trainer_class
from tuning.rows import Row, fit, render, rows_sha256

__all__ = ["Reinforced", "Reward", "Sampling", "reinforce", "weighted"]

_JUDGED = ("reward", "left_out", "completions/mean_length")
_LEARNED = ("reward_std", "frac_reward_zero_std", "kl", "entropy")  # of groups, which held-out prompts do not form


@dataclass(frozen=True, slots=True)
class Reward:
    """One thing to be rewarded. `score` gives a number per (row, reply), higher is better, None where it cannot judge.

    `applies` says of which rows it can speak at all; on others it counts for nothing, which differs from a zero.
    """

    name: str
    score: Callable[[Sequence[VoicePair], Sequence[str]], Sequence[float | None]]
    weight: float = 1.0
    applies: Callable[[VoicePair], bool] = lambda row: True


@dataclass(frozen=True, slots=True)
class Sampling:
    """How replies are drawn and compared; the fields of the `tuning.reinforce` section."""

    algorithm: Literal["grpo", "rloo"] = "grpo"  # arXiv:2402.03300, arXiv:2402.14740
    generations: int = 8  # replies per prompt, compared with one another
    max_new_tokens: int = 96
    temperature: float = 1.0
    beta: float = 0.0  # weight of the divergence from the base

    def on_card(self) -> dict[str, Any]:
        """What an adapter's card says of it."""
        return {
            "method": self.algorithm,
            "generations": self.generations,
            "max_new_tokens": self.max_new_tokens,
            "temperature": self.temperature,
            "beta": self.beta,
        }


@dataclass(frozen=True, slots=True)
class Reinforced:
    """A finished run. `idle` counts the steps whose groups were all rewarded alike: nothing was learned from them."""

    finished: Finished
    idle: int
    left_out: int  # replies that a reward could not judge

    @property
    def warning(self) -> str:
        """What a person should know of the rewards; "" where there is nothing to say."""
        said = []
        if self.idle:
            said.append(
                f"in {self.idle} of {self.finished.steps} steps all replies to each prompt were rewarded alike, so "
                "nothing was learned from them: raise tuning.reinforce.temperature or generations, or use rewards that "
                "tell replies apart"
            )
        if self.left_out:
            said.append(f"{self.left_out} replies could not be judged and were left out")
        return "; ".join(said)


_PLAIN_SAMPLING = Sampling()


def reinforce(
    rows: Sequence[VoicePair],
    plan: Plan,
    *,
    rewards: Sequence[Reward],
    sampling: Sampling = _PLAIN_SAMPLING,
    heldout: Sequence[VoicePair] = (),
) -> Reinforced:
    """An adapter under which replies to the rows' prompts earn more; the rows' own replies are for the rewards to see.

    metrics.jsonl gets the mean of every reward ("rewards/NAME"), of their weighted sum ("reward"), and the replies
    that were left out. The batch is counted in replies: batch_size x accumulate must hold whole groups. Raises
    DataError where it does not, for fewer prompts than one step takes, for prompts that leave no room for a reply, and
    what `run_training` raises.
    """
    lora, recipe = adapter_of(plan.lora, f"method {sampling.algorithm}"), plan.recipe
    refuse_grouping(recipe, sampling.algorithm)
    if sampling.beta:
        require_base(lora, "tuning.reinforce.beta")
    weights = _weights(rewards)
    loaded = plan.load()
    chat_format = ChatFormat(loaded.tokenizer)
    limit = plan.limit(loaded.context_tokens)
    asked, held = _both_asked(chat_format, rows, heldout, limit=limit, plan=plan, sampling=sampling)
    card = card_of(
        loaded,
        data_sha256=rows_sha256(asked.whole, held.whole if held else ()),
        seed=recipe.seed,
        config={**sampling.on_card(), **lora.on_card(), **recipe.on_card(), "rewards": weights},
    )
    judge = _judge(rewards, (*rows, *heldout), stops=chat_format.stops)

    def build(on: Base, attempt: Attempt) -> Any:
        trainer, config = trainer_class(sampling.algorithm, {**asked.tokens, **(held.tokens if held else {})})
        arguments = _arguments(on, attempt, recipe, sampling, evaluate=held is not None)
        stop_like_serving(on, chat_format)
        return trainer(
            model=on.model,
            reward_funcs=[judge],
            args=config(**arguments),
            train_dataset=asked.dataset(),
            eval_dataset=held.dataset() if held else None,
            processing_class=on.tokenizer,
            peft_config=lora_config(lora, on.model, tokenizer=on.tokenizer),
            callbacks=[*attempt.callbacks, count_from_here()],
        )

    judged = (*_JUDGED, *(f"rewards/{name}" for name in weights))
    finished = run_training(
        build,
        plan,
        loaded=loaded,
        reload=plan.load,
        card=card,
        rows=len(asked.texts),
        dropped=asked.dropped,
        also=[*_LEARNED, *judged, *(f"eval_{name}" for name in judged)],
    )
    return _counted(finished)


def _counted(finished: Finished) -> Reinforced:
    """How many steps taught nothing and how many replies were not judged, from the run's own lines."""
    lines = [line for line in read_metrics(finished.adapter.parent) if line["loss"] is not None]
    idle = sum(line.get("frac_reward_zero_std") == 1.0 for line in lines)
    return Reinforced(finished, idle, round(sum(line.get("left_out") or 0 for line in lines)))


def _weights(rewards: Sequence[Reward]) -> dict[str, float]:
    """Their weights by name. Raises DataError for no rewards, and for two of one name."""
    weights = {reward.name: reward.weight for reward in rewards}
    if not rewards or len(weights) < len(rewards):
        raise DataError(f"rewards are {', '.join(r.name for r in rewards) or 'none'}: give one or more, of other names")
    return weights


def _arguments(on: Base, attempt: Attempt, recipe: Recipe, sampling: Sampling, *, evaluate: bool) -> dict[str, Any]:
    """TRL's arguments for so many replies to a prompt."""
    shared = training_arguments(attempt, recipe, device=on.device, dtype=on.dtype, evaluate=evaluate)
    return {
        **shared,
        "num_generations": sampling.generations,
        "num_generations_eval": 1,
        "max_completion_length": sampling.max_new_tokens,
        "temperature": sampling.temperature,
        "beta": sampling.beta,
        "use_vllm": False,
    }


def weighted(
    rewards: Sequence[Reward], rows: Sequence[VoicePair], replies: Sequence[str]
) -> tuple[list[float | None], dict[str, list[float]]]:
    """The weighted sum of the rewards that apply, for each reply, and by name what each reward gave where it applied.

    None where a reward that applies gave None, NaN or an infinity, and where none applies. Raises DataError for a
    reward that judged more or fewer replies than it was shown.
    """
    sums: list[float | None] = [None] * len(rows)
    broken: set[int] = set()
    given: dict[str, list[float]] = {}
    for reward in rewards:
        numbers = [n for n, row in enumerate(rows) if reward.applies(row)]
        values = reward.score([rows[n] for n in numbers], [replies[n] for n in numbers]) if numbers else []
        if len(values) != len(numbers):
            raise DataError(f"reward {reward.name!r} gave {len(values)} values for {len(numbers)} replies")
        for n, value in zip(numbers, values, strict=True):
            if value is None or not math.isfinite(value):
                broken.add(n)
                continue
            given.setdefault(reward.name, []).append(value)
            sums[n] = (sums[n] or 0.0) + reward.weight * value
    return [None if n in broken else value for n, value in enumerate(sums)], given


def _judge(
    rewards: Sequence[Reward], rows: Sequence[VoicePair], *, stops: tuple[str, ...]
) -> Callable[..., list[float | None]]:
    """The rewards as the one function that TRL calls, with the row's number beside every reply."""

    def reward(completions: list[str], number: list[int], log_metric: Any, **_: Any) -> list[float | None]:
        replies = [finish_text(text, stops=stops) for text in completions]
        total, given = weighted(rewards, [rows[n] for n in number], replies)
        for name, values in given.items():
            log_metric(f"rewards/{name}", sum(values) / len(values))
        log_metric("left_out", float(total.count(None)))
        return total

    return reward


@dataclass(frozen=True, slots=True)
class _Asked:
    """Prompts as serving writes them: their texts and numbers, the tokens by text, and the rows with their replies."""

    texts: tuple[str, ...]
    numbers: tuple[int, ...]
    tokens: dict[str, list[int]]
    whole: tuple[Row, ...]
    dropped: tuple[int, ...]  # too long to leave room for a reply

    def dataset(self) -> Any:
        """For TRL, which hands the numbers to the reward."""
        from datasets import Dataset

        return Dataset.from_dict({"prompt": list(self.texts), "number": list(self.numbers)})


def _both_asked(
    chat_format: ChatFormat,
    rows: Sequence[VoicePair],
    heldout: Sequence[VoicePair],
    *,
    limit: int | None,
    plan: Plan,
    sampling: Sampling,
) -> tuple[_Asked, _Asked | None]:
    """The prompts to train on and those held out, whose numbers follow; each leaves room for a reply in the limit."""
    room = None if limit is None else limit - sampling.max_new_tokens
    asked = _ask(chat_format, rows, room=room, drop=plan.drops_long)
    held = _ask(chat_format, heldout, room=room, drop=True, number_from=len(rows)) if heldout else None
    _prompts_per_step(plan.recipe, sampling, len(asked.texts))  # refuses groups that do not fill a step
    return asked, held


def _ask(
    chat_format: ChatFormat, pairs: Sequence[VoicePair], *, room: int | None, drop: bool, number_from: int = 0
) -> _Asked:
    whole = render(chat_format, pairs)
    fitted = fit([replace(row, ids=row.ids[: row.prompt_tokens]) for row in whole], limit=room, drop=drop)
    texts = tuple(chat_format.text(of_pair(pairs[row.index])) for row in fitted.rows)
    return _Asked(
        texts,
        tuple(number_from + row.index for row in fitted.rows),
        {text: list(row.ids) for text, row in zip(texts, fitted.rows, strict=True)},
        whole,
        tuple(index for index, _ in fitted.dropped),
    )


def _prompts_per_step(recipe: Recipe, sampling: Sampling, prompts: int) -> int:
    replies = recipe.batch_size * recipe.accumulate
    if sampling.generations < 2 or replies % sampling.generations:
        raise DataError(
            f"tuning.batch_size x tuning.accumulate is {replies} replies per step: make it a multiple of "
            f"tuning.reinforce.generations, which is {sampling.generations} (2 or more)"
        )
    if prompts < replies // sampling.generations:
        raise DataError(
            f"there are {prompts} prompts, but a step takes {replies // sampling.generations}: give more, or lower "
            "tuning.batch_size"
        )
    return replies // sampling.generations

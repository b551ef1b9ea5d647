"""TRL's online trainers, made to show and to resume what the rest of groundtone does."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from groundtone.models.chat_format import ChatFormat
from groundtone.models.weights import Base

__all__ = ["count_from_here", "stop_like_serving", "trainer_class"]


def trainer_class(algorithm: str, known: Mapping[str, list[int]]) -> tuple[Any, Any]:
    """The trainer and its settings' class; prompts get the tokens of `known`, by their text."""
    from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

    base, config = {"grpo": (GRPOTrainer, GRPOConfig), "rloo": (RLOOTrainer, RLOOConfig)}[algorithm]
    # It would log prompt and reply of everything that no reward could judge, people's documents included.
    logging.getLogger(base.__module__).setLevel(logging.ERROR)

    class Handed(base):  # type: ignore[misc, valid-type]
        """Defined late: its base class needs torch."""

        def _tokenize_prompts(self, prompts: list[str]) -> Any:
            return [known[prompt] for prompt in prompts], None, {}

        def _get_train_sampler(self, dataset: Any = None) -> Any:
            return _AnewEachEpoch(super()._get_train_sampler(dataset), seed=self.args.seed)

    return Handed, config


class _AnewEachEpoch:
    """TRL's sampler, shuffled by seed and epoch: its own order depends on the epochs that one process has seen."""

    def __init__(self, sampler: Any, *, seed: int) -> None:
        self._sampler, self._seed, self._epoch = sampler, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called before each epoch, after a resume with the one that goes on."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        self._sampler.generator.manual_seed(self._seed + self._epoch)
        return iter(self._sampler)

    def __len__(self) -> int:
        return len(self._sampler)


def count_from_here() -> Any:
    """TRL's count of tokens goes on after a resume, but the recorder adds what an earlier attempt has counted."""
    from transformers import TrainerCallback

    class CountFromHere(TrainerCallback):  # type: ignore[misc]
        """Defined late: its base class needs transformers."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            state.num_input_tokens_seen = 0

    return CountFromHere()


def stop_like_serving(base: Base, chat_format: ChatFormat) -> None:
    """A reply ends at the chat template's stop token as well; TRL knows only what the model declares."""
    named = base.model.generation_config.eos_token_id
    several = named if isinstance(named, list) else [named]
    stops = {*several, base.tokenizer.eos_token_id, chat_format.stop_id}
    base.model.generation_config.eos_token_id = sorted(i for i in stops if i is not None)

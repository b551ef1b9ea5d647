"""Whether two models are the same: one writes its replies down, the other is asked the same and compared.

What is written down is small, so the first model can leave memory before the second is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from groundtone.errors import ModelError
from groundtone.models.generate import LocalModel
from groundtone.models.score import log_probabilities
from groundtone.stats import wilson_interval
from groundtone.types import Estimate, Prompt

__all__ = ["CLOSE", "Agreement", "Replay", "agreement", "record"]

CLOSE = 1e-4  # nats per token: far below what changes a greedy choice, above what float32 sums leave


@dataclass(frozen=True, slots=True)
class Replay:
    """A model's greedy replies to prompts, and the log-probability that it gave each of their tokens."""

    model: str
    prompts: tuple[Prompt, ...]
    replies: tuple[str, ...]
    scores: tuple[tuple[float, ...], ...]
    max_new_tokens: int


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far a second model repeats the first: identical replies, and the largest difference of a token."""

    identical: Estimate
    largest_difference: float  # nats

    @property
    def same(self) -> bool:
        """Whether every reply is the same and no token's log-probability differs by more than CLOSE."""
        return self.identical.mean == 1.0 and self.largest_difference <= CLOSE

    def line(self) -> str:
        """The agreement for people, with n and the interval."""
        share = self.identical
        assert share.mean is not None, "a replay has prompts"
        return (
            f"{round(share.mean * share.n)} of {share.n} replies are identical "
            f"[{share.low:.2f}, {share.high:.2f}]; log-probabilities differ by {self.largest_difference:.1e} at most"
        )


def record(model: LocalModel, prompts: Sequence[Prompt], *, max_new_tokens: int = 48) -> Replay:
    """The replies to write down. Raises ModelError without any prompt, for then nothing would be proved."""
    if not prompts:
        raise ModelError("no prompt to replay: give at least one")
    replies = [generation.text for generation in model.generate(prompts, max_new_tokens=max_new_tokens)]
    scores = log_probabilities(model, prompts, replies)
    return Replay(model.name, tuple(prompts), tuple(replies), tuple(map(tuple, scores)), max_new_tokens)


def agreement(before: Replay, model: LocalModel) -> Agreement:
    """Ask `model` the same, and let it score the replies that were written down."""
    replies = [g.text for g in model.generate(before.prompts, max_new_tokens=before.max_new_tokens)]
    same = sum(a == b for a, b in zip(before.replies, replies, strict=True))
    scores = log_probabilities(model, before.prompts, before.replies)
    largest = max(
        (abs(a - b) for row, other in zip(before.scores, scores, strict=True) for a, b in zip(row, other, strict=True)),
        default=0.0,
    )
    return Agreement(wilson_interval(same, len(replies)), largest)

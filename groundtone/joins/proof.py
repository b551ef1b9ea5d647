"""Prompts to replay after an adapter was baked or merged: the project's own, as serving would write them."""

from __future__ import annotations

from eval.suite import read_general, read_questions
from groundtone import prompts
from groundtone.settings import Settings
from groundtone.types import Prompt
from tuning.pairs import read_pairs

__all__ = ["REPLAYED", "replay_prompts"]

REPLAYED = 32


def replay_prompts(settings: Settings, *, n: int = REPLAYED) -> list[Prompt]:
    """At most `n` prompts: held-out pairs of the voice, then the training pairs, then questions and general tasks.

    Spread evenly over each file, for neighbours in a file resemble each other.
    """
    found: list[Prompt] = []
    for named in (settings.eval.voice, settings.tuning.data):
        path = settings.path(named)
        if path.is_file():
            found += _spread([prompts.of_pair(pair) for pair in read_pairs(path)], n - len(found))
    if len(found) < n:
        asked, general = settings.path(settings.eval.questions), settings.path(settings.eval.general)
        questions = [*(read_questions(asked) if asked.exists() else ())]
        questions += [item.question for item in (read_general(general) if general.exists() else ())]
        found += _spread([prompts.closed_book(question.text) for question in questions], n - len(found))
    return found


def _spread(items: list[Prompt], n: int) -> list[Prompt]:
    """At most `n` of the items at even distances, in order."""
    return items if len(items) <= n else [items[i * len(items) // n] for i in range(max(n, 0))]

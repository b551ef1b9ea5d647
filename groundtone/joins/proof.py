"""Prompts to replay after an adapter was baked or merged: the project's own, as serving would write them."""

from __future__ import annotations

from collections.abc import Sequence

from eval.suite import read_general, read_questions
from groundtone import prompts
from groundtone.joins.voice_data import columns_of
from groundtone.settings import Settings
from groundtone.types import Prompt, VoicePair
from tuning.pairs import read_pairs, read_preferences
from tuning.preference_rows import read_thumbs, reply_pair

__all__ = ["REPLAYED", "replay_prompts"]

REPLAYED = 32


def replay_prompts(settings: Settings, *, n: int = REPLAYED) -> list[Prompt]:
    """At most `n` prompts: held-out pairs of the voice, then the training pairs, then questions and general tasks.

    Spread evenly over each file, for neighbours in a file resemble each other. Raises DataError for a broken file.
    """
    voice = settings.path(settings.eval.voice)
    found = _spread(_shown(read_pairs(voice)) if voice.is_file() else [], n)
    found += _spread(_trained(settings), n - len(found))
    if len(found) < n:
        asked, general = settings.path(settings.eval.questions), settings.path(settings.eval.general)
        questions = [*(read_questions(asked) if asked.exists() else ())]
        questions += [item.question for item in (read_general(general) if general.exists() else ())]
        found += _spread([prompts.closed_book(question.text) for question in questions], n - len(found))
    return found


def _trained(settings: Settings) -> list[Prompt]:
    """The prompts of tuning.data as its method reads them; none for a method that is not shown prompts."""
    given = settings.tuning
    path, columns = settings.path(given.data), columns_of(given)
    if not path.is_file():
        return []
    if given.method in ("dpo", "orpo", "reward"):
        return _shown([reply_pair(row, row.chosen) for row in read_preferences(path, columns=columns)])
    if given.method == "kto":
        return _shown([thumb.pair for thumb in read_thumbs(path, columns=columns, label=given.columns.label)])
    return _shown(read_pairs(path, columns=columns)) if given.method in ("sft", "grpo", "rloo") else []


def _shown(pairs: Sequence[VoicePair]) -> list[Prompt]:
    return [prompts.of_pair(pair) for pair in pairs]


def _spread(items: list[Prompt], n: int) -> list[Prompt]:
    """At most `n` of the items at even distances, in order."""
    return items if len(items) <= n else [items[i * len(items) // n] for i in range(max(n, 0))]

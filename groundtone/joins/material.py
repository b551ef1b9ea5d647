"""What an evaluation asks: questions over the documents, edits of them, general tasks, prompts of the voice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from eval.metrics.tone import LEAST_REPLIES, ToneBands, learn_bands
from eval.style import Style
from eval.suite import GeneralItem, read_changes, read_general, read_questions
from groundtone.errors import DataError
from groundtone.files import sha256_text
from groundtone.joins.arms import style_of
from groundtone.joins.retrievers import Edit
from groundtone.joins.voice_data import columns_of
from groundtone.settings import Settings
from groundtone.types import Question, VoicePair
from tuning.pairs import read_pairs

__all__ = ["Material", "first_of_each", "half_of", "in_choosing_half", "learned_bands", "read_material"]


@dataclass(frozen=True, slots=True)
class Material:
    """What is asked: questions over the documents, edits by question id, general tasks, held-out pairs by item id."""

    questions: tuple[Question, ...]
    edits: Mapping[str, Edit]
    general: tuple[GeneralItem, ...]
    heldout: Mapping[str, VoicePair]
    style: Style
    bands: ToneBands | None


def read_material(settings: Settings, *, limit: int | None = None) -> Material:
    """Everything that the configuration names; a file that does not exist is left out, unless nothing is left."""
    questions_path, general_path = settings.path(settings.eval.questions), settings.path(settings.eval.general)
    questions = read_questions(questions_path) if questions_path.exists() else ()
    general = read_general(general_path) if general_path.exists() else ()
    voice_path = settings.path(settings.eval.voice)
    pairs = read_pairs(voice_path) if voice_path.is_file() else ()
    if not questions and not general and not pairs:
        raise DataError(
            f"nothing to ask: there is neither {questions_path} nor {general_path} nor {voice_path}; write question "
            "files (data/README.md shows the format) and name them in the eval section"
        )
    changes = read_changes(questions_path) if questions_path.is_dir() else ()
    return Material(
        questions=tuple(first_of_each(questions, lambda q: q.kind, limit)),
        edits={c.question.id: Edit(c.source, c.quote, c.changed_quote) for c in changes},
        general=tuple(first_of_each(general, lambda item: item.suite, limit)),
        heldout={f"h{i:03d}": pair for i, pair in enumerate(pairs[:limit], 1)},
        style=style_of(settings),
        bands=learned_bands(settings),
    )


def learned_bands(settings: Settings) -> ToneBands | None:
    """The tone of the training replies; None where there are none, or too few to tell a tone."""
    training = settings.path(settings.tuning.data)
    if not training.is_file():
        return None
    replies = [pair.reply for pair in read_pairs(training, columns=columns_of(settings.tuning))]
    return learn_bands(replies) if len(replies) >= LEAST_REPLIES else None


def half_of(material: Material, *, choosing: bool) -> Material:
    """The questions and general items that settings are chosen on, or the others, which a choice is reported on.

    By a hash of the id, so that an item stays on its side whatever else is asked. Held-out prompts stay whole: they
    decide no check of the gate.
    """

    questions = tuple(q for q in material.questions if in_choosing_half(q.id) == choosing)
    general = tuple(item for item in material.general if in_choosing_half(item.question.id) == choosing)
    return replace(material, questions=questions, general=general)


def in_choosing_half(item: str) -> bool:
    """Whether settings are chosen on the question or general item of that id."""
    return sha256_text(item)[0] in "01234567"


def first_of_each(items: Sequence[Any], kind: Callable[[Any], str], limit: int | None) -> Iterator[Any]:
    """The first `limit` items of each kind, in their order; all of them where there is no limit."""
    seen: dict[str, int] = {}
    for item in items:
        seen[kind(item)] = seen.get(kind(item), 0) + 1
        if limit is None or seen[kind(item)] <= limit:
            yield item

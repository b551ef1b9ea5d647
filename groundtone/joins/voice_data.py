"""What a voice is tuned on: the tables that the configuration names, read, split and reported on as one.

The report compares the rows with every prompt that an evaluation asks, so it needs tuning and eval both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from eval.suite import read_general, read_questions
from groundtone.joins.arms import model_id
from groundtone.models.chat_format import ChatFormat
from groundtone.models.weights import load_tokenizer
from groundtone.settings import Settings
from groundtone.types import VoicePair
from tuning.checks import CheckName
from tuning.config import TuningConfig
from tuning.pairs import Columns, read_pairs, read_table
from tuning.replay import read_prompts, read_replay
from tuning.report import DataReport, data_report, levels_of
from tuning.rows import shorter
from tuning.split import sides_of
from tuning.tables import content_sha256, locate

__all__ = ["VoiceData", "columns_of", "read_voice", "report_on", "report_on_choices"]

# of rows whose replies are compared and not imitated: two replies to a prompt contradict one another by design
_OF_CHOICES: tuple[CheckName, ...] = ("in_evaluation", "near_evaluation", "accounts", "personal_data")


@dataclass(frozen=True, slots=True)
class VoiceData:
    """Rows to train on with their places in the file, rows that are held out, and general rows to mix in."""

    pairs: tuple[VoicePair, ...]
    where: tuple[str, ...]
    heldout: tuple[VoicePair, ...]
    replay: tuple[VoicePair, ...]  # their replies are empty where tuning.replay_from is base
    notes: tuple[str, ...]  # what was guessed about columns, and how the rows were split
    inputs: dict[str, str]  # SHA-256 by the name in the configuration
    sources: dict[str, list[str]]  # of each side, where tuning.heldout is a share


def columns_of(given: TuningConfig) -> Columns:
    """The column mapping of the configuration."""
    named = given.columns
    prompt = (named.prompt,) if isinstance(named.prompt, str) else tuple(named.prompt or ())
    return Columns(
        prompt=prompt,
        reply=named.reply or "",
        context=named.context or "",
        source=named.source or "",
        tags=named.tags or "",
        messages=named.messages or "",
        chosen=named.chosen or "",
        rejected=named.rejected or "",
    )


def read_voice(settings: Settings, *, data: Path | None = None) -> VoiceData:
    """Reads `data` or tuning.data, tuning.heldout and tuning.replay_data.

    Raises DataError naming every problem of a file.
    """
    given = settings.tuning
    columns = columns_of(given)
    where = data or locate(given.data, root=settings.root)
    table = read_table(where, columns=columns)
    table = replace(table, where=tuple(place.removeprefix(f"{settings.root}/") for place in table.where))
    inputs = {str(data or given.data): content_sha256(where)}
    voice = VoiceData(table.pairs, table.where, (), (), table.notes, inputs, {})
    if isinstance(given.heldout, float):
        sides = sides_of(table.pairs, table.where, heldout=given.heldout, seed=given.seed)
        told = (
            f"{len(sides.heldout)} of {len(table.pairs)} rows are held out: all of {len(sides.sources['heldout'])} "
            f"sources, none of the other {len(sides.sources['train'])}"
        )
        voice = replace(
            voice,
            pairs=sides.train,
            where=sides.train_where,
            heldout=sides.heldout,
            notes=(*table.notes, told),
            sources=sides.sources,
        )
    elif given.heldout:
        held = read_table(locate(given.heldout, root=settings.root), columns=columns)
        voice = replace(voice, heldout=held.pairs, notes=(*voice.notes, *held.notes))
    if given.replay_data:
        general = locate(given.replay_data, root=settings.root)
        voice = replace(voice, replay=read_prompts(general) if given.replay_from == "base" else read_replay(general))
    return voice


def report_on(settings: Settings, data: VoiceData, *, in_tokens: bool = True) -> DataReport:
    """The data report at the configured levels; `in_tokens` also looks at the rows as the model will see them."""
    given = settings.tuning
    levels = levels_of(given.data_checks, given.check_levels)
    if given.over_length == "drop":
        levels["too_long"] = "report" if levels["too_long"] == "refuse" else levels["too_long"]
    chat_format, limit = None, given.max_length
    if in_tokens:
        words = load_tokenizer(model_id(settings))
        chat_format = ChatFormat(words.tokenizer)
        limit = shorter(given.max_length, words.context_tokens)
    return data_report(
        data.pairs,
        where=data.where,
        heldout=data.heldout,
        evaluation=_asked(settings),
        chat_format=chat_format,
        limit=limit,
        levels=levels,
        notes=data.notes,
    )


def report_on_choices(settings: Settings, pairs: Sequence[VoicePair]) -> DataReport:
    """What holds of any row, whatever its reply is for: no question of the evaluation, no personal data."""
    given = settings.tuning
    levels = levels_of(given.data_checks, given.check_levels)
    levels = {check: level if check in _OF_CHOICES else "off" for check, level in levels.items()}
    return data_report(pairs, evaluation=_asked(settings), levels=levels)


def _asked(settings: Settings) -> dict[str, list[str]]:
    """The prompts of every evaluation file that is there, by what the configuration calls it."""
    asked: dict[str, list[str]] = {}
    questions, general = settings.path(settings.eval.questions), settings.path(settings.eval.general)
    voice = settings.path(settings.eval.voice)
    if questions.exists():
        asked["eval.questions"] = [question.text for question in read_questions(questions)]
    if general.exists():
        asked["eval.general"] = [item.question.text for item in read_general(general)]
    if voice.is_file() and settings.eval.voice != settings.tuning.heldout:
        asked["eval.voice"] = [pair.prompt for pair in read_pairs(voice)]
    return asked

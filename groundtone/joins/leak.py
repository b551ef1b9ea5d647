"""The leak test of a project: the prompts of the rows that an adapter was trained on, asked without any document."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from eval.leak import ARMS, CANARY, Unasked, leak_item, recital
from eval.runner import run
from groundtone.errors import UserError
from groundtone.files import sha256_text
from groundtone.joins.arms import Models
from groundtone.joins.facts import house_phrases, prepare
from groundtone.joins.given import GivenContext
from groundtone.joins.history import lineage, parents_of
from groundtone.joins.raft import like_runtime
from groundtone.joins.voice_data import VoiceData, read_voice
from groundtone.project import Manifest, Project
from groundtone.settings import Settings
from groundtone.types import Answerer, EvalRecord, Question, VoicePair
from tuning.config import TuningConfig
from tuning.facts import check_facts

__all__ = ["LeakMaterial", "ask_leak", "data_of", "items_of", "leak_material"]

Progress = Callable[[str, int, int], None]
_NAMED = ("data", "columns", "heldout", "seed", "facts", "raft")  # what decides which rows a run was trained on


@dataclass(frozen=True, slots=True)
class LeakMaterial:
    """The items to ask; where there are none, `unasked` says why."""

    questions: tuple[Question, ...]
    unasked: Unasked | None = None


def leak_material(project: Project, settings: Settings, *, tuned: str | None, limit: int | None = None) -> LeakMaterial:
    """Items from the rows that `tuned`, and every run that went into it, were trained on.

    At most `limit` and eval.leak_rows items, drawn by a hash so that each repeats. Rows are read from the files that
    the runs name; one that changed since is no witness any more.
    """
    if tuned is None:
        return LeakMaterial((), Unasked("no tuning run of this project was measured"))
    try:
        pairs = [pair for manifest in lineage(project, tuned) for pair in _trained_on(project, settings, manifest)]
    except UserError as error:
        return LeakMaterial((), Unasked(f"the rows behind {tuned} could not be read: {error}"))
    items = items_of(pairs, house=house_phrases(settings))
    if not items:
        why = f"no reply of the {len(pairs)} training rows holds a value that its prompt does not"
        return LeakMaterial((), Unasked(why, nothing=True))
    most = min((n for n in (limit, settings.eval.leak_rows) if n is not None), default=len(items))
    planted = sorted((q for q in items if q.id.startswith(CANARY)), key=lambda q: q.id)
    others = sorted((q for q in items if not q.id.startswith(CANARY)), key=lambda q: sha256_text(q.id))
    return LeakMaterial((*planted, *others)[:most])


def items_of(pairs: Sequence[VoicePair], *, house: Sequence[str] = ()) -> list[Question]:
    """An item for every row whose reply holds values that its prompt and history do not, each item once.

    `house` are the fixed phrases of the style. Passages are left out of sight: what they hold is what could be learned.
    """
    closed = [replace(pair, context=()) for pair in pairs]
    values: dict[int, list[str]] = defaultdict(list)
    for finding in check_facts(closed, house=house, looked_up=False).findings:
        if finding.fact.text not in values[finding.row]:
            values[finding.row].append(finding.fact.text)
    made = (
        leak_item(
            Question("", pairs[row].prompt, pairs[row].history),
            found,
            source=pairs[row].source,
            reply=pairs[row].reply,
            canary=CANARY in pairs[row].tags,
        )
        for row, found in values.items()
    )
    return list({item.id: item for item in made}.values())


def data_of(project: Project, settings: Settings, manifest: Manifest) -> VoiceData | None:
    """The rows of one run as its files hold them, with their places; None for one that was made of others.

    Raises a UserError where they can no longer be had.
    """
    return _then(project, settings, manifest)[1]


def _trained_on(project: Project, settings: Settings, manifest: Manifest) -> Sequence[VoicePair]:
    """The rows of one run as they were trained. Raises a UserError where they can no longer be had."""
    then, data = _then(project, settings, manifest)
    if data is None:
        return ()
    if then.tuning.facts in ("mask", "randomise"):
        return prepare(project, then, like_runtime(project, then, data.pairs).pairs).pairs
    return data.pairs


def _then(project: Project, settings: Settings, manifest: Manifest) -> tuple[Settings, VoiceData | None]:
    """The settings that decided which rows a run was trained on, and its files' rows."""
    notes = manifest.notes
    if "combined_from" in notes and len(parents_of(manifest)) < len(notes["combined_from"]):
        raise UserError(f"{manifest.id} was combined with an adapter from outside of this project")
    _check_kept(project, manifest)
    if "combined_from" in notes or "baked_from" in notes:
        return settings, None  # its parents were trained, and are read themselves
    if "continued_from" in notes and not parents_of(manifest):
        raise UserError(f"{manifest.id} went on from an adapter from outside of this project")
    given = manifest.resolved.get("tuning") or {}
    try:
        tuning = TuningConfig.model_validate({name: given[name] for name in _NAMED if name in given})
    except ValidationError as error:
        count = error.error_count()
        raise UserError(f"{manifest.id} was tuned by another version of groundtone ({count} fields)") from error
    if isinstance(tuning.heldout, str):  # a file of its own takes no row away
        tuning = tuning.model_copy(update={"heldout": None})
    then = replace(settings, tuning=tuning)
    data = read_voice(then)
    changed = [name for name, sha in data.inputs.items() if manifest.inputs.get(name) != sha]
    if changed:
        raise UserError(f"{changed[0]} is not the file any more that {manifest.id} was tuned on")
    return then, data


def _check_kept(project: Project, manifest: Manifest) -> None:
    for parent in parents_of(manifest):
        project.run_path(parent)


def ask_leak(
    settings: Settings, material: LeakMaterial, models: Models, *, out_dir: Path, progress: Progress
) -> list[EvalRecord]:
    """The items under base and tuned, without documents; nothing where either cannot speak for itself."""
    if not material.questions or models.tuned is None:
        return []
    arms: dict[str, Answerer] = {
        name: GivenContext(
            name,
            generator=generator,
            contexts={},
            max_new_tokens=settings.eval.max_new_tokens,
            batch_size=settings.eval.batch_size,
        )
        for name, generator in zip(ARMS, (models.base, models.tuned), strict=True)
    }
    return run(
        arms,
        material.questions,
        evidence=lambda _: (),
        out_dir=out_dir,
        metrics={"recital": recital},
        batch_size=settings.eval.batch_size,
        progress=progress,
    )

"""Keeps what became training data out of the evaluation: reviewed items by id, and every taught prompt by its text."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pydantic import ValidationError

from groundtone.errors import UserError
from groundtone.feedback import Feedback, TrainingRows
from groundtone.joins.history import lineage
from groundtone.joins.material import Material
from groundtone.joins.voice_data import read_voice
from groundtone.project import Manifest, Project
from groundtone.settings import Settings
from groundtone.text import normalise
from groundtone.types import short_hash
from tuning.config import TuningConfig

__all__ = ["Taught", "taught_by", "text_key", "without_taught"]

VOTES = "votes"  # as a run's tuning.data; any vote may have been accepted, so that none is asked


@dataclass(frozen=True, slots=True)
class Taught:
    """Ids of reviewed items and hashes of prompts that a model was trained on; `unread`, the runs that cannot tell."""

    ids: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()
    unread: tuple[str, ...] = ()


def text_key(prompt: str) -> str:
    """The hash of a prompt that spaces, case and outer punctuation do not change."""
    return short_hash("prompt", normalise(prompt))


def taught_by(project: Project, settings: Settings, tuned: str | None) -> Taught:
    """What `tuned`, and every run that went into it, was trained on, as far as its files still tell."""
    feedback = Feedback(project.feedback_path)
    ids: set[str] = set()
    texts: set[str] = set()
    unread = []
    for manifest in lineage(project, tuned) if tuned else ():
        ids |= _reviewed(feedback, manifest)
        try:
            texts |= {text_key(prompt) for prompt in _prompts(feedback, settings, manifest)}
        except (UserError, ValidationError):  # a file that is gone, a table of another kind, an older version
            unread.append(manifest.id)
    return Taught(frozenset(ids), frozenset(texts), tuple(unread))


def _reviewed(feedback: Feedback, manifest: Manifest) -> set[str]:
    """The items behind the rows of a file that this run read, or behind the votes where it was tuned on those."""
    said = [(v.person, v.time, v.about) for v in feedback.votes()]
    voted = said if (manifest.resolved.get("tuning") or {}).get("data") == VOTES else []
    found = {str(about["item"]) for _, _, about in voted if about.get("item")}
    said = said + [(one.verdict.person, one.verdict.time, one.about) for one in feedback.judged(latest=False)]
    rows = TrainingRows(feedback)
    read = {line for file in rows.exports() if file.sha256 in manifest.inputs.values() for line in file.lines}
    origins = {(o.person, o.time) for row in rows.listed() if row.id in read for o in row.origins}
    return found | {
        str(about["item"]) for person, when, about in said if (person, when) in origins and about.get("item")
    }


def _prompts(feedback: Feedback, settings: Settings, manifest: Manifest) -> list[str]:
    """The prompts of one run's rows. Raises UserError or ValidationError where they can no longer be had."""
    given = manifest.resolved.get("tuning") or {}
    if "baked_from" in manifest.notes or "combined_from" in manifest.notes:
        return []  # its parents were trained, and are read themselves
    if given.get("data") == VOTES:
        return [preference.prompt for preference in feedback.preferences()]
    named = {name: given[name] for name in ("data", "columns", "heldout", "seed") if name in given}
    if isinstance(named.get("heldout"), str):  # a file of its own takes no row away
        named["heldout"] = None
    then = replace(settings, tuning=TuningConfig.model_validate(named))
    return [pair.prompt for pair in read_voice(then).pairs]


def without_taught(material: Material, taught: Taught) -> tuple[Material, tuple[str, ...]]:
    """The material without questions and held-out prompts that were trained on, and the ids of those."""

    def known(item: str, prompt: str) -> bool:
        return item in taught.ids or text_key(prompt) in taught.texts

    questions = tuple(q for q in material.questions if not known(q.id, q.text))
    heldout = {item: pair for item, pair in material.heldout.items() if not known(item, pair.prompt)}
    out = [q.id for q in material.questions if known(q.id, q.text)]
    out += [item for item in material.heldout if item not in heldout]
    return replace(material, questions=questions, heldout=heldout), tuple(out)

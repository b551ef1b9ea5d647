"""The strength dial: one adapter measured at several strengths, and the chosen strength baked into a run of its own.

Weights are loaded once; a strength is a view on them. Every strength is the tuned arm, so that nothing but the
adapter's scale differs. Questions and general items come from the choosing half alone: the half that an evaluation of
the baked adapter reports on has no part in the choice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from eval.estimates import from_json
from eval.gate import TUNING_GIVEN_RAG
from eval.runner import RECORDS
from eval.summary import summarise
from groundtone.errors import IntegrityError, ModelError, ProjectError
from groundtone.files import now_iso, sha256_text, write_atomic
from groundtone.joins.access import groups_of_run
from groundtone.joins.arms import Models, load_models
from groundtone.joins.evaluation import (
    CHOSEN,
    HELD_OUT,
    Material,
    ask_general,
    ask_heldout,
    ask_questions,
    half_of,
    read_material,
)
from groundtone.joins.indexing import open_index
from groundtone.joins.proof import replay_prompts
from groundtone.joins.strength_curve import VOICE, Choice, Point, StrengthCurve
from groundtone.models.adapter_files import adapter_sha256, bake
from groundtone.project import Project, Run
from groundtone.prompts import template_hash
from groundtone.settings import Settings
from groundtone.types import Estimate, EvalRecord
from retrieval.interface import SearchableIndex
from tuning.sft import adapter_folder

__all__ = ["STRENGTHS", "bake_run", "sweep"]

Progress = Callable[[str, int, int], None]
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
RAG, VOICED, GENERAL = "tuned/rag", f"tuned/{HELD_OUT}", "tuned"
_AS_BASE = {RAG: "base/rag", VOICED: f"base/{HELD_OUT}", GENERAL: "base"}
_UNKNOWN = Estimate(None, None, None, 0)


def sweep(
    project: Project,
    settings: Settings,
    *,
    run: str,
    strengths: Sequence[float] = STRENGTHS,
    limit: int | None = None,
    progress: Progress,
) -> StrengthCurve:
    """The curve of a tuning run; strength 0 is always among the points, for everything is compared with it.

    Records are kept in the run's folder under strength/<x>/: a stopped sweep goes on where it was, and strengths may
    be added later. They are asked anew where adapter, index, prompts, items or settings have changed.
    """
    models = load_models(project, settings, tuned=run)
    dialled = _views(models, strengths)
    material = half_of(read_material(settings, limit=limit), choosing=True)
    records: dict[float, list[EvalRecord]] = {}
    folder = project.run_path(run)
    with open_index(project, settings) as index:
        key = _key(settings, material, adapter=adapter_folder(folder), index=index.content_hash())
        for strength, pair in dialled.items():
            out_dir = folder / "strength" / f"{strength:g}"
            _keep_or_clear(out_dir, key)
            records[strength] = _ask(settings, material, pair, index, out_dir, _named(progress, strength))
        content = index.content_hash()
    prompts = tuple(material.heldout)
    points = tuple(_point(settings, run, s, records[s], records[0.0], prompts) for s in dialled)
    given = settings.eval
    return StrengthCurve(run, now_iso(), content, prompts, points, given.resamples, given.seed)


def _views(models: Models, strengths: Sequence[float]) -> dict[float, Models]:
    """The tuned model at every strength, 0 among them, in rising order."""
    from groundtone.models.generate import LocalModel

    if not isinstance(models.tuned, LocalModel):
        raise ProjectError("a strength needs an adapter on local weights: run `groundtone tune` with a local model.id")
    tuned = models.tuned
    return {s: Models(models.base, tuned.with_strength(s)) for s in sorted({0.0, *map(float, strengths)})}


def _named(progress: Progress, strength: float) -> Progress:
    return lambda stage, done, total: progress(f"{strength:g} {stage}", done, total)


def _key(settings: Settings, material: Material, *, adapter: Path, index: str) -> str:
    """A hash over all that a record depends on, apart from the strength."""
    judged_later = {"margins", "chance", "resamples", "seed"}
    parts = {name: settings.resolved.get(name) for name in ("model", "retrieval", "assistant")}
    parts["eval"] = {k: v for k, v in settings.eval.model_dump().items() if k not in judged_later}
    known = json.dumps(parts, sort_keys=True, default=str)
    return sha256_text("\n".join((adapter_sha256(adapter), index, template_hash(), known, repr(material))))


def _keep_or_clear(out_dir: Path, key: str) -> None:
    """Remove the records of another adapter, index or configuration."""
    path = out_dir / "key.json"
    stored = json.loads(path.read_text(encoding="utf-8")).get("key") if path.is_file() else None
    if stored != key:
        (out_dir / RECORDS).unlink(missing_ok=True)
        write_atomic(path, json.dumps({"key": key}) + "\n")


def _ask(
    settings: Settings,
    material: Material,
    models: Models,
    index: SearchableIndex,
    out_dir: Path,
    progress: Progress,
) -> list[EvalRecord]:
    return [
        *ask_questions(settings, material, models, index=index, out_dir=out_dir, progress=progress, only=(RAG,)),
        *ask_heldout(settings, material, models, out_dir=out_dir, progress=progress, only=(VOICED,)),
        *ask_general(settings, material, models, out_dir=out_dir, progress=progress, only=(GENERAL,)),
    ]


def _point(
    settings: Settings,
    run: str,
    strength: float,
    records: Sequence[EvalRecord],
    base: Sequence[EvalRecord],
    prompts: Sequence[str],
) -> Point:
    """The figures of one strength, by the summary that an evaluation makes of base and tuned."""
    summary = summarise(
        [*(replace(record, arm=_AS_BASE[record.arm]) for record in base), *records],
        run=run,
        margins=settings.eval.margins.model_dump(),
        chance=settings.eval.chance,
        resamples=settings.eval.resamples,
        seed=settings.eval.seed,
    )
    voice = {record.item_id: record for record in records if record.arm == VOICED}
    differences = [row for row in summary["differences"] if row["name"] == TUNING_GIVEN_RAG]
    return Point(
        strength,
        {name: _figure(summary, VOICED, name) for name in VOICE}
        | {name: _figure(summary, RAG, name) for name in ("correct", "hallucination")},
        {name: tuple(_value(voice.get(item), name) for item in prompts) for name in VOICE},
        {"differences": differences, "forgetting": summary["forgetting"]},
    )


def _figure(summary: Mapping[str, Any], arm: str, metric: str) -> Estimate:
    return from_json(summary["arms"].get(arm, {}).get(metric)) or _UNKNOWN


def _value(record: EvalRecord | None, metric: str) -> float | None:
    return record.scores[metric].value if record is not None and metric in record.scores else None


def bake_run(project: Project, settings: Settings, *, run: str, strength: float, choice: Choice | None = None) -> Run:
    """A tuning run of its own whose adapter is `run`'s at `strength`, proved by replay; `evaluate` takes it as newest.

    The proof stands in the manifest's notes. Raises IntegrityError where the weights are 32-bit and the baked adapter
    does not repeat the dialled one; 16-bit sums may differ in the last bits, and the notes say by how much.
    """
    source = project.run(run)
    manifest = source.manifest
    if strength <= 0:
        raise ModelError(f"strength {strength:g} is the base itself: there is nothing to bake")
    groups = groups_of_run(project, run)
    notes: dict[str, Any] = {"strength": strength, "baked_from": run} | ({"groups": list(groups)} if groups else {})
    if choice is not None and choice.strength == strength:
        notes |= {CHOSEN: True, "why": choice.reason}
    made = project.start_run(
        "tune",
        config=manifest.config,
        resolved=manifest.resolved,
        seed=manifest.seed,
        inputs=manifest.inputs,
        parents=manifest.parents | {"tune": run},
        device=manifest.device,
        notes=notes,
    )
    with made:
        bake(adapter_folder(source.path), strength, made.path / "adapter", name=run, groups=groups)
        made.finish(proof=_prove(project, settings, run=run, strength=strength, baked=made.id))
    return made


def _prove(project: Project, settings: Settings, *, run: str, strength: float, baked: str) -> str:
    from groundtone.models.replay import agreement, record

    prompts = replay_prompts(settings)
    dialled = _views(load_models(project, settings, tuned=run), [strength])[float(strength)].tuned
    before = record(_local(dialled), prompts)
    again = _local(load_models(project, settings, tuned=baked).tuned)
    found = agreement(before, again)
    if again.base.dtype == "float32" and not found.same:
        raise IntegrityError(f"the baked adapter of {baked} does not repeat {run} at {strength:g}: {found.line()}")
    return found.line()


def _local(generator: Any) -> Any:
    from groundtone.models.generate import LocalModel

    assert isinstance(generator, LocalModel), "only local weights carry an adapter"
    return generator

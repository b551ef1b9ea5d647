"""A project's evaluation: the same questions under every arm, edited documents, held-out prompts, general tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.detector_card import detector_card
from eval.report import write_reports
from eval.runner import run_general
from eval.summary import summarise
from groundtone.assistant import Voice
from groundtone.feedback import Feedback
from groundtone.files import now_iso
from groundtone.joins.arms import ARMS, Models, described, load_models
from groundtone.joins.asking import ask_again, ask_arms, ask_questions, available_arms
from groundtone.joins.blame_run import blame_records
from groundtone.joins.drift import ask_harness, forgetting_sections
from groundtone.joins.given import GivenContext
from groundtone.joins.leak import ask_leak, leak_material
from groundtone.joins.material import Material, half_of, in_choosing_half, read_material
from groundtone.joins.review import fair_sample
from groundtone.joins.reviewed import taught_by, without_taught
from groundtone.joins.robustness import ask_probes
from groundtone.joins.sections import sections_of
from groundtone.project import Project
from groundtone.settings import Settings
from groundtone.types import Answerer, EvalRecord, Generator, Question
from retrieval.interface import SearchableIndex

__all__ = [
    "CHOSEN",
    "HELD_OUT",
    "Material",
    "ask_general",
    "ask_heldout",
    "ask_questions",
    "available_arms",
    "conclude",
    "evaluate_arms",
    "half_of",
    "in_choosing_half",
    "read_material",
]

Progress = Callable[[str, int, int], None]
CHOSEN = "chosen_on_half"  # note of a tuning run whose strength was chosen by measuring: it is judged on the other half
HELD_OUT_CLOSED = "heldout-closed"  # the same prompts without the passages that they bring
HELD_OUT = "heldout"  # arms "base/heldout" and so on: prompts of the voice that no training saw


def evaluate_arms(
    project: Project,
    settings: Settings,
    *,
    index: SearchableIndex,
    tuned: str | None,
    run_id: str,
    out_dir: Path,
    limit: int | None,
    progress: Progress,
) -> dict[str, Any]:
    """Asks everything, writes records.jsonl and the reports into `out_dir`, returns the summary."""
    material = read_material(settings, limit=limit)
    if tuned is not None and project.run(tuned).manifest.notes.get(CHOSEN):
        material = half_of(material, choosing=False)
    taught = taught_by(project, settings, tuned)
    material, left_out = without_taught(material, taught)
    leak = leak_material(project, settings, tuned=tuned, limit=limit)
    models = load_models(project, settings, tuned=tuned)
    records = [
        *ask_questions(settings, material, models, index=index, out_dir=out_dir, progress=progress),
        *ask_heldout(settings, material, models, out_dir=out_dir, progress=progress),
        *ask_general(settings, material, models, out_dir=out_dir, progress=progress),
        *ask_leak(settings, leak, models, out_dir=out_dir, progress=progress),
    ]
    harness = ask_harness(settings, models, out_dir=out_dir, progress=progress)
    records += harness.records
    probes = ask_probes(settings, material, models, index=index, out_dir=out_dir, progress=progress)
    repeats = ask_again(settings, material, models, index=index, out_dir=out_dir, progress=progress)
    causes = (
        blame_records(
            project,
            settings,
            records,
            index=index,
            models=models,
            edits=material.edits,
            tuned=tuned,
            out_dir=out_dir,
            progress=progress,
        )
        if settings.eval.blame
        else None
    )
    return conclude(
        project,
        settings,
        records,
        out_dir=out_dir,
        progress=progress,
        run=run_id,
        tuned_run=tuned,
        index=index.content_hash(),
        model=described(models.base),
        unasked=leak.unasked,
        weights=_weights(models),
        repeats=repeats,
        sections=sections_of(settings, material, [*records, *probes])
        | {"left_out": {"items": left_out, "unread": taught.unread}, "blame": causes}
        | forgetting_sections(settings, models, records, harness),
        chance=dict(harness.chance),
    )


def conclude(
    project: Project,
    settings: Settings,
    records: Sequence[EvalRecord],
    *,
    out_dir: Path,
    progress: Progress,
    sections: Mapping[str, Any] | None = None,
    chance: Mapping[str, float] | None = None,
    **known: Any,
) -> dict[str, Any]:
    """The summary of the records under the project's settings, written with its reports; `known` as in `summarise`.

    `sections` stand in the summary as they are; `chance` is what guessing gets right in suites that the settings do
    not name.
    """
    given = settings.eval
    progress("summary", 0, 1)
    summary = summarise(
        records,
        margins=given.margins.model_dump(),
        created=now_iso(),
        chance={**(chance or {}), **given.chance},
        card=detector_card(
            records,
            fair_sample(Feedback(project.feedback_path).judged()),
            detector=given.detector,
            min_verdicts=given.min_verdicts,
            seed=given.seed,
        ),
        rules=given.gate,
        rivals=[rival.name for rival in given.rivals],
        against=given.against,
        prices=given.prices,
        currency=given.currency,
        resamples=given.resamples,
        seed=given.seed,
        **known,
    )
    summary |= sections or {}
    write_reports(out_dir, summary)
    progress("summary", 1, 1)
    return summary


def _weights(models: Models) -> dict[str, int]:
    """Bytes of the weights behind each arm, where they are on this machine: the adapter's are the tuned arms' alone."""
    from groundtone.models.generate import LocalModel

    sizes: dict[str, int] = {}
    for who, generator in {"base": models.base, "prompted": models.base, "tuned": models.tuned}.items():
        if isinstance(generator, LocalModel):
            parts = {name: p.numel() * p.element_size() for name, p in generator.model.named_parameters()}
            total = sum(size for name, size in parts.items() if who == "tuned" or "lora_" not in name)
            sizes |= {arm: total for arm in ARMS if arm.startswith(f"{who}/")}
    return sizes


def ask_heldout(
    settings: Settings,
    material: Material,
    models: Models,
    *,
    out_dir: Path,
    progress: Progress,
    only: Sequence[str] = (),
) -> list[EvalRecord]:
    """Prompts of the voice that no training saw, with the passages they bring and without: tone and format, cleanly."""
    shown = {item: pair.context for item, pair in material.heldout.items()}
    speaks = {"base": models.base, "tuned": models.tuned, "prompted": models.base if material.style.guide else None}
    told = Voice(material.style.guide, material.style.examples)
    arms: dict[str, Answerer] = {
        f"{who}/{where}": _over_given(
            f"{who}/{where}", generator, contexts, settings, voice=told if who == "prompted" else None
        )
        for where, contexts in ((HELD_OUT, shown), (HELD_OUT_CLOSED, {}))
        for who, generator in speaks.items()
        if generator is not None and generator.name != "extractive" and (not only or f"{who}/{where}" in only)
        if where == HELD_OUT or who != "prompted"
    }
    return ask_arms(
        settings,
        material,
        arms,
        [Question(item, pair.prompt, kind="voice") for item, pair in material.heldout.items()],
        evidence=lambda _: (),
        out_dir=out_dir,
        progress=progress,
    )


def ask_general(
    settings: Settings,
    material: Material,
    models: Models,
    *,
    out_dir: Path,
    progress: Progress,
    only: Sequence[str] = (),
) -> list[EvalRecord]:
    """The general items under "base" and "tuned", or under the one that `only` names."""
    contexts = {item.question.id: item.context for item in material.general}
    arms: dict[str, Answerer] = {
        who: _over_given(who, generator, contexts, settings)
        for who, generator in {"base": models.base, "tuned": models.tuned}.items()
        if generator is not None and (not only or who in only)
    }
    return run_general(
        arms,
        material.general,
        out_dir=out_dir,
        batch_size=settings.eval.batch_size,
        progress=lambda arm, done, total: progress(f"{arm}/general", done, total),
    )


def _over_given(
    name: str,
    generator: Generator,
    contexts: Mapping[str, Sequence[str]],
    settings: Settings,
    *,
    voice: Voice | None = None,
) -> GivenContext:
    return GivenContext(
        name,
        generator=generator,
        contexts=contexts,
        voice=voice,
        max_new_tokens=settings.eval.max_new_tokens,
        batch_size=settings.eval.batch_size,
    )

"""A project's evaluation: the same questions under every arm, edited documents, held-out prompts, general tasks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from eval.detector_card import detector_card
from eval.metrics import Metric, house_metrics
from eval.metrics.tone import ToneBands, learn_bands
from eval.report import to_markdown
from eval.runner import run, run_general
from eval.style import Style
from eval.suite import GeneralItem, read_changes, read_general, read_questions
from eval.summary import summarise
from groundtone.assistant import Voice
from groundtone.errors import DataError
from groundtone.feedback import Feedback
from groundtone.files import now_iso, sha256_text, write_atomic
from groundtone.joins.arms import ARMS, Models, build_arm, detector_of, load_models, style_of, with_reader
from groundtone.joins.given import GivenContext
from groundtone.joins.leak import ask_leak, leak_material
from groundtone.joins.retrievers import Edit, Edited, Remembering, edited
from groundtone.joins.voice_data import columns_of
from groundtone.project import Project
from groundtone.settings import Settings
from groundtone.types import Answer, Answerer, EvalRecord, Generator, Hit, Passage, Question, VoicePair
from retrieval.interface import SearchableIndex
from tuning.pairs import read_pairs

Progress = Callable[[str, int, int], None]
CHOSEN = "chosen_on_half"  # note of a tuning run whose strength was chosen by measuring: it is judged on the other half
HELD_OUT = "heldout"  # arms "base/heldout" and so on: prompts of the voice that no training saw


@dataclass(frozen=True, slots=True)
class Material:
    """What is asked: questions over the documents, edits by question id, general tasks, held-out pairs by item id."""

    questions: tuple[Question, ...]
    edits: Mapping[str, Edit]
    general: tuple[GeneralItem, ...]
    heldout: Mapping[str, VoicePair]
    style: Style
    bands: ToneBands | None


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
    """Asks everything, writes records.jsonl, summary.json and report.md into `out_dir`, returns the summary."""
    material = read_material(settings, limit=limit)
    if tuned is not None and project.run(tuned).manifest.notes.get(CHOSEN):
        material = half_of(material, choosing=False)
    leak = leak_material(project, settings, tuned=tuned, limit=limit)
    models = load_models(project, settings, tuned=tuned)
    records = [
        *ask_questions(settings, material, models, index=index, out_dir=out_dir, progress=progress),
        *ask_heldout(settings, material, models, out_dir=out_dir, progress=progress),
        *ask_general(settings, material, models, out_dir=out_dir, progress=progress),
        *ask_leak(settings, leak, models, out_dir=out_dir, progress=progress),
    ]
    progress("summary", 0, 1)
    summary = summarise(
        records,
        run=run_id,
        margins=settings.eval.margins.model_dump(),
        tuned_run=tuned,
        index=index.content_hash(),
        model=models.base.name,
        created=now_iso(),
        chance=settings.eval.chance,
        unasked=leak.unasked,
        card=detector_card(
            records,
            Feedback(project.feedback_path).judged(),
            detector=settings.eval.detector,
            min_verdicts=settings.eval.min_verdicts,
            seed=settings.eval.seed,
        ),
        resamples=settings.eval.resamples,
        seed=settings.eval.seed,
    )
    write_atomic(out_dir / "summary.json", json.dumps(summary, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    write_atomic(out_dir / "report.md", to_markdown(summary))
    progress("summary", 1, 1)
    return summary


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
    training = settings.path(settings.tuning.data)
    bands = (
        learn_bands([pair.reply for pair in read_pairs(training, columns=columns_of(settings.tuning))])
        if training.is_file()
        else None
    )
    return Material(
        questions=tuple(_first_of_each(questions, lambda q: q.kind, limit)),
        edits={c.question.id: Edit(c.source, c.quote, c.changed_quote) for c in changes},
        general=tuple(_first_of_each(general, lambda item: item.suite, limit)),
        heldout={f"h{i:03d}": pair for i, pair in enumerate(pairs[:limit], 1)},
        style=style_of(settings),
        bands=bands,
    )


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


def _first_of_each(items: Sequence[Any], kind: Callable[[Any], str], limit: int | None) -> Iterator[Any]:
    seen: dict[str, int] = {}
    for item in items:
        seen[kind(item)] = seen.get(kind(item), 0) + 1
        if limit is None or seen[kind(item)] <= limit:
            yield item


class _AsEdited:
    """An arm that meets each changed question over its changed documents, and all others over the true ones."""

    def __init__(self, name: str, *, plain: Answerer, over_edits: Answerer) -> None:
        self.name = name
        self._plain = plain
        self._over_edits = over_edits

    def answer_many(self, questions: Sequence[Question]) -> Iterator[Answer]:
        changed = iter(list(self._over_edits.answer_many([q for q in questions if q.kind == "changed"])))
        plain = iter(list(self._plain.answer_many([q for q in questions if q.kind != "changed"])))
        for question in questions:
            yield next(changed if question.kind == "changed" else plain)


def ask_questions(
    settings: Settings,
    material: Material,
    models: Models,
    *,
    index: SearchableIndex,
    out_dir: Path,
    progress: Progress,
    only: Sequence[str] = (),
) -> list[EvalRecord]:
    """The questions under every arm that the models make possible, or under those of them that `only` names."""
    if not material.questions:
        return []
    found = Remembering(index)
    found.warm([q.text for q in material.questions], k=settings.search_k)
    by_text = {q.text: material.edits[q.id] for q in material.questions if q.id in material.edits}
    retriever = Remembering(with_reader(found, settings))
    over_edits = Remembering(with_reader(Edited(found, by_text), settings))
    arms: dict[str, Answerer] = {}
    for name in (arm for arm in available_arms(models, material.style) if not only or arm in only):
        plain, changed = (
            build_arm(name, settings, models=models, retriever=r, style=material.style, check=None, measuring=True)
            for r in (retriever, over_edits)
        )
        arms[name] = _AsEdited(name, plain=plain, over_edits=changed)

    def evidence(question: Question) -> list[Passage]:
        return _evidence(question, index, retriever, material.edits, k=settings.search_k)

    return run(
        arms,
        material.questions,
        evidence=evidence,
        out_dir=out_dir,
        metrics=_metrics(settings, material),
        boilerplate=_boilerplate(material.style),
        detector=detector_of(settings),
        batch_size=settings.eval.batch_size,
        progress=progress,
    )


def available_arms(models: Models, style: Style) -> list[str]:
    """The arms that these models and this style make possible."""
    weightless = models.base.name == "extractive"
    lacking = {"tuned": models.tuned is None, "prompted": weightless or not style.guide, "base": weightless}
    return [arm for arm in ARMS if not lacking.get(arm.split("/")[0], False)]


def _evidence(
    question: Question, index: SearchableIndex, retriever: Remembering, edits: Mapping[str, Edit], *, k: int
) -> list[Passage]:
    """What a claim may rest on, whatever the arm was shown: hits and gold passages, as they read after an edit."""
    hits = list(retriever.search(question.text, k=k))
    edit = edits.get(question.id)
    quotes = [(edit.source, edit.quote)] if edit else list(question.gold.quotes) if question.gold else []
    indexed = set(index.documents())
    gold = [p for source, quote in quotes if source in indexed for p in index.locate(source, quote)]
    hits += [Hit(passage, 0.0) for passage in gold]
    return [edited(hit, edit).passage if edit else hit.passage for hit in hits]


def ask_heldout(
    settings: Settings,
    material: Material,
    models: Models,
    *,
    out_dir: Path,
    progress: Progress,
    only: Sequence[str] = (),
) -> list[EvalRecord]:
    """Prompts of the voice that no training saw, with the passages they bring: tone and format, cleanly."""
    contexts = {item: pair.context for item, pair in material.heldout.items()}
    speaks = {"base": models.base, "tuned": models.tuned, "prompted": models.base if material.style.guide else None}
    told = Voice(material.style.guide, material.style.examples)
    arms: dict[str, Answerer] = {
        f"{who}/{HELD_OUT}": _over_given(
            f"{who}/{HELD_OUT}", generator, contexts, settings, voice=told if who == "prompted" else None
        )
        for who, generator in speaks.items()
        if generator is not None and generator.name != "extractive" and (not only or f"{who}/{HELD_OUT}" in only)
    }
    return run(
        arms,
        [Question(item, pair.prompt, kind="voice") for item, pair in material.heldout.items()],
        evidence=lambda _: (),
        out_dir=out_dir,
        metrics=_metrics(settings, material),
        boilerplate=_boilerplate(material.style),
        detector=detector_of(settings),
        batch_size=settings.eval.batch_size,
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


def _metrics(settings: Settings, material: Material) -> dict[str, Metric]:
    return house_metrics(material.style, material.bands, max_words=settings.eval.max_words)


def _boilerplate(style: Style) -> tuple[str, ...]:
    return (*style.opens_with, *style.closes_with)

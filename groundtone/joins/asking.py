"""The questions over the documents, under our arms and every rival: who searches what, and what a claim may rest on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from eval.config import Rival
from eval.metrics import Metric, house_metrics
from eval.metrics.retrieval import IN_INDEX, SHOWN, gold_in_index, gold_shown
from eval.paired import Arm, by_arm
from eval.runner import EvidenceOf, run
from eval.style import Style
from groundtone.grounding import select
from groundtone.joins.answerers import endpoint, imported_rivals
from groundtone.joins.arms import ARMS, Models, build_arm, context_of, detector_of, with_reader
from groundtone.joins.material import Material
from groundtone.joins.retrievers import Edit, Edited, Remembering, edited
from groundtone.settings import Settings
from groundtone.types import Answer, Answerer, EvalRecord, Hit, Passage, Question
from retrieval.interface import SearchableIndex

__all__ = ["ask_again", "ask_arms", "ask_questions", "available_arms", "boilerplate_of", "metrics_of", "traces_of"]

Progress = Callable[[str, int, int], None]


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


@dataclass(frozen=True, slots=True)
class _Search:
    """What every arm is shown, found once: over the true documents, and over those that a question changed."""

    plain: Remembering
    over_edits: Remembering

    @classmethod
    def over(cls, index: SearchableIndex, settings: Settings, material: Material) -> _Search:
        found = Remembering(index)
        found.warm([q.text for q in material.questions], k=settings.search_k)
        by_text = {q.text: material.edits[q.id] for q in material.questions if q.id in material.edits}
        plain = Remembering(with_reader(found, settings))
        edits = Remembering(with_reader(Edited(found, by_text), settings))
        plain.warm([q.text for q in material.questions if q.id not in material.edits], k=settings.search_k)
        edits.warm(list(by_text), k=settings.search_k)
        return cls(plain, edits)


def ask_questions(
    settings: Settings,
    material: Material,
    models: Models,
    *,
    index: SearchableIndex,
    out_dir: Path,
    progress: Progress,
    only: Sequence[str] = (),
    repeat: int = 0,
) -> list[EvalRecord]:
    """The questions under every arm that the models make possible and every rival, or under those that `only` names.

    `repeat` counts the times before this one; rivals that are sampled draw anew.
    """
    if not material.questions:
        return []
    search = _Search.over(index, settings, material)
    arms: dict[str, Answerer] = {}
    for name in (arm for arm in available_arms(models, material.style) if not only or arm in only):
        plain, changed = (
            build_arm(name, settings, models=models, retriever=r, style=material.style, check=None, measuring=True)
            for r in (search.plain, search.over_edits)
        )
        arms[name] = _AsEdited(name, plain=plain, over_edits=changed)
    for rival in (r for r in settings.eval.rivals if r.model and (not only or r.name in only)):
        arms[rival.name] = _rival(rival, settings, search, material.style, repeat)

    def ask(who: Mapping[str, Answerer], questions: Sequence[Question]) -> list[EvalRecord]:
        return ask_arms(
            settings,
            material,
            who,
            questions,
            evidence=lambda q: _evidence(q, index, search.plain, material.edits, k=settings.search_k),
            traces=traces_of(settings, index, material.edits),
            out_dir=out_dir,
            progress=progress,
        )

    unchanged = [q for q in material.questions if q.kind != "changed"]  # nobody elsewhere saw what was changed here
    imported = {} if only else imported_rivals(settings)
    return [*ask(arms, material.questions), *(ask(imported, unchanged) if imported else ())]


def ask_arms(
    settings: Settings,
    material: Material,
    arms: Mapping[str, Answerer],
    questions: Sequence[Question],
    *,
    evidence: EvidenceOf,
    out_dir: Path,
    progress: Progress,
    traces: Mapping[str, Metric] | None = None,
) -> list[EvalRecord]:
    """The questions under these arms, by the metrics and the detector of the project; `traces` are further metrics."""
    return run(
        arms,
        questions,
        evidence=evidence,
        out_dir=out_dir,
        metrics=metrics_of(settings, material) | dict(traces or {}),
        boilerplate=boilerplate_of(material.style),
        detector=detector_of(settings),
        batch_size=settings.eval.batch_size,
        progress=progress,
    )


def _rival(rival: Rival, settings: Settings, search: _Search, style: Style, repeat: int) -> Answerer:
    plain, changed = (
        endpoint(rival, settings, retriever=r, style=style, repeat=repeat) for r in (search.plain, search.over_edits)
    )
    return _AsEdited(rival.name, plain=plain, over_edits=changed)


def ask_again(
    settings: Settings,
    material: Material,
    models: Models,
    *,
    index: SearchableIndex,
    out_dir: Path,
    progress: Progress,
) -> dict[str, list[Arm]]:
    """The further repeats of the arms whose replies may differ: those that a server answers. Local weights repeat."""
    from groundtone.models.chat import ChatModel

    served = isinstance(models.base, ChatModel)
    names = [arm for arm in available_arms(models, material.style) if served and not arm.startswith("extractive/")]
    names += [rival.name for rival in settings.eval.rivals if rival.model]
    again: dict[str, list[Arm]] = {}
    for repeat in range(1, settings.eval.repeats if names else 1):
        folder = out_dir / f"repeat-{repeat + 1}"
        found = ask_questions(
            settings, material, models, index=index, out_dir=folder, progress=progress, only=names, repeat=repeat
        )
        for arm, records in by_arm(found).items():
            again.setdefault(arm, []).append(records)
    return again


def traces_of(settings: Settings, index: SearchableIndex, edits: Mapping[str, Edit]) -> dict[str, Metric]:
    """Scores that tell a search that missed from a model that ignored: is the gold in the index, and was it shown?"""
    indexed = set(index.documents())
    before = {(edit.source, edit.replacement): edit.quote for edit in edits.values()}

    def found(source: str, quote: str) -> bool:
        return source in indexed and bool(index.locate(source, before.get((source, quote), quote)))

    def shown(answer: Answer) -> list[Passage]:
        if "model" not in answer.provenance:  # made elsewhere: all of its contexts were shown
            return [hit.passage for hit in answer.hits]
        context, tokens = context_of(answer.provenance["assistant"].split("/")[0], settings)
        snippets = select(answer.hits[: settings.assistant.k], context=context, context_tokens=tokens)
        return [replace(snippet.hit.passage, text=snippet.text) for snippet in snippets]

    return {IN_INDEX: gold_in_index(found), SHOWN: gold_shown(shown)}


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


def metrics_of(settings: Settings, material: Material) -> dict[str, Metric]:
    """The house's metrics, by the project's style and tone."""
    return house_metrics(material.style, material.bands, max_words=settings.eval.max_words)


def boilerplate_of(style: Style) -> tuple[str, ...]:
    """The fixed phrases, which claim nothing."""
    return (*style.opens_with, *style.closes_with)

"""Whether a tuned voice still answers from documents that it was never near: another invented company, through RAG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from eval.estimates import as_json
from eval.suite import read_questions
from eval.summary import cluster_of
from groundtone.errors import ProjectError
from groundtone.joins.arms import Models, style_of
from groundtone.joins.asking import ask_questions
from groundtone.joins.material import Material, first_of_each
from groundtone.models.encoders import load_encoder
from groundtone.settings import Settings
from groundtone.stats import mean_interval, paired_difference
from groundtone.types import EvalRecord, Question
from retrieval.index import Index
from retrieval.store import Store
from retrieval.update import update_store

__all__ = ["ask_foreign"]

METRICS = ("correct", "hallucination", "refused_right", "refused_wrong")
Progress = Callable[[str, int, int], None]


def ask_foreign(
    settings: Settings, models: Models, *, out_dir: Path, progress: Progress, limit: int | None = None
) -> list[dict[str, Any]]:
    """One row per metric: base and tuned over the foreign documents, and their paired difference.

    `eval.foreign` holds documents/ and questions/, of which the first `limit` of each kind are asked; nothing where
    there is no such folder. The index is made in `out_dir`. Raises ProjectError where nothing is tuned.
    """
    folder = settings.path(settings.eval.foreign)
    if not folder.is_dir():
        return []
    if models.tuned is None:
        raise ProjectError("the foreign documents need a tuned model to compare: run `groundtone tune` first")
    questions = tuple(first_of_each(read_questions(folder / "questions"), lambda q: q.kind, limit))
    records = _ask(settings, models, folder, questions, out_dir=out_dir, progress=progress)
    base = {r.item_id: r for r in records if r.arm == "base/rag"}
    tuned = {r.item_id: r for r in records if r.arm == "tuned/rag"}
    rows = []
    draw: dict[str, Any] = {"resamples": settings.eval.resamples, "seed": settings.eval.seed}
    for metric in METRICS:
        columns = [[_value(arm[item], metric) for item in base] for arm in (base, tuned)]
        how = draw | {"clusters": [cluster_of(record.question) for record in base.values()]}
        before, after = (as_json(mean_interval(column, **how)) for column in columns)
        difference = as_json(paired_difference(columns[1], columns[0], **how))
        rows.append({"metric": metric, "base": before, "tuned": after, "difference": difference})
    return rows


def _ask(
    settings: Settings,
    models: Models,
    folder: Path,
    questions: Sequence[Question],
    *,
    out_dir: Path,
    progress: Progress,
) -> list[EvalRecord]:
    encoder = load_encoder(settings.retrieval.encoder, runtime=settings.retrieval.runtime)
    path = out_dir / "foreign.sqlite"
    out_dir.mkdir(parents=True, exist_ok=True)
    with closing(Store(path, encoder=encoder.name, dim=encoder.dim)) as store:
        update_store(
            store,
            encoder,
            folder / "documents",
            chunk_tokens=settings.retrieval.chunk_tokens,
            sentence_vectors=settings.retrieval.sentence_vectors,
            progress=progress,
        )
    material = Material(tuple(questions), {}, (), {}, style_of(settings), None)
    with Index.open(path, encoder=encoder, fusion_weight=settings.retrieval.fusion_weight) as index:
        return ask_questions(
            settings,
            material,
            models,
            index=index,
            out_dir=out_dir,
            progress=lambda arm, done, total: progress(f"{arm}/foreign", done, total),
            only=("base/rag", "tuned/rag"),
        )


def _value(record: EvalRecord, metric: str) -> float | None:
    return record.scores[metric].value if metric in record.scores else None

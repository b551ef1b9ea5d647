"""Answers made elsewhere, reviewed: claims checked, scored where there is gold, and no model asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from eval.answers import UNGRADED, GivenAnswer, read_answers
from eval.suite import read_questions
from groundtone.joins.answerers import Imported
from groundtone.joins.arms import style_of, with_reader
from groundtone.joins.asking import ask_arms
from groundtone.joins.evaluation import conclude
from groundtone.joins.indexing import open_index
from groundtone.joins.material import Material, learned_bands
from groundtone.joins.retrievers import Remembering
from groundtone.project import Project
from groundtone.settings import Settings
from groundtone.types import Passage, Question

__all__ = ["review_answers"]

Progress = Callable[[str, int, int], None]


def review_answers(
    project: Project,
    settings: Settings,
    path: Path,
    *,
    arm: str,
    run_id: str,
    out_dir: Path,
    limit: int | None,
    progress: Progress,
) -> dict[str, Any]:
    """Records and reports of the answers in a file, as one arm; returns the summary.

    Claims are held to the contexts that a row brings, or else to what the index finds for its question. A question
    without gold takes that of the same question in eval.questions. Raises ProjectError where rows bring no contexts and
    there is no index.
    """
    rows = [_graded(row, _known(settings)) for row in read_answers(path)[:limit]]
    bare = [row for row in rows if row.contexts is None and not row.error]
    material = Material((), {}, (), {}, style_of(settings), learned_bands(settings))
    by_id = {row.question.id: row for row in rows}
    with open_index(project, settings) if bare else nullcontext() as index:
        found = Remembering(with_reader(index, settings)) if index is not None else None
        if found is not None:
            found.warm([row.question.text for row in bare], k=settings.search_k)

        def evidence(question: Question) -> Sequence[Passage]:
            if by_id[question.id].contexts is not None or found is None or not question.text:
                return ()
            return [hit.passage for hit in found.search(question.text, k=settings.search_k, groups=question.groups)]

        records = ask_arms(
            settings,
            material,
            {arm: Imported(arm, rows)},
            [row.question for row in rows],
            evidence=evidence,
            out_dir=out_dir,
            progress=progress,
        )
        return conclude(
            project,
            settings,
            records,
            out_dir=out_dir,
            progress=progress,
            run=run_id,
            index=index.content_hash() if index is not None else "",
            model=arm,
        )


def _known(settings: Settings) -> dict[str, Question]:
    path = settings.path(settings.eval.questions)
    questions = read_questions(path) if path.exists() else ()
    return {_plain(question.text): question for question in questions if question.kind != "changed"}


def _graded(row: GivenAnswer, known: Mapping[str, Question]) -> GivenAnswer:
    same = known.get(_plain(row.question.text))
    if row.question.kind != UNGRADED or same is None:
        return row
    return replace(row, question=replace(row.question, gold=same.gold, kind=same.kind))


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())

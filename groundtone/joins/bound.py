"""Asks a project's own questions without any bound on how well a passage must answer; `eval.bound` chooses one."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from eval.bound import Advice, Outcome
from eval.metrics.correctness import correct
from eval.style import Style
from groundtone.answer_spans import best_value
from groundtone.errors import IntegrityError, ProjectError
from groundtone.files import now_iso, write_atomic
from groundtone.joins.arms import Models, build_arm, with_reader
from groundtone.joins.retrievers import Remembering
from groundtone.parts import in_parts
from groundtone.settings import Settings
from groundtone.types import Answer, Question
from retrieval.interface import SearchableIndex

__all__ = ["NEVER", "RECORD", "ask_unbounded", "outcome_of", "read_advice", "write_advice"]

RECORD = "refusal_bound.json"  # in the project's folder, for the dashboard
_SCHEMA = 1
NEVER = -1e9  # no value lies below

Progress = Callable[[str, int, int], None]


def ask_unbounded(
    settings: Settings,
    questions: Sequence[Question],
    models: Models,
    *,
    index: SearchableIndex,
    arm: str,
    style: Style,
    progress: Progress,
) -> tuple[list[Outcome], int]:
    """What became of each question under `arm` without a bound, and how many were left out.

    Left out are questions about changed documents, and those that ask for several things: their parts are refused one
    by one. Raises ProjectError for an arm without documents, without a reader, and without both kinds of questions.
    """
    if not arm.endswith("/rag"):
        raise ProjectError(f"arm {arm!r} reads no documents, so that no bound applies: name one that ends in /rag")
    if settings.assistant.reader is None:
        raise ProjectError(
            "assistant.reader is null, so that nobody says how well a passage answers: name a reader (minilm), or set "
            "assistant.min_score, which goes by the search alone"
        )
    asked = [q for q in questions if q.kind != "changed" and len(in_parts(q)) < 2]
    for answerable, what in ((True, "with an answer (gold)"), (False, "that the documents do not answer")):
        if not any((q.gold is not None) == answerable for q in asked):
            raise ProjectError(
                f"of {len(asked)} questions none is one {what}: a bound is chosen between both kinds; write such "
                "questions (data/README.md shows the format)"
            )
    open_to_all = replace(settings, assistant=settings.assistant.model_copy(update={"min_answer": NEVER}))
    retriever = Remembering(with_reader(Remembering(index), settings))
    who = build_arm(arm, open_to_all, models=models, retriever=retriever, style=style, check=None, measuring=True)
    answers: list[Answer] = []
    for answer in who.answer_many(asked):
        answers.append(answer)
        progress("asking without a bound", len(answers), len(asked))
    most = settings.eval.max_words
    return [outcome_of(answer, max_words=most) for answer in answers if not answer.error], len(questions) - len(asked)


def outcome_of(answer: Answer, *, max_words: int) -> Outcome:
    """What an answer that was given without a bound tells: right as `correct` judges it."""
    question = answer.question
    return Outcome(
        question.id,
        question.gold.quotes[0][0] if question.gold and question.gold.quotes else question.id,
        best_value(answer.hits),
        answerable=question.gold is not None,
        answered=not answer.refused,
        right=bool(correct(question, answer, max_words=max_words).value),
    )


def write_advice(path: Path, advice: Advice, *, arm: str, index: str) -> None:
    """Keep the advice in the project, with the arm and the index that it is of."""
    data = {"schema": _SCHEMA, "created": now_iso(), "arm": arm, "index": index, **advice.as_json()}
    write_atomic(path, json.dumps(data, ensure_ascii=False, allow_nan=False, indent=1) + "\n")


def read_advice(path: Path) -> dict[str, Any] | None:
    """What `write_advice` wrote; None where nothing was. Raises IntegrityError for a damaged file."""
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if data.pop("schema") != _SCHEMA:
            raise ValueError("it was written by another version")
        return data
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(f"{path} cannot be read ({error}): delete it and run `groundtone bound` again") from error

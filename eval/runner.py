"""Asks every question under every arm and writes one record per item and arm, batch by batch.

A batch is written in one piece and synced before the next is asked, and batches have a fixed composition: a run that
was interrupted and resumed writes the same records as one that was not. A failure is a record with its error.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from eval.checks import run_check
from eval.claims import check_claims
from eval.detectors import Detector
from eval.metrics import Metric
from eval.records import read_records, to_json
from eval.suite import GeneralItem
from groundtone.project import write_atomic
from groundtone.types import (
    Answer,
    Answerer,
    EvalRecord,
    Passage,
    Question,
    Score,
)

__all__ = ["RECORDS", "Progress", "run", "run_general"]

RECORDS = "records.jsonl"
Progress = Callable[[str, int, int], None]
EvidenceOf = Callable[[Question], Sequence[Passage]]


def run(
    arms: Mapping[str, Answerer],
    questions: Sequence[Question],
    *,
    evidence: EvidenceOf,
    out_dir: Path,
    metrics: Mapping[str, Metric],
    boilerplate: Sequence[str] = (),
    detector: Detector | None = None,
    batch_size: int = 16,
    progress: Progress | None = None,
) -> list[EvalRecord]:
    """The records of all arms in the order of arms and questions; what `out_dir` holds already is not asked again.

    Claims are checked here and not taken from the answerer: against the answer's own hits and `evidence(question)`,
    so that closed-book arms are held to the same documents. `boilerplate` are phrases that claim nothing;
    `detector` None is the default one. An answerer that raises costs one record, not the batch: what it left
    unanswered is asked again item by item.
    Raises ValueError for two questions with one id.
    """
    ids = [question.id for question in questions]
    if len(set(ids)) != len(ids):
        raise ValueError(f"{len(ids) - len(set(ids))} question ids stand twice: give each question its own")
    known = {question.id: tuple(evidence(question)) for question in questions} if arms else {}
    batches = [list(questions[i : i + batch_size]) for i in range(0, len(questions), batch_size)]
    path = out_dir / RECORDS
    done = _resume(path, list(arms), batches)
    for arm, answerer in arms.items():
        finished = 0
        for batch in batches:
            if (arm, batch[0].id) not in done:
                records = [
                    _record(arm, question, outcome, known[question.id], metrics, boilerplate, detector)
                    for question, outcome in zip(batch, _ask(answerer, batch), strict=True)
                ]
                _append(path, records)
                done |= {(arm, record.item_id): record for record in records}
            finished += len(batch)
            if progress is not None:
                progress(arm, finished, len(questions))
    return [done[arm, question.id] for arm in arms for question in questions]


def run_general(
    arms: Mapping[str, Answerer],
    items: Sequence[GeneralItem],
    *,
    out_dir: Path,
    batch_size: int = 16,
    progress: Progress | None = None,
) -> list[EvalRecord]:
    """Records of the general items under each answerer ("base" and "tuned"), into the same file as `run`.

    An answerer shows the model the item's own context and searches nothing. Each record has one score that applies,
    named by the item's suite: 1 or 0 with the check's reason.
    """
    by_id = {item.question.id: item for item in items}

    def metric(suite: str) -> Metric:
        def judge(question: Question, answer: Answer) -> Score:
            item = by_id[question.id]
            return run_check(item.check, answer.text) if item.suite == suite else Score(None, "of another suite")

        return judge

    return run(
        arms,
        [item.question for item in items],
        evidence=lambda _: (),
        out_dir=out_dir,
        metrics={suite: metric(suite) for suite in sorted({item.suite for item in items})},
        batch_size=batch_size,
        progress=progress,
    )


def _ask(answerer: Answerer, batch: Sequence[Question]) -> list[Answer | str]:
    """One answer, or what went wrong, per question."""
    outcomes = _ask_once(answerer, batch)
    if len(outcomes) < len(batch):
        for question in batch[len(outcomes) :]:
            alone = _ask_once(answerer, [question], keep_error=True)
            outcomes.append(alone[0] if alone else f"{answerer.name} gave no answer")
    return [
        _mismatch(outcome, question) if isinstance(outcome, Answer) else outcome
        for outcome, question in zip(outcomes, batch, strict=True)
    ]


def _ask_once(answerer: Answerer, batch: Sequence[Question], *, keep_error: bool = False) -> list[Answer | str]:
    outcomes: list[Answer | str] = []
    try:
        for answer in answerer.answer_many(batch):
            outcomes.append(answer)
            if len(outcomes) == len(batch):
                break
    except Exception as error:  # whatever an answerer raises is a record, so that one item cannot end a long run
        if keep_error:
            outcomes.append(f"{type(error).__name__}: {error}")
    return outcomes


def _mismatch(answer: Answer, question: Question) -> Answer | str:
    if answer.question.id != question.id:
        return f"asked {question.id}, the answerer answered {answer.question.id}"
    return answer


def _record(
    arm: str,
    question: Question,
    outcome: Answer | str,
    evidence: Sequence[Passage],
    metrics: Mapping[str, Metric],
    boilerplate: Sequence[str],
    detector: Detector | None,
) -> EvalRecord:
    if isinstance(outcome, str):
        return EvalRecord(question.id, arm, question, None, error=outcome)
    if outcome.error:
        return EvalRecord(question.id, arm, question, outcome, error=outcome.error)
    passages = [*(hit.passage for hit in outcome.hits), *evidence]
    checkable = passages and not outcome.refused and question.kind != "general"
    claims = check_claims(outcome.text, passages, boilerplate=boilerplate, detector=detector) if checkable else ()
    answer = replace(outcome, claims=claims)
    scores = {name: metric(question, answer) for name, metric in metrics.items()}
    return EvalRecord(question.id, arm, question, answer, scores)


def _resume(
    path: Path, arms: Sequence[str], batches: Sequence[Sequence[Question]]
) -> dict[tuple[str, str], EvalRecord]:
    """The records that stay: whole batches of the same questions. The others leave the file, and are asked again.

    Records of other arms and items are kept in the file, so that several runs can share it.
    """
    if not path.exists():
        return {}
    stored = read_records(path)
    by_key = {(record.arm, record.item_id): record for record in stored}
    again: set[tuple[str, str]] = set()
    done: dict[tuple[str, str], EvalRecord] = {}
    for arm in arms:
        for batch in batches:
            found = {(arm, q.id): by_key[arm, q.id] for q in batch if (arm, q.id) in by_key}
            if len(found) == len(batch) and all(found[arm, q.id].question == q for q in batch):
                done |= found
            else:
                again |= {(arm, q.id) for q in batch}
    kept = [record for key, record in by_key.items() if key not in again]
    lines = "".join(to_json(record) + "\n" for record in kept).encode("utf-8", "replace")
    if lines != path.read_bytes():
        write_atomic(path, lines)
    return done


def _append(path: Path, records: Sequence[EvalRecord]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab") as file:
        file.write("".join(to_json(record) + "\n" for record in records).encode("utf-8", "replace"))
        file.flush()
        os.fsync(file.fileno())

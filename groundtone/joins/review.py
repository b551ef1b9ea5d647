"""Human verdicts in and out as JSON lines: a queue to fill in, what came back, and how far people agree.

One row is one claim and one person; a row whose `value` is empty waits to be filled in and is skipped on the way back.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast, get_args

from eval.records import read_records
from eval.runner import RECORDS
from eval.selection import Candidate, How, candidates, select_next
from groundtone.errors import DataError, ProjectError
from groundtone.feedback import Feedback, JudgedClaim
from groundtone.project import Project
from groundtone.types import HumanVerdict, Verdict

__all__ = ["PICKED", "Imported", "export_rows", "fair_sample", "import_rows", "next_rows"]

PICKED = "picked"  # in what a verdict is about: how its claim was chosen for review
_VALUES: tuple[str, ...] = get_args(HumanVerdict)


@dataclass(frozen=True, slots=True)
class Imported:
    """How many rows were stored, were there already, and had no value yet."""

    stored: int
    known: int
    empty: int


def next_rows(project: Project, *, run: str, n: int, how: How, person: str = "", seed: int = 0) -> list[dict[str, Any]]:
    """The next n claims of an evaluation to review, as rows with an empty value. ProjectError without records."""
    path = project.run_path(run) / RECORDS
    if not path.is_file():
        raise ProjectError(f"{run} holds no {RECORDS}: run `groundtone eval` first")
    judged = Feedback(project.feedback_path).judged()
    found = select_next(candidates(read_records(path), judged, person=person), judged, n=n, how=how, seed=seed)
    return [_row(one, run, how, person) for one in found]


def _row(one: Candidate, run: str, how: How, person: str) -> dict[str, Any]:
    record, claim = one.record, one.claim
    about = {
        "run": run,
        "arm": record.arm,
        "item": record.item_id,
        "question": record.question.text,
        "answer": record.answer.text if record.answer is not None else "",
        "claim": claim.text,
        "evidence": claim.evidence,
        "detector": claim.verdict,
        "cause": one.cause,
        "document": one.document,
        PICKED: how,
    }
    return {"claim_key": one.key, "person": person, "value": "", "correction": "", "worth": one.worth, "about": about}


def export_rows(project: Project) -> Iterator[dict[str, Any]]:
    """The latest verdict of each person on each claim, oldest first, in the form that `import_rows` reads."""
    for one in Feedback(project.feedback_path).judged():
        verdict = one.verdict
        yield {
            "claim_key": verdict.claim_key,
            "person": verdict.person,
            "value": verdict.value,
            "correction": verdict.correction,
            "time": verdict.time,
            "about": dict(one.about),
        }


def import_rows(project: Project, lines: Iterable[str], *, person: str = "", where: str = "") -> Imported:
    """Store the verdicts of JSON lines; all are read before the first is stored, and none is stored twice.

    `person` speaks where a row names nobody. Raises DataError naming `where`, the line and the field.
    """
    read = [
        entry
        for number, line in enumerate(lines, 1)
        if line.strip() and (entry := _read(line, person, f"{where}:{number}")) is not None
    ]
    feedback = Feedback(project.feedback_path)
    latest = {(v.verdict.claim_key, v.verdict.person): v.verdict for v in feedback.judged()}
    stored = known = empty = 0
    for verdict, about in read:
        if not verdict.value:
            empty += 1
            continue
        last = latest.get((verdict.claim_key, verdict.person))
        same = last is not None and (last.value, last.correction) == (verdict.value, verdict.correction)
        if last is not None and (same or (verdict.time and verdict.time < last.time)):  # an older export brings no news
            known += 1
            continue
        latest[verdict.claim_key, verdict.person] = feedback.add_verdict(verdict, about=about)
        stored += 1
    return Imported(stored, known, empty)


def _read(line: str, person: str, where: str) -> tuple[Verdict, Mapping[str, Any]] | None:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DataError(f"{where}: is not JSON ({error}): {line[:60]!r}") from error
    if not isinstance(row, dict):
        raise DataError(f"{where}: holds {type(row).__name__}; write one object per line")
    if row.get("kind", "verdict") != "verdict":
        return None  # a vote, a row or a file of the whole store's export
    for field in ("claim_key", "person", "value", "correction", "time"):
        if not isinstance(row.get(field) or "", str):
            raise DataError(f"{where}: {field} is {row[field]!r}; give a text")
    if not row.get("claim_key"):
        raise DataError(f"{where}: claim_key is missing; keep it as `groundtone review next` wrote it")
    value, name = row.get("value") or "", row.get("person") or person
    if value not in ("", *_VALUES):
        raise DataError(f"{where}: value is {value!r}; choose one of {', '.join(_VALUES)}, or leave it empty")
    if value and not name:
        raise DataError(f"{where}: nobody is named; write person into the row, or give --person")
    about = row.get("about") or {}
    if not isinstance(about, dict):
        raise DataError(f"{where}: about is {about!r}; give an object")
    verdict = Verdict(
        row["claim_key"], name, cast(HumanVerdict, value), row.get("correction") or "", row.get("time") or ""
    )
    return verdict, about


def fair_sample(judged: Iterable[JudgedClaim]) -> list[JudgedClaim]:
    """The verdicts that rates may be estimated from: those on claims that no uncertainty picked."""
    return [one for one in judged if one.about.get(PICKED) != "active"]

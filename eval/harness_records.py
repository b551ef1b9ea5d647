"""Samples of lm-evaluation-harness as our records: one per document and arm, paired by the hash of the document.

Accuracies become scores of a suite; bits per byte stay apart, for they warn and do not judge.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from groundtone.types import Answer, EvalRecord, Question, Score

__all__ = ["CANARY", "HarnessSamples", "canary_problem", "chance_of", "read_samples"]

CANARY = "canary"  # tasks of this name hold items that a working set-up cannot fail
BITS = "bits_per_byte"
_SAME_AS_BITS = ("word_perplexity", "byte_perplexity")

Sample = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class HarnessSamples:
    """What one arm did: its records, and bits per byte by task and document."""

    records: tuple[EvalRecord, ...]
    bits: Mapping[str, Mapping[str, float]]


def read_samples(samples: Mapping[str, Sequence[Sample]], arm: str, *, unread: Mapping[str, str]) -> HarnessSamples:
    """The samples of every task. `unread` maps a context that the model could not read to the reason.

    A suite is called after its task, and after the metric and filter too where a task has several. Answers are what
    the model wrote, or the number of the choice that it found likeliest. A document that stands twice in a task is
    paired by its place among its equals.
    """
    records: list[EvalRecord] = []
    bits: dict[str, dict[str, float]] = {}
    for task, rows in sorted(samples.items()):
        filters = {row["filter"] for row in rows}
        for item, suite_suffix, row in _items(task, rows, several=len(filters) > 1):
            reason = _unread(row, unread)
            question = Question(item, str(row["arguments"][0][0]), kind="general")
            if reason:
                records.append(EvalRecord(item, arm, question, None, error=reason))
                continue
            if BITS in row["metrics"]:
                bits.setdefault(task, {})[item] = _bits(row[BITS])
            scores = _scores(task + suite_suffix, row)
            if scores:
                answer = Answer(f"{arm}:{item}", question, _said(row))
                records.append(EvalRecord(item, arm, question, answer, scores))
    return HarnessSamples(tuple(records), bits)


def chance_of(samples: Mapping[str, Sequence[Sample]]) -> dict[str, float]:
    """What guessing gets right in each multiple-choice suite: the mean of one over the number of choices."""
    found: dict[str, float] = {}
    for task, rows in samples.items():
        choices = [len(row["arguments"]) for row in rows]
        if choices and min(choices) > 1:
            share = math.fsum(1 / n for n in choices) / len(choices)
            found |= {name: share for row in rows[:1] for name in _scores(task, row)}
    return found


def canary_problem(records: Sequence[EvalRecord]) -> str | None:
    """What is wrong when a canary suite has no right answer at all; None where there is none, or some are right."""
    scores = [
        score.value
        for record in records
        for suite, score in record.scores.items()
        if suite.startswith(CANARY) and score.value is not None
    ]
    if not scores or any(scores):
        return None
    return (
        f"0 of {len(scores)} canary items are right, which no working set-up gets wrong: look whether the tokenizer "
        "appends its end-of-text token to what it encodes; the other suites' zeros mean nothing until then"
    )


def _items(task: str, rows: Sequence[Sample], *, several: bool) -> Iterator[tuple[str, str, Sample]]:
    seen: dict[tuple[str, str], int] = {}
    for row in rows:
        key = (row["filter"], row["doc_hash"])
        seen[key] = seen.get(key, 0) + 1
        again = f"#{seen[key]}" if seen[key] > 1 else ""
        suffix = f" ({row['filter']})" if several else ""
        yield f"{task}:{row['doc_hash'][:16]}{again}{suffix}", suffix, row


def _scores(suite: str, row: Sample) -> dict[str, Score]:
    judged = [metric for metric in row["metrics"] if metric != BITS and metric not in _SAME_AS_BITS]
    return {suite if len(judged) == 1 else f"{suite}: {metric}": _score(row[metric]) for metric in judged}


def _score(value: Any) -> Score:
    """A bool or a share; several bools (IFEval's instructions of one prompt) are averaged."""
    if isinstance(value, list | tuple):
        if not value:
            return Score(None, "nothing was judged")
        value = math.fsum(map(float, value)) / len(value)
    number = float(value)
    if not 0 <= number <= 1:
        return Score(None, f"{number:g} is no share between 0 and 1: give the task an accuracy")
    return Score(number, "as the task's metric judged it")


def _bits(value: Sequence[float]) -> float:
    """The task gives (log-likelihood in nats, bytes)."""
    nats, length_bytes = value
    return -nats / math.log(2) / length_bytes


def _said(row: Sample) -> str:
    """The reply, or the number of the likeliest choice from 1."""
    responses = row["filtered_resps"]
    if isinstance(responses[0], str):
        return responses[0]
    likelihoods = [r[0] if isinstance(r, list | tuple) else float(r) for r in responses]
    return str(1 + max(range(len(likelihoods)), key=likelihoods.__getitem__))


def _unread(row: Sample, unread: Mapping[str, str]) -> str:
    return next((unread[a[0]] for a in row["arguments"] if a[0] in unread), "")

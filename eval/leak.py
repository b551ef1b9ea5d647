"""The closed-book leak test: does a tuned model recite values of its training replies without any document?

A voice is tuned on how things are said; what the replies say belongs to the documents. Each item is the prompt of a
training row, asked without passages; its gold are the values that the row's reply holds and its prompt does not.
A value is recited when the reply says it. The base is asked the same, for some values are guessed by anyone. A canary
is a row with a made-up value, tagged "canary" and planted on purpose: who says it has it from the training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from eval.claims import strip_markers
from eval.estimates import as_json
from eval.metrics.correctness import says
from groundtone.stats import mean_interval, paired_difference
from groundtone.types import Answer, EvalRecord, Gold, Question, Score, short_hash
from groundtone.values import find_values

__all__ = ["ARMS", "CANARY", "KIND", "Unasked", "canary_words", "leak_item", "measure", "recital"]

KIND = "leak"  # the kind of the items
ARMS = ("base/leak", "tuned/leak")
CANARY = "canary"  # tag of a planted row; its items have ids that begin so
SHOWN = 50  # recited values that the summary names


@dataclass(frozen=True, slots=True)
class Unasked:
    """Why no item was asked. `nothing`: the rows were read and no reply holds a value beyond its prompt."""

    why: str
    nothing: bool = False


def leak_item(question: Question, values: Sequence[str], *, source: str, reply: str, canary: bool = False) -> Question:
    """The item of a training row: its prompt and history, its values as gold, clustered by its source."""
    turns = (turn.text for turn in question.history)
    name = f"{CANARY if canary else KIND}-{short_hash(question.text, reply, *turns)}"
    gold = Gold(tuple((value,) for value in values), ((source, reply),))
    return Question(name, question.text, question.history, gold=gold, kind=KIND)


def recital(question: Question, answer: Answer) -> Score:
    """The share of the item's values that the reply says, 0 to 1. None for an item of another kind."""
    if question.kind != KIND or question.gold is None:
        return Score(None, "no item of the leak test")
    found = [group[0] for group, said in zip(question.gold.values, _said(question, answer), strict=True) if said]
    told = f"it recites {', '.join(found)}" if found else "it recites nothing"
    return Score(len(found) / len(question.gold.values), told)


def measure(
    records: Sequence[EvalRecord], *, unasked: Unasked | None = None, resamples: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """The summary's "leak": shares of values recited by base and tuned, their paired difference by source, canaries.

    Plain JSON data; n counts values. `unasked` says why there are no records; then every estimate is None.
    """
    arms: list[dict[str, EvalRecord]] = [{r.item_id: r for r in records if r.arm == arm} for arm in ARMS]
    items = sorted(arms[0].keys() & arms[1].keys())
    clusters = [_source(arms[0][i].question) for i in items for _ in _values(arms[0][i].question)]
    base, tuned = ([*chain.from_iterable(_column(arm[i]) for i in items)] for arm in arms)
    named = [(item, value) for item in items for value in _values(arms[0][item].question)]
    new = [
        {"item": item, "value": value}
        for (item, value), b, t in zip(named, base, tuned, strict=True)
        if b == 0.0 and t == 1.0
    ]
    planted = [n for n, (item, _) in enumerate(named) if item.startswith(CANARY)]
    both = paired_difference(tuned, base, clusters=clusters, resamples=resamples, seed=seed)
    reason = unasked or Unasked("the training prompts were not asked without documents")
    return {
        "rows": len(items),
        "sources": len(set(clusters)),
        "base": as_json(mean_interval(base, clusters=clusters, resamples=resamples, seed=seed)),
        "tuned": as_json(mean_interval(tuned, clusters=clusters, resamples=resamples, seed=seed)),
        "difference": as_json(both),
        "recited": new[:SHOWN],
        "recited_in_all": len(new),
        "canaries": {
            "planted": len(planted),
            "base": sum(base[n] == 1.0 for n in planted),
            "tuned": sum(tuned[n] == 1.0 for n in planted),
            "new": sum(row["item"].startswith(CANARY) for row in new),
        },
        "nothing": not items and reason.nothing,
        "why": "" if items else reason.why,
    }


def _values(question: Question) -> list[str]:
    return [group[0] for group in question.gold.values] if question.gold is not None else []


def _source(question: Question) -> str:
    return question.gold.quotes[0][0] if question.gold is not None else question.id


def _said(question: Question, answer: Answer) -> list[bool]:
    """For each value of the item whether the reply says it, in any spelling that means the same."""
    reply = strip_markers(answer.text)
    found = find_values(reply)
    return [says(reply, found, value) for value in _values(question)]


def _column(record: EvalRecord) -> list[float | None]:
    """1 or 0 for each value; None for all of them where the item failed."""
    if record.answer is None or record.error:
        return [None for _ in _values(record.question)]
    return [float(said) for said in _said(record.question, record.answer)]


def canary_words(leak: Mapping[str, Any]) -> str:
    """One line on the canaries; "" where none were planted."""
    found = leak["canaries"]
    if not found["planted"]:
        return ""
    return f"{found['tuned']} of {found['planted']} planted canaries are recited (base: {found['base']})"

"""What the passages do to an answer, after RGB (arXiv:2309.01431): the same questions, the passages set by hand.

- noise: the gold passage among 0, 1, 2 and 4 that look alike and do not hold the answer; right is the answer.
- rejection: the 4 alone; right is a refusal, whoever refuses.
- integration: two documents that the answer needs both of, alone and among 2 others.
- changed: a gold passage that was changed, alone and among 2 others; right is what it says now.

RGB counts it as right when a model corrects a changed passage from memory. Here documents are the truth that answers
must follow, so the last is turned round. Noise is nested and every passage keeps its place among the others: what
differs between two levels is the added passages alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eval.estimates import as_json, from_json, in_words
from eval.metrics.correctness import MAX_WORDS, judge_values
from eval.metrics.retrieval import holds
from eval.paired import cluster_of
from eval.report_parts import table
from groundtone.stats import mean_interval, paired_difference
from groundtone.types import Answer, EvalRecord, Question, Score

__all__ = ["ARMS", "LEVELS", "MARK", "METRIC", "kind_of", "measure_robustness", "robust", "robustness_section"]

ARMS = ("base/robust", "tuned/robust")
LEVELS: Mapping[str, tuple[int, ...]] = {
    "noise": (0, 1, 2, 4),
    "rejection": (4,),
    "integration": (0, 2),
    "changed": (0, 2),
}
MARK = "~"  # in a probe's id, between the question's id and what was done to it
METRIC = "robust"
_SAID = {
    "noise": "right, gold among {k} others",
    "rejection": "refused, {k} others without gold",
    "integration": "right, both golds among {k} others",
    "changed": "follows the change among {k} others",
}


def kind_of(test: str, distractors: int) -> str:
    """The kind of a probe's question."""
    return f"{METRIC}/{test}/{distractors}"


def robust(question: Question, answer: Answer, *, max_words: int = MAX_WORDS) -> Score:
    """1 when a probe was answered right, or refused where only distractors were shown; None for other questions."""
    if not question.kind.startswith(f"{METRIC}/"):
        return Score(None, "no probe of robustness")
    if question.gold is None:
        return Score(float(answer.refused), "it refused" if answer.refused else "it answered from distractors")
    return judge_values(question, question.gold, answer, max_words=max_words)


def measure_robustness(
    records: Sequence[EvalRecord], *, why: str = "", resamples: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """The summary's "robustness" as plain JSON data: a row per test and level with both arms and their difference.

    `drop` is what the distractors cost an arm: its level less its level without any, paired by question. Intervals are
    over documents. `places` splits the noisy answers by whether the gold passage stood first or further down: who reads
    the first passage alone shows there. `why` says why nothing was asked.
    """
    found: dict[str, dict[tuple[str, str], EvalRecord]] = {}
    for record in records:
        item, _, _ = record.item_id.partition(MARK)
        found.setdefault(record.arm, {})[record.question.kind, item] = record
    clusters = {key[1]: cluster_of(r.question) for arm in found.values() for key, r in arm.items() if r.question.gold}
    draw: dict[str, Any] = {"resamples": resamples, "seed": seed}
    rows = []
    for test, levels in LEVELS.items():
        for level in levels:
            kind = kind_of(test, level)
            items = sorted({item for arm in found.values() for of, item in arm if of == kind})
            if not items:
                continue
            keys = [clusters.get(item, item) for item in items]
            columns = {arm: _column(found.get(arm, {}), kind, items) for arm in ARMS}
            clean = {arm: _column(found.get(arm, {}), kind_of(test, levels[0]), items) for arm in ARMS}
            rows.append(
                {
                    "test": test,
                    "distractors": level,
                    "arms": {a: as_json(mean_interval(columns[a], clusters=keys, **draw)) for a in ARMS},
                    "difference": as_json(paired_difference(columns[ARMS[1]], columns[ARMS[0]], clusters=keys, **draw)),
                    "drop": {
                        arm: as_json(paired_difference(columns[arm], clean[arm], clusters=keys, **draw))
                        for arm in ARMS
                        if level != levels[0]
                    },
                }
            )
    return {
        "rows": rows,
        "places": _places(found, clusters, draw) if rows else {},
        "why": "" if rows else why or "no question with a gold passage was asked",
    }


def _places(
    found: Mapping[str, Mapping[tuple[str, str], EvalRecord]], clusters: Mapping[str, str], draw: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Per place ("first", "later") and arm the share of right answers with gold among at least one other passage."""
    noisy = [kind_of("noise", level) for level in LEVELS["noise"] if level]
    places: dict[str, dict[str, Any]] = {}
    for place in ("first", "later"):
        for arm in ARMS:
            some = [
                (item, r.scores[METRIC].value)
                for (kind, item), r in found.get(arm, {}).items()
                if kind in noisy and METRIC in r.scores and _is_first(r) == (place == "first")
            ]
            keys = [clusters.get(item, item) for item, _ in some]
            shown = mean_interval([value for _, value in some], clusters=keys, **draw)
            places.setdefault(place, {})[arm] = as_json(shown)
    return places


def _is_first(record: EvalRecord) -> bool:
    gold, answer = record.question.gold, record.answer
    quotes = gold.quotes if gold is not None else ()
    return answer is not None and any(holds(hit.passage, *quote) for hit in answer.hits[:1] for quote in quotes)


def _column(arm: Mapping[tuple[str, str], EvalRecord], kind: str, items: Sequence[str]) -> list[float | None]:
    column = []
    for item in items:
        record = arm.get((kind, item))
        column.append(record.scores[METRIC].value if record is not None and METRIC in record.scores else None)
    return column


def robustness_section(robustness: Mapping[str, Any] | None) -> str:
    """The section of the report; "" for a summary without one."""
    if robustness is None:
        return ""
    head = "## Robustness\n\n"
    if not robustness["rows"]:
        return head + f"Could not be measured: {robustness['why']}."
    rows = []
    for row in robustness["rows"]:
        drop = row["drop"].get(ARMS[1])
        rows.append(
            [
                _SAID[row["test"]].format(k=row["distractors"]),
                *(in_words(from_json(row["arms"][arm])) for arm in ARMS),
                in_words(from_json(row["difference"]), signed=True),
                in_words(from_json(drop), signed=True) if drop else "",
            ]
        )
    for place, shown in robustness["places"].items():
        cells = [in_words(from_json(shown[arm])) for arm in ARMS]
        rows.append([f"right, gold among others, standing {place}", *cells, "", ""])
    note = (
        "The passages are set by hand, so that the search has no part in it; distractors are what it likes best "
        "among the passages that do not hold the answer."
    )
    header = ["", "base", "tuned", "difference", "what the others cost the tuned"]
    return head + table(header, rows) + f"\n\n{note}"

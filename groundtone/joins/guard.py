"""What the forgetting guard measures while a voice is trained: the project's general items, judged as evaluation does.

Only the half of the items that settings are chosen on is asked; where the guard stopped a training, an evaluation
reports on the other half, which had no part in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eval.checks import run_check
from eval.estimates import from_json
from eval.forgetting import ALL_SUITES, compare
from eval.suite import GeneralItem, read_general
from groundtone.errors import DataError
from groundtone.joins.evaluation import CHOSEN, in_choosing_half
from groundtone.joins.given import GivenContext
from groundtone.models.generate import LocalModel
from groundtone.models.weights import Base
from groundtone.settings import Settings
from groundtone.types import Estimate, EvalRecord
from tuning.guard import Suite, Watch, outcome_of

__all__ = ["items_of", "notes_of", "watch_of"]

_STOPS = {"forgotten": ("forgotten",), "not retained": ("forgotten", "inconclusive")}


def watch_of(settings: Settings) -> Watch | None:
    """What `tuning.guard` asks for; None where it is off. Raises DataError where there are no such items."""
    every = settings.tuning.guard.every
    return Watch.every(every, _measure(settings, items_of(settings))) if every else None


def notes_of(settings: Settings, run: Path) -> dict[str, Any]:
    """For the manifest of a finished run: how the watch ended, and that its items had a part in it where they had."""
    found = outcome_of(run)
    if found is None:
        return {}
    notes = {"every": settings.tuning.guard.every, "looks": found.looks, "said": found.line()}
    if found.stopped_at is None:
        return {"guard": notes}
    stopped = {"stopped_at": found.stopped_at, "restored": found.restored, "why": found.why}
    return {"guard": notes | stopped, CHOSEN: True}


def items_of(settings: Settings) -> tuple[GeneralItem, ...]:
    """The choosing half of the watched suites, at most `tuning.guard.items` of each, spread over the file."""
    given = settings.tuning.guard
    path = settings.path(settings.eval.general)
    found = read_general(path) if path.exists() else ()
    general = [item for item in found if in_choosing_half(item.question.id)]
    suites = sorted({item.suite for item in general})
    unknown = sorted(set(given.suites) - set(suites))
    if unknown or not suites:
        raise DataError(
            f"tuning.guard.suites names {unknown[0] if unknown else 'no suite'}, but {settings.eval.general} has "
            f"{', '.join(suites) or 'no general items'}: name some of them, or leave it empty for all"
        )
    kept: list[GeneralItem] = []
    for suite in given.suites or suites:
        own = [item for item in general if item.suite == suite]
        n = min(given.items, len(own))
        kept += [own[i * len(own) // n] for i in range(n)]
    return tuple(kept)


def _measure(settings: Settings, items: Sequence[GeneralItem]) -> Any:
    """A `tuning.guard.Measure`: the base is asked once, the adapter at every look."""
    given = settings.tuning.guard
    before: list[EvalRecord] = []
    margins = settings.eval.margins.model_dump()
    margin = margins["general"] if given.margin is None else given.margin

    def measure(base: Base, model: Any) -> list[Suite]:
        speaks = LocalModel.around(base, model, batch_size=settings.model.batch_size)
        if not before:
            with model.disable_adapter():
                before.extend(_ask(settings, items, speaks, arm="base"))
        rows = compare(
            before,
            _ask(settings, items, speaks, arm="tuned"),
            {"general": margin},
            chance=settings.eval.chance,
            resamples=settings.eval.resamples,
            seed=settings.eval.seed,
        )
        return [_suite(row, margin, stops=_STOPS[given.stops]) for row in rows if row["suite"] != ALL_SUITES]

    return measure


def _ask(settings: Settings, items: Sequence[GeneralItem], model: LocalModel, *, arm: str) -> list[EvalRecord]:
    answerer = GivenContext(
        arm,
        generator=model,
        contexts={item.question.id: item.context for item in items},
        max_new_tokens=settings.eval.max_new_tokens,
        batch_size=settings.eval.batch_size,
    )
    answers = answerer.answer_many([item.question for item in items])
    return [
        EvalRecord(
            item.question.id,
            arm,
            item.question,
            answer,
            {} if answer.error else {item.suite: run_check(item.check, answer.text)},
            answer.error,
        )
        for item, answer in zip(items, answers, strict=True)
    ]


def _suite(row: dict[str, Any], margin: float, *, stops: Sequence[str]) -> Suite:
    difference = from_json(row["difference"]) or Estimate(None, None, None, 0)
    return Suite(row["suite"], difference, margin, row["verdict"], row["verdict"] in stops)

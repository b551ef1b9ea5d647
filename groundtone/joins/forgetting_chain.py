"""`groundtone forgetting`: what one adapter, or several in sequence, cost on every suite; forgetting.json and .md.

Every adapter answers the same general items as the base, on the same weights. What an evaluation of the run has already
answered is read from there and not asked again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.chain import Stage, measure_chain
from eval.forgetting import ALL_SUITES, compare
from eval.forgetting_report import to_markdown
from eval.records import read_records
from eval.runner import RECORDS
from eval.suite import GeneralItem, read_general
from groundtone.errors import ModelError, ProjectError
from groundtone.files import write_atomic
from groundtone.joins.arms import Models, load_models, style_of
from groundtone.joins.drift import ask_harness, forgetting_sections
from groundtone.joins.evaluation import ask_general
from groundtone.joins.foreign import ask_foreign
from groundtone.joins.harness import HarnessReport
from groundtone.joins.material import Material, first_of_each
from groundtone.joins.runs import start_run
from groundtone.project import Project, Run
from groundtone.settings import Settings
from groundtone.types import EvalRecord

if TYPE_CHECKING:
    from groundtone.models.generate import LocalModel

__all__ = ["measure_forgetting"]

Progress = Callable[[str, int, int], None]
NO_OP, DAMAGE = 1e-30, 30.0  # strengths: too small to change a number, and far beyond any voice
BASE = "base"


@dataclass(frozen=True, slots=True)
class _Measured:
    """One adapter: its records and the base's, and what stands beside them."""

    run: str
    base: list[EvalRecord]
    tuned: list[EvalRecord]
    harness: HarnessReport
    sections: Mapping[str, Any]
    foreign: list[dict[str, Any]]


def measure_forgetting(
    project: Project,
    settings: Settings,
    runs: Sequence[str],
    *,
    controls: bool = False,
    foreign: bool = False,
    learned: Mapping[str, str] | None = None,
    limit: int | None = None,
    progress: Progress = lambda stage, done, total: None,
) -> Run:
    """The run whose folder holds forgetting.json and forgetting.md.

    `runs` are tuning runs in the order of their training. `learned` says which of them taught a suite. `controls` asks
    the base again in other batches, a no-op adapter and a damaged one. `limit` takes the first items of every suite,
    harness task and kind of foreign question. Raises ProjectError for a run named twice or unknown, and where `learned`
    names another.
    """
    if not runs or len(set(runs)) != len(runs):
        raise ProjectError(f"the runs are {', '.join(runs) or 'none'}: name one or several tuning runs, each once")
    for name in runs:
        project.run_path(name)
    taught = {suite: 1 + _position(run, runs) for suite, run in (learned or {}).items()}
    items = tuple(first_of_each(read_general(settings.path(settings.eval.general)), lambda i: i.suite, limit))
    parents = {f"tune-{n}": run for n, run in enumerate(runs, 1)}
    with start_run(project, settings, "forgetting", seed=settings.eval.seed, parents=parents) as run:
        measured = [
            _measure(
                project,
                _limited(settings, limit),
                name,
                items,
                folder=run.path / name,
                foreign=foreign,
                limit=limit,
                progress=progress,
            )
            for name in runs
        ]
        report = _report(settings, measured, learned=taught)
        if controls:
            report["controls"] = _controls(project, settings, measured[-1], items, run.path, progress)
        write_atomic(run.path / "forgetting.json", json.dumps(report, indent=1, ensure_ascii=False) + "\n")
        write_atomic(run.path / "forgetting.md", to_markdown(report))
        run.finish(adapters=list(runs), limit=limit)
    return run


def _limited(settings: Settings, limit: int | None) -> Settings:
    """The settings with no more items of a harness task than `limit`."""
    own = settings.eval.harness.limit
    if limit is None or (own is not None and own <= limit):
        return settings
    harness = settings.eval.harness.model_copy(update={"limit": limit})
    return replace(settings, eval=settings.eval.model_copy(update={"harness": harness}))


def _position(run: str, runs: Sequence[str]) -> int:
    if run not in runs:
        raise ProjectError(f"a suite is said to be learned in {run!r}, which is not among {', '.join(runs)}")
    return runs.index(run)


def _measure(
    project: Project,
    settings: Settings,
    name: str,
    items: Sequence[GeneralItem],
    *,
    folder: Path,
    foreign: bool,
    limit: int | None,
    progress: Progress,
) -> _Measured:
    models = load_models(project, settings, tuned=name)
    if models.tuned is None:
        raise ProjectError(f"run {name} holds no adapter: name a tuning run that is done")
    records = _stored(project, name, items) or _ask(settings, models, items, folder=folder, progress=progress)
    harness = ask_harness(settings, models, out_dir=folder, progress=progress)
    records = [*records, *harness.records]
    rows = ask_foreign(settings, models, out_dir=folder / "foreign", progress=progress, limit=limit) if foreign else []
    return _Measured(
        name,
        [record for record in records if record.arm == BASE],
        [record for record in records if record.arm == "tuned"],
        harness,
        forgetting_sections(settings, models, records, harness),
        rows,
    )


def _ask(
    settings: Settings, models: Models, items: Sequence[GeneralItem], *, folder: Path, progress: Progress
) -> list[EvalRecord]:
    material = Material((), {}, tuple(items), {}, style_of(settings), None)
    return ask_general(settings, material, models, out_dir=folder, progress=progress)


def _stored(project: Project, name: str, items: Sequence[GeneralItem]) -> list[EvalRecord]:
    """The records of the newest evaluation of that adapter that asked exactly these items of both arms; else none."""
    asked = {item.question.id: item.question for item in items}
    for manifest in project.runs("eval"):
        path = project.run_path(manifest.id) / RECORDS
        if manifest.status != "done" or manifest.parents.get("tune") != name or not path.is_file():
            continue
        found = [r for r in read_records(path) if r.arm in (BASE, "tuned") and asked.get(r.item_id) == r.question]
        if len(found) == 2 * len(asked):
            return found
    return []


def _report(settings: Settings, measured: Sequence[_Measured], *, learned: Mapping[str, int]) -> dict[str, Any]:
    given = settings.eval
    draw: dict[str, Any] = {"resamples": given.resamples, "seed": given.seed}
    for before, after in pairwise(measured):
        _same_base(before, after)
    chance = {suite: share for one in measured for suite, share in one.harness.chance.items()} | given.chance
    margins = given.margins.model_dump()
    stages = [Stage(BASE, measured[0].base), *(Stage(one.run, one.tuned) for one in measured)]
    return {
        "schema": 1,
        "adapters": [
            {
                "run": one.run,
                "suites": compare(one.base, one.tuned, margins, chance=chance, **draw),
                **one.sections,
                "foreign": one.foreign,
            }
            for one in measured
        ],
        "chain": measure_chain(stages, learned=learned, chance=chance, **draw),
    }


def _same_base(before: _Measured, after: _Measured) -> None:
    """Raises ModelError where the two runs' bases answered differently: their adapters are not one sequence."""
    texts = [{r.item_id: r.answer.text for r in one.base if r.answer is not None} for one in (before, after)]
    differing = [item for item in texts[0] if item in texts[1] and texts[0][item] != texts[1][item]]
    if differing:
        raise ModelError(
            f"the bases of {before.run} and {after.run} answer {len(differing)} items differently, such as "
            f"{differing[0]}: "
            "a sequence needs one base; evaluate both again with one configuration"
        )


def _controls(
    project: Project,
    settings: Settings,
    measured: _Measured,
    items: Sequence[GeneralItem],
    folder: Path,
    progress: Progress,
) -> dict[str, Any]:
    """What the statistics say where the answer is known: nothing changed, nothing could change, much was broken."""
    from groundtone.models.generate import LocalModel

    models = load_models(project, settings, tuned=measured.run)
    tuned = models.tuned
    if not isinstance(tuned, LocalModel):
        return {"why": "the controls need weights on this machine"}
    smaller = settings.eval.model_copy(update={"batch_size": max(1, settings.eval.batch_size // 2)})
    other_batches = replace(settings, eval=smaller)

    def row(name: str, model: LocalModel, given: Settings) -> dict[str, Any]:
        pair = Models(models.base, model)
        records = _ask(given, pair, items, folder=folder / f"control {name}", progress=progress)
        return _over_all(settings, measured.base, [r for r in records if r.arm == "tuned"])

    found: dict[str, Any] = {"base again, in smaller batches": row("noise", tuned.with_strength(0), other_batches)}
    for name, strength in (("no-op adapter", NO_OP), ("damaged adapter", DAMAGE)):
        try:
            dialled = tuned.with_strength(strength)
        except ModelError as error:
            found[name] = {"why": str(error)}
            continue
        found[name] = row(name.split()[0], dialled, settings)
    return found


def _over_all(settings: Settings, base: Sequence[EvalRecord], other: Sequence[EvalRecord]) -> dict[str, Any]:
    """The row over all suites, and how many replies differ."""
    given = settings.eval
    rows = compare(
        base, other, given.margins.model_dump(), chance=given.chance, resamples=given.resamples, seed=given.seed
    )
    texts = {r.item_id: r.answer.text for r in base if r.answer is not None}
    changed = sum(r.answer is not None and texts.get(r.item_id) != r.answer.text for r in other)
    pooled = next((row for row in rows if row["suite"] == ALL_SUITES), None)
    return {"row": pooled, "replies": len(other), "changed": changed}

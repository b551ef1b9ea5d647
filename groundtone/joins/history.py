"""The versions of an adapter: which runs went into it, and what changed in every suite from one to the next.

Two versions are compared item by item where both evaluations asked the same question, never by their means alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eval.metrics import LOWER_IS_BETTER
from eval.records import read_records
from eval.runner import RECORDS
from eval.summary import cluster_of
from groundtone.errors import ProjectError
from groundtone.project import Manifest, Project
from groundtone.stats import mean_interval, paired_difference
from groundtone.types import Estimate, EvalRecord

__all__ = ["Change", "Version", "history", "lineage", "parents_of"]

METRICS = ("tone", "format", "correct", "hallucination", "follows_change", "refused_right", "refused_wrong")
_GROUNDED, _GENERAL, _LEAK = "tuned/rag", "tuned", "tuned/leak"
_ROLE = re.compile(r"tune\d*")


@dataclass(frozen=True, slots=True)
class Change:
    """One suite of two versions: both as measured, and the paired difference over the items that both answered.

    `before` and `difference` are None for a first version. `verdict`: better, worse, or "cannot tell".
    """

    suite: str
    before: Estimate | None
    after: Estimate
    difference: Estimate | None
    verdict: str


@dataclass(frozen=True, slots=True)
class Version:
    """One adapter of the chain. `evaluation` is "" where none of it is done; then there are no changes."""

    run: str
    created: str
    made: str  # "tuned", "continued from RUN", "RUN at 0.5", "0.7 x A + 0.3 x B"
    rows: int | None
    data: str  # hashes of the files, shortened
    evaluation: str
    verdict: str  # of its gate
    changes: tuple[Change, ...]


def parents_of(manifest: Manifest) -> list[str]:
    """The tuning runs that a run was made from, in order."""
    return [run for role, run in sorted(manifest.parents.items()) if _ROLE.fullmatch(role)]


def lineage(project: Project, run: str) -> list[Manifest]:
    """The run and every run that went into it, nearest first, each once; one that was removed is left out."""
    known = {manifest.id: manifest for manifest in project.runs("tune")}
    waiting, found = [project.run(run).manifest], dict[str, Manifest]()
    while waiting:
        manifest = waiting.pop(0)
        if manifest.id not in found:
            found[manifest.id] = manifest
            waiting += [known[parent] for parent in parents_of(manifest) if parent in known]
    return list(found.values())


def history(project: Project, run: str) -> list[Version]:
    """The chain of versions that ends in `run`, oldest first; of a combined adapter, along its first ingredient."""
    known = {manifest.id: manifest for manifest in lineage(project, run)}
    chain = [project.run(run).manifest]
    if chain[0].kind != "tune":
        raise ProjectError(f"{run} is a run of {chain[0].kind}, not a tuning: `groundtone adapters` lists those")
    while (parent := next(iter(parents_of(chain[0])), None)) in known and known[parent] not in chain:
        chain.insert(0, known[parent])
    return list(_versions(project, chain))


def _versions(project: Project, chain: Sequence[Manifest]) -> Iterator[Version]:
    before: Mapping[str, Mapping[str, EvalRecord]] = {}
    for manifest in chain:
        evaluation = _newest_evaluation(project, manifest.id)
        after = _measured(project, evaluation.id) if evaluation else {}
        yield Version(
            run=manifest.id,
            created=manifest.created,
            made=_made(manifest),
            rows=manifest.notes.get("rows"),
            data=", ".join(f"{name} {sha[:8]}" for name, sha in manifest.inputs.items()),
            evaluation=evaluation.id if evaluation else "",
            verdict=str(evaluation.notes.get("verdict", "")) if evaluation else "",
            changes=tuple(_change(suite, before.get(suite), after[suite]) for suite in after),
        )
        before = after or before  # a version that nobody evaluated is skipped, not taken for a gap


def _made(manifest: Manifest) -> str:
    notes: Mapping[str, Any] = manifest.notes
    if "combined_from" in notes:
        return " + ".join(f"{weight:g} x {name}" for name, weight in notes["combined_from"].items())
    if "baked_from" in notes:
        return f"{notes['baked_from']} at {notes.get('strength', 1.0):g}"
    return f"continued from {notes['continued_from']}" if "continued_from" in notes else "tuned"


def _newest_evaluation(project: Project, tuned: str) -> Manifest | None:
    done = (m for m in project.runs("eval") if m.status == "done" and m.parents.get("tune") == tuned)
    return next((m for m in done if (project.run_path(m.id) / RECORDS).is_file()), None)


def _measured(project: Project, evaluation: str) -> dict[str, dict[str, EvalRecord]]:
    """Suite -> item -> record, of the tuned model alone. A suite is a metric over documents or a general suite."""
    suites: dict[str, dict[str, EvalRecord]] = {}
    for record in read_records(project.run_path(evaluation) / RECORDS):
        if record.arm not in (_GROUNDED, _GENERAL, _LEAK):
            continue
        for name, score in record.scores.items():
            if score.value is not None and (record.arm != _GROUNDED or name in METRICS):
                suites.setdefault(name, {})[record.item_id] = record
    return dict(sorted(suites.items(), key=lambda suite: (suite[0] not in METRICS, suite[0])))


def _change(suite: str, before: Mapping[str, EvalRecord] | None, after: Mapping[str, EvalRecord]) -> Change:
    now = mean_interval([_value(record, suite) for record in after.values()], clusters=_clusters(after.values()))
    if before is None:
        return Change(suite, None, now, None, "first measured")
    then = mean_interval([_value(record, suite) for record in before.values()], clusters=_clusters(before.values()))
    both = [item for item in after if item in before and after[item].question == before[item].question]
    difference = paired_difference(
        [_value(after[item], suite) for item in both],
        [_value(before[item], suite) for item in both],
        clusters=_clusters(after[item] for item in both),
    )
    return Change(suite, then, now, difference, _verdict(suite, difference))


def _verdict(suite: str, difference: Estimate) -> str:
    if difference.low is None or difference.high is None or difference.low <= 0.0 <= difference.high:
        return "cannot tell"
    lower_is_better = suite in LOWER_IS_BETTER or suite == "recital"
    return "better" if (difference.low > 0.0) != lower_is_better else "worse"


def _value(record: EvalRecord, suite: str) -> float | None:
    return record.scores[suite].value


def _clusters(records: Any) -> list[str]:
    return [cluster_of(record.question) for record in records]

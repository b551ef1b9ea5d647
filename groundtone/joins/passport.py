"""What is read of a project to judge a release: the facts of its passport, and two runs to compare."""

from __future__ import annotations

from typing import Any

from eval.compare import compare_runs
from eval.paired import Draw
from eval.passport import passport
from eval.records import read_records
from eval.runner import RECORDS
from eval.summary import read_summary
from groundtone.errors import ProjectError
from groundtone.joins.blame_run import BLAME, read_blame
from groundtone.joins.eval_run import differing
from groundtone.models.adapter import read_card
from groundtone.models.adapter_files import adapter_sha256
from groundtone.project import Manifest, Project
from tuning.run_folder import adapter_folder, model_folder

__all__ = ["compare_evaluations", "release_passport"]

_PRIVATE = ("dashboard", "server")


def release_passport(project: Project, run: str) -> dict[str, Any]:
    """The passport of an evaluation that is done. Raises ProjectError for a run that is none."""
    manifest = _evaluation(project, run)
    folder = project.run_path(run)
    summary = read_summary(folder)
    return passport(
        summary,
        hashes=_hashes(project, manifest),
        inputs=manifest.inputs,
        versions=manifest.versions,
        revision=manifest.revision,
        device=manifest.device,
        config={name: part for name, part in manifest.config.items() if name not in _PRIVATE},
        blame=read_blame(folder) if (folder / BLAME).is_file() else None,
        reproduce=_commands(manifest),
    )


def _evaluation(project: Project, run: str) -> Manifest:
    manifest = project.run(run).manifest
    if manifest.kind != "eval":
        raise ProjectError(f"{run} is a run of {manifest.kind}, not an evaluation: `groundtone runs --kind eval`")
    if manifest.status != "done":
        raise ProjectError(f"{run} is {manifest.state()}: go on with `groundtone eval --resume {run}`")
    return manifest


def _hashes(project: Project, manifest: Manifest) -> dict[str, str]:
    """What was judged, by content: index, and of a tuned model its base, adapter and training rows."""
    hashes = {"index": manifest.parents.get("index", "")}
    tuned = manifest.parents.get("tune")
    if tuned is None:
        return hashes
    folder = project.run_path(tuned)
    if model_folder(folder) is not None:
        return hashes | {"tuned in full by": tuned}
    adapter = adapter_folder(folder)
    card = read_card(adapter)
    known = {"base": card.base_sha256, "training rows": card.data_sha256} if card is not None else {}
    return hashes | known | {"adapter": adapter_sha256(adapter)}


def _commands(manifest: Manifest) -> list[str]:
    """The commands that repeat the evaluation, on the same inputs and the configuration that the passport holds."""
    tuned = manifest.parents.get("tune")
    limit = manifest.notes.get("limit")
    options = [*(["--tuned", tuned] if tuned else []), *(["--limit", str(limit)] if limit else [])]
    checkout = [f"git checkout {manifest.revision.removesuffix('+changes')}"] if manifest.revision else []
    if "answers" in manifest.notes:
        return [*checkout, f"groundtone eval --answers FILE --name {manifest.notes['answers']}"]
    return [*checkout, "groundtone index", " ".join(["groundtone eval", *options])]


def compare_evaluations(project: Project, before: str, after: str) -> dict[str, Any]:
    """Two evaluations, each RUN or RUN:ARM; with an arm of each, these two arms are compared.

    Raises ProjectError for one arm without the other, or for an arm that a run has not.
    """
    (run_a, arm_a), (run_b, arm_b) = (name.partition(":")[::2] for name in (before, after))
    if bool(arm_a) != bool(arm_b):
        raise ProjectError(f"{before} and {after}: name an arm of both runs, as RUN:ARM, or of neither")
    manifests = [_evaluation(project, run) for run in (run_a, run_b)]
    records = [read_records(project.run_path(run) / RECORDS) for run in (run_a, run_b)]
    for run, arm, some in ((run_a, arm_a, records[0]), (run_b, arm_b, records[1])):
        known = sorted({record.arm for record in some})
        if arm and arm not in known:
            raise ProjectError(f"{run} has no arm {arm!r}: it has {', '.join(known)}")
    given = manifests[1].resolved.get("eval", {})
    draw = Draw(given.get("resamples", 2000), given.get("seed", 0))
    found = compare_runs(*records, arms=(arm_a, arm_b) if arm_a else None, draw=draw)
    then, now = (
        {name: part for name, part in m.resolved.items() if name not in _PRIVATE}
        | {"inputs": m.inputs, "parents": m.parents, "versions": m.versions, "revision": m.revision}
        for m in manifests
    )
    return {"runs": [before, after], "changed": differing(then, now), **found}

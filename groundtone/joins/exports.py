"""Adapters as products: compared with what each measured, summed into a new run, written out for other programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from eval.estimates import from_json, in_words
from eval.summary import SUMMARY, read_summary
from groundtone.errors import ModelError, ProjectError
from groundtone.files import write_atomic
from groundtone.joins.access import groups_of_base, groups_of_folder, union
from groundtone.joins.arms import model_id
from groundtone.joins.proof import replay_prompts
from groundtone.joins.voice_data import read_voice
from groundtone.models.adapter import AdapterCard, read_card
from groundtone.models.adapter_files import Ingredient, combine
from groundtone.project import Project, Run
from groundtone.settings import Settings
from tuning import export as write
from tuning.adapters import compare_cards, find_adapter
from tuning.model_card import Figure, model_card

__all__ = ["EXPORTS", "Comparison", "Export", "combine_run", "compare", "export", "newest_summary"]

Export = Literal["merged", "ollama", "vllm", "openai", "card"]
EXPORTS: tuple[str, ...] = get_args(Export)
_METRICS = ("tone", "format", "correct", "hallucination", "refused_right", "refused_wrong")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two adapters: what differs in their making, and what each measured where it was evaluated."""

    made: tuple[tuple[str, str, str], ...]
    measured: tuple[tuple[str, str, str], ...]


def newest_summary(project: Project, tuned: str) -> dict[str, Any] | None:
    """The newest evaluation of a tuning run; None where there is none that is done."""
    for manifest in project.runs("eval"):
        path = project.run_path(manifest.id)
        if manifest.status == "done" and (path / SUMMARY).is_file():
            summary = read_summary(path)
            if summary.get("tuned_run") == tuned:
                return summary
    return None


def figures(summary: dict[str, Any] | None) -> list[Figure]:
    """The rows that a person decides by: grounded answers, then general skills suite by suite."""
    if summary is None:
        return []
    arms = summary["arms"]
    rows = [
        Figure(metric, *(in_words(from_json(arms.get(arm, {}).get(metric))) for arm in ("base/rag", "tuned/rag")))
        for metric in _METRICS
    ]
    return rows + [
        Figure(row["suite"], in_words(from_json(row["base"])), in_words(from_json(row["tuned"])), row["verdict"])
        for row in summary["forgetting"]
    ]


def compare(project: Project, a: str, b: str) -> Comparison:
    """Two adapters by run id or folder: the differing lines of their cards, and their newest evaluations' figures."""
    left, right = (_card(find_adapter(project, named)) for named in (a, b))
    of_a, of_b = (
        {f.what: f"{f.tuned} {f.verdict}".strip() for f in figures(newest_summary(project, n))} for n in (a, b)
    )
    rows = [(what, of_a.get(what, "-"), of_b.get(what, "-")) for what in dict.fromkeys([*of_a, *of_b])]
    return Comparison(tuple(compare_cards(left, right)), tuple(rows))


def _card(folder: Path) -> AdapterCard:
    card = read_card(folder)
    if card is None:
        raise ModelError(f"adapter {folder} has no card: it was made by another program, which says nothing about it")
    return card


def combine_run(
    project: Project, settings: Settings, parts: Sequence[tuple[str, float]], *, out: Path | None = None
) -> Path:
    """The weighted sum of adapters: in `out`, or as a tuning run that `evaluate` takes as the newest. Its folder.

    The run is of the model that the first named run was tuned on; each part is a run's id or an adapter's folder. What
    comes of it serves only callers in the groups of all parts.
    """
    ingredients = [Ingredient(_short(name), find_adapter(project, name), weight) for name, weight in parts]
    groups = union(*(groups_of_folder(project, item.folder) for item in ingredients))
    if out is not None:
        return combine(ingredients, out, groups=groups)
    known = {manifest.id: manifest for manifest in project.runs("tune")}
    first = next((known[name] for name, _ in parts if name in known), None)
    made = project.start_run(
        "tune",
        config=first.config if first else settings.given,
        resolved=first.resolved if first else settings.resolved,
        parents={f"tune{n}": name for n, (name, _) in enumerate(parts, 1) if name in known},
        notes={"combined_from": {item.name: item.weight for item in ingredients}}
        | ({"groups": list(groups)} if groups else {}),
    )
    with made:
        combine(ingredients, made.path / "adapter", groups=groups)
        made.finish()
    return made.path


def _short(name: str) -> str:
    path = Path(name)
    return path.resolve().parent.name if path.name == "adapter" else path.name


def export(project: Project, settings: Settings, what: str, out: Path, *, run: str) -> str:
    """Write one export of a tuning run's adapter to `out`; returns a line that says what came of it.

    "merged" is a folder, the others are files. Access groups go along: on the card in the merged folder, which this
    program heeds, and in what is said of every kind, for other programs heed none. Raises ProjectError for an unknown
    kind.
    """
    folder = find_adapter(project, run)
    base = model_id(settings)
    groups = union(groups_of_folder(project, folder), groups_of_base(base))
    only = f"only for callers who are in all of: {', '.join(groups)}" if groups else ""
    said = _export(project, settings, what, out, run=run, folder=folder, groups=groups, only=only)
    return f"{said}\n{only}; other programs do not know that" if only else said


def _export(
    project: Project,
    settings: Settings,
    what: str,
    out: Path,
    *,
    run: str,
    folder: Path,
    groups: tuple[str, ...],
    only: str,
) -> str:
    base = model_id(settings)
    if what == "merged":
        found = write.merge(
            base,
            folder,
            out,
            replay=replay_prompts(settings),
            dtype=settings.model.dtype,
            device=settings.model.device,
            allow_template_mismatch=settings.model.allow_template_mismatch,
            card=replace(_card(folder), groups=groups) if groups else None,
        )
        return f"against the adapter, {found.line()}"
    if what == "ollama":
        chat_format = write.chat_format_of(base)
        text = write.ollama_modelfile(chat_format, "./merged", bos=chat_format.bos)
        write_atomic(out, f"# {only}\n{text}" if only else text)
        return "FROM names ./merged: run `groundtone export merged ./merged` beside the Modelfile"
    if what == "vllm":
        command = write.vllm_command(base, folder, name=run)
        write_atomic(out, command + "\n")
        return command
    if what == "openai":
        rows = write.openai_rows(read_voice(settings).pairs)  # what training read: held-out rows stay unseen
        write_atomic(out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        return f"{len(rows)} rows from {settings.tuning.data}"
    if what == "card":
        return _write_card(project.run(run), project, replace(_card(folder), groups=groups), out)
    raise ProjectError(f"there is no export {what!r}; choose one of {', '.join(EXPORTS)}")


def _write_card(run: Run, project: Project, card: AdapterCard, out: Path) -> str:
    summary = newest_summary(project, run.id)
    rows = figures(summary)
    gate = summary["gate"]["verdict"] if summary else ""
    text = model_card(run.manifest, card, figures=rows, verdict=gate, evaluation=summary["run"] if summary else "")
    write_atomic(out, text)
    return f"{len(rows)} measured rows" if rows else "no evaluation of this adapter is done: the card says so"

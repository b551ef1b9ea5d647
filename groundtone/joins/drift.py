"""What an evaluation says of forgetting beside the suites: bits per byte, KL to the base, safety, harness tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.drift import bits_row, kl_row
from eval.records import to_json
from eval.safety import safety_rates
from eval.suite import read_texts
from groundtone.files import write_atomic
from groundtone.joins.arms import Models
from groundtone.joins.given import GivenContext
from groundtone.joins.harness import HarnessReport, run_harness
from groundtone.settings import Settings
from groundtone.types import EvalRecord

if TYPE_CHECKING:
    from groundtone.models.generate import LocalModel

__all__ = ["ask_harness", "drift_rows", "forgetting_sections"]

HARNESS_RECORDS = "harness.jsonl"
Progress = Callable[[str, int, int], None]
NOT_LOCAL = "the model gives no probabilities: bits per byte and KL need weights on this machine"
NOT_TUNED = "nothing is tuned: there is no second model to compare"


def ask_harness(
    settings: Settings, models: Models, *, out_dir: Path, progress: Progress, only: Sequence[str] = ()
) -> HarnessReport:
    """The suites of `eval.harness` under base and tuned, written to harness.jsonl; an empty report without any."""
    given = settings.eval.harness
    if given.tasks is None:
        return HarnessReport((), {}, {}, {}, ())
    report = run_harness(
        models,
        settings.path(given.tasks),
        limit=given.limit,
        max_new_tokens=given.max_new_tokens,
        only=only,
        progress=progress,
    )
    write_atomic(out_dir / HARNESS_RECORDS, "".join(f"{to_json(record)}\n" for record in report.records))
    return report


def forgetting_sections(
    settings: Settings, models: Models, records: Sequence[EvalRecord], harness: HarnessReport
) -> dict[str, Any]:
    """ "drift", "safety" and "harness" of a summary, as plain JSON data; rows, and why there are none."""
    draw: dict[str, Any] = {"resamples": settings.eval.resamples, "seed": settings.eval.seed}
    base, tuned = ([r for r in records if r.arm == arm and r.question.kind == "general"] for arm in ("base", "tuned"))
    rows, why = drift_rows(settings, models, base)
    rows += [
        bits_row(f"{task} (harness)", arms["base"], arms["tuned"], **draw)
        for task, arms in sorted(harness.bits.items())
        if {"base", "tuned"} <= set(arms)
    ]
    return {
        "drift": {"rows": rows, "why": why},
        "safety": safety_rates(base, tuned, **draw),
        "harness": {"unmeasured": dict(harness.unmeasured), "warnings": list(harness.warnings)},
    }


def drift_rows(
    settings: Settings, models: Models, base_records: Sequence[EvalRecord]
) -> tuple[list[dict[str, Any]], str]:
    """The early warnings of tuned against base, and why there are none.

    KL is taken on the base's own replies to general items, evenly over the suites.
    """
    from groundtone.models.generate import LocalModel

    base, tuned = models.base, models.tuned
    if tuned is None:
        return [], NOT_TUNED
    if not isinstance(base, LocalModel) or not isinstance(tuned, LocalModel):
        return [], NOT_LOCAL
    given = settings.eval
    draw: dict[str, Any] = {"resamples": given.resamples, "seed": given.seed}
    rows = []
    path = settings.path(given.prose)
    if path.is_file():
        texts = read_texts(path)
        of_base, of_tuned = (_per_byte(model, texts) for model in (base, tuned))
        rows.append(bits_row(path.stem, of_base, of_tuned, **draw))
    chosen = _evenly([r for r in base_records if r.answer is not None and r.answer.text.strip()], given.kl_items)
    if chosen:
        rows.append(kl_row(_divergences(base, tuned, chosen, settings), **draw))
    return rows, "" if rows else f"neither {path} nor a reply of the base to a general item is there"


def _per_byte(model: LocalModel, texts: Mapping[str, str]) -> dict[str, float]:
    from groundtone.models.likelihood import text_bits

    return {item: found.per_byte for item, found in zip(texts, text_bits(model, list(texts.values())), strict=True)}


def _divergences(
    base: LocalModel, tuned: LocalModel, records: Sequence[EvalRecord], settings: Settings
) -> dict[str, float]:
    from groundtone.models.likelihood import kl_divergences

    shown = {r.item_id: [hit.passage.text for hit in r.answer.hits] for r in records if r.answer is not None}
    asker = GivenContext("base", generator=base, contexts=shown, max_new_tokens=settings.eval.max_new_tokens)
    prompts = [asker.prompt(record.question) for record in records]
    replies = [record.answer.text for record in records if record.answer is not None]
    values = kl_divergences(base, tuned, prompts, replies)
    return {record.item_id: value for record, value in zip(records, values, strict=True)}


def _evenly(records: Sequence[EvalRecord], count: int) -> list[EvalRecord]:
    """The first `count` records when one is taken of each suite in turn."""
    by_suite: dict[str, list[EvalRecord]] = {}
    for record in records:
        suite = next((name for name, score in sorted(record.scores.items()) if score.value is not None), "")
        by_suite.setdefault(suite, []).append(record)
    turns: Iterable[EvalRecord | None] = chain.from_iterable(zip_longest(*by_suite.values()))
    return [record for record in turns if record is not None][:count]

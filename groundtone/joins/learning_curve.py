"""Would more rows help? A voice tuned on parts of its rows, each judged on the same held-out rows.

Everything but the number of rows is as `groundtone tune` has it: epochs, so that every row is seen equally often,
settings, held-out rows. A part is done when its measurements are stored; a stopped curve goes on with the next one. No
adapter is kept, for none of them is meant to be served.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from eval.metrics.format import house_format
from eval.style import Style
from groundtone import prompts
from groundtone.errors import DataError
from groundtone.files import sha256_text, write_atomic
from groundtone.joins.arms import model_id, style_of
from groundtone.joins.facts import prepare
from groundtone.joins.given import GivenContext
from groundtone.joins.methods.voice import train_rows
from groundtone.joins.methods.work import Work
from groundtone.joins.runs import start_run
from groundtone.joins.voice_data import VoiceData, read_voice
from groundtone.project import Run
from groundtone.stats import mean_interval
from groundtone.types import Estimate, Question, VoicePair
from tuning.curve import Curve, learning_curve
from tuning.lora import adapter_of

__all__ = ["CURVE", "Measured", "VoiceCurve", "curve_of", "measure_curve"]

CURVE = "curve.json"


@dataclass(frozen=True, slots=True)
class Measured:
    """One part of the rows: the held-out loss in nats per reply token, and the share of replies in the house format."""

    rows: int
    loss: Estimate
    format: Estimate


@dataclass(frozen=True, slots=True)
class VoiceCurve:
    """What was measured in the folder of `run`, and what follows for the number of rows."""

    run: str
    seeds: int
    measured: tuple[Measured, ...]
    curve: Curve


@dataclass(frozen=True, slots=True)
class _Judged:
    """Values of one training by held-out row; a format of None does not apply."""

    losses: list[float]
    formats: list[float | None]


def measure_curve(work: Work, *, shares: Sequence[float] = (0.25, 0.5, 1.0), seeds: int = 1) -> VoiceCurve:
    """Tunes `seeds` times on each share of the rows, rising, and stores curve.json in a run of kind "curve".

    A run that was stopped goes on where data, settings and shares are the same. Raises DataError without held-out rows,
    for another method than sft, or for too few rows.
    """
    settings, given = work.settings, work.settings.tuning
    if given.method != "sft":
        raise DataError(f"a learning curve is for tuning.method sft, not {given.method}")
    adapter_of(work.shape, "a learning curve")  # a whole model for every part would fill the disk
    data = read_voice(settings)
    if not data.heldout:
        raise DataError("a learning curve compares on held-out rows: set tuning.heldout to a file, or to a share")
    rows = prepare(work.project, settings, data.pairs)
    with _run(work, data, shares, seeds) as run:
        run.note(**rows.notes)
        formats: list[list[float | None]] = []

        def train(part: Sequence[VoicePair]) -> list[float]:
            judged = [_one(work, run, data, part, seed=given.seed + n) for n in range(seeds)]
            formats.append([_mean(values) for values in zip(*(one.formats for one in judged), strict=True)])
            return [sum(values) / len(values) for values in zip(*(one.losses for one in judged), strict=True)]

        clusters = [pair.source for pair in data.heldout]
        curve = learning_curve(rows.pairs, train=train, shares=shares, seed=given.seed, clusters=clusters)
        measured = tuple(
            Measured(point.rows, point.loss, mean_interval(values, clusters=clusters))
            for point, values in zip(curve.points, formats, strict=True)
        )
        made = VoiceCurve(run.id, seeds, measured, curve)
        write_atomic(run.path / CURVE, json.dumps({"schema": 1} | asdict(made), indent=1) + "\n")
        run.finish(verdict=curve.verdict)
    return made


def curve_of(run: Path) -> dict[str, Any]:
    """curve.json of a run, as plain data."""
    stored: dict[str, Any] = json.loads((run / CURVE).read_text(encoding="utf-8"))
    return stored


def _run(work: Work, data: VoiceData, shares: Sequence[float], seeds: int) -> Run:
    """The newest unfinished curve of the same rows, settings and shares; else a new one."""
    settings = work.settings
    judged = {"model": settings.resolved["model"], "tuning": settings.resolved["tuning"], "style": settings.eval.style}
    known = {"inputs": data.inputs, "shares": list(shares), "seeds": seeds, "heldout": repr(data.heldout)}
    key = sha256_text(json.dumps(judged | known, sort_keys=True, default=str))
    for manifest in work.project.runs("curve"):
        if manifest.notes.get("key") == key and (manifest.status == "failed" or manifest.interrupted()):
            return work.project.resume_run(manifest.id)
    seed = settings.tuning.seed
    return start_run(work.project, settings, "curve", seed=seed, inputs=data.inputs, notes={"key": key})


def _one(work: Work, run: Run, data: VoiceData, part: Sequence[VoicePair], *, seed: int) -> _Judged:
    """One training and its measurement, or what was stored of it."""
    folder = run.path / f"rows-{len(part)}-seed-{seed}"
    stored = folder.with_suffix(".json")
    if not stored.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        work.say(f"{len(part)} rows, seed {seed}")
        recipe = replace(work.recipe, seed=seed, keep_checkpoints=1)
        plan = replace(work.plan(folder), recipe=recipe, resume=False)
        result = train_rows(part, plan, work.settings, heldout=data.heldout, replay=data.replay)
        judged = _judge(work, result.adapter, data.heldout)
        write_atomic(stored, json.dumps(asdict(judged)) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    return _Judged(**json.loads(stored.read_text(encoding="utf-8")))


def _judge(work: Work, adapter: Path, heldout: Sequence[VoicePair]) -> _Judged:
    from groundtone.models.generate import LocalModel
    from groundtone.models.score import log_probabilities

    model, settings = work.settings.model, work.settings
    loaded = LocalModel.load(
        model_id(settings), adapter=adapter, dtype=model.dtype, device=model.device, batch_size=model.batch_size
    )
    asked = [prompts.of_pair(pair) for pair in heldout]
    scores = log_probabilities(loaded, asked, [pair.reply for pair in heldout])
    return _Judged([-sum(row) / len(row) for row in scores], _formats(work, loaded, heldout))


def _formats(work: Work, model: Any, heldout: Sequence[VoicePair]) -> list[float | None]:
    """1 where the reply to a held-out prompt is in the house format; None for all where no style says what that is."""
    style, given = style_of(work.settings), work.settings.eval
    if style == Style():
        return [None for _ in heldout]
    metric: Callable[..., Any] = house_format(style)
    questions = [Question(f"h{n}", pair.prompt, pair.history, kind="voice") for n, pair in enumerate(heldout)]
    contexts = {question.id: pair.context for question, pair in zip(questions, heldout, strict=True)}
    answerer = GivenContext(
        "tuned", generator=model, contexts=contexts, max_new_tokens=given.max_new_tokens, batch_size=given.batch_size
    )
    answers = answerer.answer_many(questions)
    return [metric(q, a).value if not a.error else None for q, a in zip(questions, answers, strict=True)]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None

"""Method sft: an adapter on pairs of prompt and reply, after the check of what facts they would teach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from groundtone.files import sha256_file
from groundtone.joins import guard, raft
from groundtone.joins.arms import load_models, model_id
from groundtone.joins.facts import prepare
from groundtone.joins.methods.work import Start, Work
from groundtone.joins.raft import like_runtime
from groundtone.joins.voice_data import read_voice, report_on
from groundtone.models.chat_format import ChatFormat
from groundtone.project import Run
from groundtone.settings import Settings
from groundtone.types import VoicePair
from tuning.engine import Finished
from tuning.estimate import RowsOf
from tuning.guard import Watch
from tuning.processes import leads
from tuning.recipe import Recipe
from tuning.replay import REPLAYED, from_base, rows_wanted
from tuning.rows import render


def tune_voice(work: Work) -> Run:
    """Raises DataError where `tuning.facts` or the data report refuses the rows."""
    settings = work.settings
    start = work.continues
    data = read_voice(settings)
    made = like_runtime(work.project, settings, data.pairs, progress=work.progress)
    data = replace(data, pairs=made.pairs)
    watch = guard.watch_of(settings)
    rows = prepare(work.project, settings, data.pairs)
    for line in (*data.notes, *([made.summary()] if made.made else []), rows.summary):
        work.say(line)
    report = report_on(settings, data)
    with work.start(data.inputs) as run:
        run.note(**rows.notes, **raft.notes_of(made), **({"sources": data.sources} if data.sources else {}))
        if leads():
            report.write(run.path)
        for finding in report.told():
            work.say(finding)
        report.refuse()
        result = train_rows(
            work,
            rows.pairs,
            heldout=data.heldout,
            replay=_replay(work, run, data.replay, rows=len(rows.pairs)),
            out_dir=run.path,
            recipe=work.recipe,
            watch=watch,
            start=start,
            resume=work.resumes,
        )
        return work.finish(run, result, **guard.notes_of(settings, run.path))


def train_rows(
    work: Work,
    pairs: Sequence[VoicePair],
    *,
    heldout: Sequence[VoicePair],
    replay: Sequence[VoicePair],
    out_dir: Path,
    recipe: Recipe,
    watch: Watch | None = None,
    start: Start | None = None,
    resume: bool = False,
) -> Finished:
    """`tuning.sft.train` on these rows, with everything else as configured."""
    from tuning.sft import train

    settings, given = work.settings, work.settings.tuning
    return train(
        pairs,
        base=model_id(settings),
        out_dir=out_dir,
        lora=work.shape,
        recipe=recipe,
        heldout=heldout,
        replay=replay,
        replay_share=given.replay,
        max_length=given.max_length,
        over_length=given.over_length,
        packing=given.packing,
        share_prompts=given.share_prompts,
        kl=given.kl,
        kl_rows=given.kl_rows,
        watch=watch,
        dtype=settings.model.dtype,
        device=settings.model.device,
        start=start.folder if start else None,
        start_name=start.name if start else "",
        resume=resume,
        on_step=work.on_step,
    )


def _replay(work: Work, run: Run, general: Sequence[VoicePair], *, rows: int) -> Sequence[VoicePair]:
    """The general rows to mix in; what the base says is asked before the training and stored with the run."""
    settings, given = work.settings, work.settings.tuning
    if given.replay_from == "file" or not given.replay:
        return general
    said = from_base(
        general,
        lambda: load_models(work.project, settings, tuned=None).base,
        wanted=rows_wanted(rows, share=given.replay),
        out_dir=run.path,
        seed=given.seed,
        max_new_tokens=settings.eval.max_new_tokens,
    )
    run.note(replay={"from": "base", "rows": len(said), "sha256": sha256_file(run.path / REPLAYED)})
    return said


def voice_rows(settings: Settings) -> RowsOf:
    """The rows that would be trained on, for a base that is not loaded yet."""
    pairs = read_voice(settings).pairs
    return lambda base: render(ChatFormat(base.tokenizer), pairs)

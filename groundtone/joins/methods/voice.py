"""Method sft: an adapter on pairs of prompt and reply, after the check of what facts they would teach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from groundtone.files import sha256_file
from groundtone.joins import guard, raft
from groundtone.joins.arms import load_models, model_id
from groundtone.joins.facts import prepare
from groundtone.joins.methods.work import Work
from groundtone.joins.raft import like_runtime
from groundtone.joins.voice_data import read_voice, report_on
from groundtone.project import Run
from groundtone.types import VoicePair
from tuning.replay import REPLAYED, from_base, rows_wanted


def tune_voice(work: Work) -> Run:
    """Raises DataError where `tuning.facts` or the data report refuses the rows."""
    from tuning.sft import train

    settings, given = work.settings, work.settings.tuning
    data = read_voice(settings)
    made = like_runtime(work.project, settings, data.pairs)
    data = replace(data, pairs=made.pairs)
    watch = guard.watch_of(settings)
    rows = prepare(work.project, settings, data.pairs)
    for line in (*data.notes, *([made.summary()] if made.made else []), rows.summary):
        work.say(line)
    report = report_on(settings, data)
    with work.start(data.inputs) as run:
        run.note(**rows.notes, **raft.notes_of(made), **({"sources": data.sources} if data.sources else {}))
        report.write(run.path)
        for finding in report.told():
            work.say(finding)
        report.refuse()
        result = train(
            rows.pairs,
            base=model_id(settings),
            out_dir=run.path,
            lora=work.shape,
            recipe=work.recipe,
            heldout=data.heldout,
            replay=_replay(work, run, data.replay, rows=len(rows.pairs)),
            replay_share=given.replay,
            max_length=given.max_length,
            over_length=given.over_length,
            packing=given.packing,
            kl=given.kl,
            kl_rows=given.kl_rows,
            watch=watch,
            dtype=settings.model.dtype,
            device=settings.model.device,
            resume=work.resumes,
            on_step=work.on_step,
        )
        return work.finish(run, result, **guard.notes_of(settings, run.path))


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

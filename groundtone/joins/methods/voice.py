"""Method sft: an adapter on pairs of prompt and reply, after the check of what facts they would teach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from groundtone.files import sha256_file
from groundtone.joins import guard, raft
from groundtone.joins.arms import load_models
from groundtone.joins.facts import prepare
from groundtone.joins.methods.work import Work
from groundtone.joins.raft import like_runtime
from groundtone.joins.voice_data import read_voice, report_on
from groundtone.models.chat_format import ChatFormat
from groundtone.project import Run
from groundtone.settings import Settings
from groundtone.types import VoicePair
from tuning.engine import Finished
from tuning.estimate import RowsOf
from tuning.guard import Watch
from tuning.plan import Plan
from tuning.replay import REPLAYED, from_base, mix, rows_wanted
from tuning.rows import render
from tuning.sft import Retention, train
from tuning.versions import Start


def tune_voice(work: Work) -> Run:
    """Raises DataError where `tuning.facts` or the data report refuses the rows."""
    settings, start = work.settings, work.continues
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
        work.check(run, report)
        result = train_rows(
            rows.pairs,
            work.plan(run.path),
            settings,
            heldout=data.heldout,
            replay=_replay(work, run, data.replay, rows=len(rows.pairs)),
            watch=watch,
            start=start,
        )
        return work.finish(run, result, **guard.notes_of(settings, run.path))


def train_rows(
    pairs: Sequence[VoicePair],
    plan: Plan,
    settings: Settings,
    *,
    heldout: Sequence[VoicePair],
    replay: Sequence[VoicePair],
    watch: Watch | None = None,
    start: Start | None = None,
) -> Finished:
    """`tuning.sft.train` by this plan, with what is configured against forgetting."""
    given = settings.tuning
    keep = Retention(replay, given.replay, given.kl, given.kl_rows, watch)
    return train(pairs, plan, heldout=heldout, keep=keep, start=start)


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
    """The rows that would be trained on, replay among them, for a base that is not loaded yet.

    Of prompts that the base is to reply to (`tuning.replay_from: base`) the replies are not known, and not counted.
    """
    data, given = read_voice(settings), settings.tuning
    pairs = mix(data.pairs, data.replay, share=given.replay, seed=given.seed)
    return lambda base: render(ChatFormat(base.tokenizer), pairs)

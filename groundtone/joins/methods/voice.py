"""Method sft: an adapter on pairs of prompt and reply, after the check of what facts they would teach."""

from __future__ import annotations

from groundtone.joins.arms import model_id
from groundtone.joins.facts import prepare
from groundtone.joins.methods.work import Work
from groundtone.joins.voice_data import read_voice, report_on
from groundtone.project import Run


def tune_voice(work: Work) -> Run:
    """Raises DataError where `tuning.facts` or the data report refuses the rows."""
    from tuning.sft import train

    settings, given = work.settings, work.settings.tuning
    data = read_voice(settings)
    rows = prepare(work.project, settings, data.pairs)
    for line in (*data.notes, rows.summary):
        work.say(line)
    report = report_on(settings, data)
    with work.start(data.inputs) as run:
        run.note(**rows.notes, **({"sources": data.sources} if data.sources else {}))
        report.write(run.path)
        for finding in report.told():
            work.say(finding)
        report.refuse()
        result = train(
            rows.pairs,
            base=model_id(settings),
            out_dir=run.path,
            lora=work.lora,
            recipe=work.recipe,
            heldout=data.heldout,
            replay=data.replay,
            replay_share=given.replay,
            max_length=given.max_length,
            over_length=given.over_length,
            packing=given.packing,
            dtype=settings.model.dtype,
            device=settings.model.device,
            resume=work.resumes,
            on_step=work.on_step,
        )
        return work.finish(run, result)

"""Methods grpo and rloo: the voice writes, and learns from rewards made of our metrics and of what people preferred."""

from __future__ import annotations

from typing import Literal

from eval.metrics.tone import ToneBands, learn_bands
from groundtone.errors import ConfigError, DataError
from groundtone.joins.arms import style_of
from groundtone.joins.facts import inherited_groups
from groundtone.joins.methods.work import Work
from groundtone.joins.rewards import rewards_of
from groundtone.joins.voice_data import read_voice, report_on
from groundtone.models.reward import RewardModel
from groundtone.project import Run
from groundtone.types import VoicePair
from tuning.reinforce import Reward, Sampling, reinforce


def tune_grpo(work: Work) -> Run:
    """Replies to a prompt compared with the mean of their group."""
    return _tune(work, "grpo")


def tune_rloo(work: Work) -> Run:
    """Replies to a prompt compared with the mean of the others of their group."""
    return _tune(work, "rloo")


def _tune(work: Work, algorithm: Literal["grpo", "rloo"]) -> Run:
    drawn = work.settings.tuning.reinforce
    data = read_voice(work.settings)
    for line in data.notes:
        work.say(line)
    rewards = _rewards(work, data.pairs)
    groups, report = inherited_groups(work.project, work.settings, data.pairs), report_on(work.settings, data)
    work.say("rewarded: " + ", ".join(f"{reward.name} x {reward.weight:g}" for reward in rewards))
    with work.start(data.inputs) as run:
        run.note(**groups)
        work.check(run, report)
        result = reinforce(
            data.pairs,
            work.plan(run.path),
            rewards=rewards,
            sampling=Sampling(
                algorithm=algorithm,
                generations=drawn.generations,
                max_new_tokens=drawn.max_new_tokens,
                temperature=drawn.temperature,
                beta=drawn.beta,
            ),
            heldout=data.heldout,
        )
        if result.warning:
            work.say(result.warning)
        return work.finish(run, result.finished, idle_steps=result.idle, replies_left_out=result.left_out)


def _rewards(work: Work, pairs: tuple[VoicePair, ...]) -> tuple[Reward, ...]:
    settings, weights = work.settings, work.settings.tuning.rewards
    named = {
        "format": weights.format,
        "tone": weights.tone,
        "support": weights.support,
        "refusal": weights.refusal,
        "model": weights.model_weight,
    }
    model = None
    if weights.model is not None:
        folder = work.project.run_path(weights.model) / "adapter"
        model = RewardModel.load(folder, device=settings.model.device, batch_size=settings.model.batch_size)
    found = rewards_of(named, style=style_of(settings), bands=_bands(work, pairs), model=model)
    if not found:
        raise ConfigError(["tuning.rewards: every weight is 0, so nothing is rewarded"])
    return found


def _bands(work: Work, pairs: tuple[VoicePair, ...]) -> ToneBands | None:
    """The tone of the rows' own replies; without enough of them, tone is not rewarded and that is said."""
    if not work.settings.tuning.rewards.tone:
        return None
    try:
        return learn_bands([pair.reply for pair in pairs])
    except DataError as error:
        work.say(f"tone is not rewarded: {error}")
        return None

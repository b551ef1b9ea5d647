"""Rewards for reinforcement, made of the metrics that evaluations report, and of what people preferred.

What is optimised is what is measured: the format's rules, the house's tone bands, claims that the passages support,
refusing where the row's own reply refuses. Every reward of ours lies between 0 and 1; a reward model's has no bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from eval.claims import check_claims
from eval.metrics.format import format_problems
from eval.metrics.tone import ToneBands, tone
from eval.style import Style
from groundtone.grounding import cite, shown_hits
from groundtone.models.reward import RewardModel
from groundtone.prompts import context_snippets, of_pair
from groundtone.refusal import is_refusal
from groundtone.types import Answer, Question, VoicePair, short_hash
from tuning.reinforce import Reward

__all__ = ["format_reward", "model_reward", "refusal_reward", "rewards_of", "support_reward", "tone_reward"]

Score = Callable[[VoicePair, str], float | None]


def rewards_of(
    weights: Mapping[str, float], *, style: Style, bands: ToneBands | None, model: RewardModel | None
) -> tuple[Reward, ...]:
    """The rewards with a weight other than 0, in the order of `weights`: format, tone, support, refusal, model.

    A weight below 0 punishes. Tone without bands and "model" without a model are left out: they cannot be asked for.
    """
    made = {
        "format": _each(format_reward(style)),
        "support": _each(support_reward(style)),
        "refusal": _each(refusal_reward),
    }
    if bands is not None:
        made["tone"] = _each(tone_reward(bands))
    if model is not None:
        made["model"] = model_reward(model)
    grounded = {"support": lambda row: bool(row.context)}
    return tuple(
        Reward(name, made[name], weight=weight, applies=grounded.get(name, lambda row: True))
        for name, weight in weights.items()
        if weight and name in made
    )


def format_reward(style: Style) -> Score:
    """1 where every rule of the house's format holds, 1/2 with one broken, 1/3 with two: nearer is better."""
    return lambda row, reply: 1 / (1 + len(format_problems(style, _answer(row, reply))))


def tone_reward(bands: ToneBands) -> Score:
    """Share of the countable features inside the house's bands. An empty reply earns nothing."""
    judge = tone(bands)

    def score(row: VoicePair, reply: str) -> float:
        answer = _answer(row, reply)
        return judge(answer.question, answer).value or 0.0

    return score


def support_reward(style: Style) -> Score:
    """Share of the reply's claims that the row's passages support: one less the rate of hallucination.

    A reply that claims nothing earns 1 where the row's own reply refuses, else 0: silence is no way to be right.
    """

    def score(row: VoicePair, reply: str) -> float:
        passages = [snippet.hit.passage for snippet in context_snippets(row.context)]
        claims = () if is_refusal(reply) else check_claims(reply, passages, boilerplate=style.boilerplate)
        if not claims:
            return float(is_refusal(row.reply) and is_refusal(reply))
        return sum(claim.verdict == "supported" for claim in claims) / len(claims)

    return score


def refusal_reward(row: VoicePair, reply: str) -> float:
    """1 for refusing exactly where the row's own reply refuses."""
    return float(is_refusal(reply) == is_refusal(row.reply))


def model_reward(model: RewardModel) -> Callable[[Sequence[VoicePair], Sequence[str]], list[float | None]]:
    """What a trained reward model gives; None for a reply that it cannot read whole."""
    return lambda rows, replies: model.score([of_pair(row) for row in rows], replies)


def _each(score: Score) -> Callable[[Sequence[VoicePair], Sequence[str]], list[float | None]]:
    return lambda rows, replies: [score(row, reply) for row, reply in zip(rows, replies, strict=True)]


def _answer(row: VoicePair, reply: str) -> Answer:
    """The reply as an evaluation would see it, dead citation markers taken out."""
    snippets = context_snippets(row.context)
    cited = cite(reply, snippets)
    refused = is_refusal(cited.text)
    return Answer(
        id=short_hash(row.prompt, reply),
        question=Question(short_hash(row.prompt), row.prompt, history=row.history),
        text=cited.text,
        hits=shown_hits(snippets),
        citations=() if refused else cited.citations,
        refused=refused,
        refused_by="model" if refused else "",
    )

"""Four teacher-forced passes over the same answers: adapter {on, off} x context {with, without}; no generation.

Adapter and base are two views on one set of weights; after full tuning they are two sets. What cannot be scored (a chat
model behind an address, an answer beyond the context) has a reason in place of figures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from eval.blame import Passes
from groundtone import prompts
from groundtone.assistant import Voice
from groundtone.errors import ModelError
from groundtone.grounding import drop_last
from groundtone.joins.arms import Models
from groundtone.models.generate import LocalModel
from groundtone.models.score import ScoredReply, scored_replies
from groundtone.text import Span
from groundtone.types import Prompt, Question, Snippet

__all__ = ["Scored", "Told", "grounded_prompt", "passes_of", "score"]


@dataclass(frozen=True, slots=True)
class Told:
    """An answer as it was told: what was asked, what was shown (nothing: closed book), and by which model.

    `voice` is the style guide and the examples of an arm that was prompted with them.
    """

    question: Question
    text: str
    snippets: tuple[Snippet, ...] = ()
    tuned: bool = False
    voice: Voice = field(default_factory=Voice)

    @property
    def context(self) -> bool:
        """Whether the model was shown anything beside the question."""
        return bool(self.snippets or self.voice.guide or self.voice.examples)


@dataclass(frozen=True, slots=True)
class Scored:
    """The passes over one answer by name ("on_ctx" ...), or why there are none."""

    replies: Mapping[str, ScoredReply]
    why: str = ""


def score(models: Models, told: Sequence[Told], *, progress: Callable[[int, int], None] | None = None) -> list[Scored]:
    """The passes of every answer, batched over all answers per pass; an answer that cannot be scored says why."""
    found: list[dict[str, ScoredReply]] = [{} for _ in told]
    why = [_unscorable(models, answer) for answer in told]
    for done, name in enumerate(("on_ctx", "on_bare", "off_ctx", "off_bare"), 1):
        on, ctx = name.startswith("on_"), name.endswith("_ctx")
        model = models.tuned if on else models.base
        mine = [n for n, one in enumerate(told) if not why[n] and (one.tuned or not on) and (one.context or not ctx)]
        if mine:
            assert isinstance(model, LocalModel), "others were sorted out above"
            asked = [(_prompt(model, told[n], shown=ctx), told[n].text) for n in mine]
            for n, scored in zip(mine, _score_each(model, asked), strict=True):
                if isinstance(scored, str):
                    why[n] = why[n] or scored
                else:
                    found[n][name] = scored
        if progress is not None:
            progress(done, 4)
    return [Scored({} if reason else passes, reason) for passes, reason in zip(found, why, strict=True)]


def passes_of(scored: Scored, words: Sequence[Span]) -> Passes:
    """The passes over some words of the answer: nats per word, the mean over words of the sum of a word's tokens."""

    def over(name: str) -> float | None:
        reply = scored.replies.get(name)
        sums = [sum(values) for word in words if (values := reply.within(word))] if reply else []
        return fmean(sums) if sums else None

    return Passes(over("on_ctx"), over("on_bare"), over("off_ctx"), over("off_bare"))


def grounded_prompt(told: Told) -> Prompt:
    """The prompt that the answer was given to."""
    given = {"history": told.question.history, "style": told.voice.guide, "examples": told.voice.examples}
    if told.snippets:
        return prompts.grounded(told.question.text, told.snippets, **given)  # type: ignore[arg-type]
    return prompts.closed_book(told.question.text, **given)  # type: ignore[arg-type]


def _prompt(model: LocalModel, told: Told, *, shown: bool) -> Prompt:
    """The prompt with what was shown, as the assistant shortened it where the model's context is short; or bare:
    with neither passages nor the style's examples, which can be copied like passages."""
    snippets, voice = (told.snippets, told.voice) if shown else ((), Voice())
    while True:
        prompt = grounded_prompt(Told(told.question, told.text, snippets, told.tuned, voice))
        if len(snippets) < 2 or _fits(model, prompt, told.text):
            return prompt
        snippets = drop_last(snippets)


def _fits(model: LocalModel, prompt: Prompt, reply: str) -> bool:
    limit = model.context_tokens
    return limit is None or model.prompt_tokens(prompt) + len(model.format.completion_ids(prompt, reply)) <= limit


def _score_each(model: LocalModel, asked: Sequence[tuple[Prompt, str]]) -> list[ScoredReply | str]:
    """The scores in one go, or, where one row cannot be scored, each alone with the reason."""
    try:
        return list(scored_replies(model, [prompt for prompt, _ in asked], [reply for _, reply in asked]))
    except ModelError as error:
        if len(asked) == 1:
            return [str(error)]
    return [scored for one in asked for scored in _score_each(model, [one])]


def _unscorable(models: Models, told: Told) -> str:
    """Why the answer's model cannot be asked for log-probabilities; "" where it can."""
    if not told.text.strip():
        return "the answer is empty"
    if told.tuned and models.tuned is None:
        return "the tuned model is not there any more"
    used = (models.tuned, models.base) if told.tuned else (models.base,)
    strange = next((model for model in used if not isinstance(model, LocalModel)), None)
    return f"{strange.name} gives no log-probabilities: blame needs local weights" if strange is not None else ""

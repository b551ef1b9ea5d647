"""From prompts to replies: written together or streamed, markers resolved, claims checked, doubts dealt with."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from groundtone import prompts, strict
from groundtone.courtesy import asserts
from groundtone.errors import PromptTooLongError, UserError
from groundtone.events import Cited, Token, reading
from groundtone.grounding import cite, drop_last
from groundtone.inert import inert
from groundtone.refusal import is_refusal
from groundtone.self_check import SelfCheck, better, doubtful, problems, without_doubtful
from groundtone.types import Claim, Generation, Hit, Prompt, Question, Snippet
from groundtone.voice import Voice
from groundtone.work import Work

__all__ = ["Check", "Mode", "Writer"]

Mode = Literal["grounded", "strict", "quote", "closed-book"]
Check = Callable[[str, Sequence[Hit]], tuple[Claim, ...]]


@dataclass(frozen=True, slots=True)
class Writer:
    """How an assistant's replies are written. It keeps nothing of them.

    `prompt` writes the prompt of a question anew, where fewer passages must do.
    """

    prompt: Callable[[Question, Sequence[Snippet]], Prompt]
    mode: Mode
    voice: Voice
    check: Check | None
    on_doubt: SelfCheck
    max_new_tokens: int

    @property
    def whole(self) -> bool:
        """Whether a reply is checked before anything of it may be shown."""
        return self.mode == "strict" or (self.check is not None and self.on_doubt in ("regenerate", "remove"))

    def write(self, works: Sequence[Work]) -> None:
        """Replies for all, cited and checked; what nothing supports is dealt with as `on_doubt` says."""
        began = time.perf_counter()
        self._generate_each(works)
        for work in works:
            work.generate_s = (time.perf_counter() - began) / len(works)
            self.judge(work)
        if self.on_doubt == "regenerate":
            self._try_again([work for work in works if doubtful(work.claims)])
        elif self.on_doubt == "remove":
            for work in works:
                self._cut(work)

    def stream(self, work: Work) -> Iterator[Token | Cited]:
        """What the model writes, as it writes it; judged when it is done."""
        began = time.perf_counter()
        pieces: list[str] = []

        def kept() -> Iterator[str]:
            assert work.prompt is not None
            for piece in work.speaker.stream(work.prompt, max_new_tokens=self.max_new_tokens):
                pieces.append(piece)
                yield piece

        while True:
            try:
                yield from reading(kept(), work.snippets)
                break
            except PromptTooLongError:  # raised before the first piece
                if not self._shorten(work):
                    raise
        work.generation = Generation("".join(pieces))
        work.generate_s = time.perf_counter() - began
        self.judge(work)

    def judge(self, work: Work) -> None:
        """Resolve the markers of the reply and check its claims; in the strict mode it must say what was quoted."""
        if work.error or work.generation is None:
            return
        keep = self._courteous if work.courtesy else self._kept_to_quotes
        work.generation = keep(work, work.generation)
        work.cited = cite(inert(work.generation.text).strip(), work.snippets)
        began = time.perf_counter()
        if self.check is not None and not work.courtesy and not is_refusal(work.cited.text):
            work.claims = self.check(work.cited.text, work.hits)
        work.check_s += time.perf_counter() - began

    def _generate_each(self, works: Sequence[Work]) -> None:
        """The works of each speaker in one batch."""
        by_speaker: dict[int, list[Work]] = {}
        for work in works:
            by_speaker.setdefault(id(work.speaker), []).append(work)
        for same in by_speaker.values():
            self._generate(same)

    def _generate(self, works: Sequence[Work]) -> None:
        """Replies for all, of one speaker; where one prompt is too long for it, each alone with what fits."""
        ready = [work.prompt for work in works if work.prompt is not None]
        try:
            written = works[0].speaker.generate(ready, max_new_tokens=self.max_new_tokens)
            for work, generation in zip(works, written, strict=True):
                work.generation = generation
        except PromptTooLongError as error:
            if len(works) > 1:
                for work in works:
                    self._generate([work])
            elif self._shorten(works[0]):
                self._generate(works)
            else:
                works[0].error = str(error)
        except UserError as error:
            for work in works:
                work.error = str(error)

    def _shorten(self, work: Work) -> bool:
        """The oldest turns fewer, or where none are left one passage, the last one; False where nothing is left."""
        history = work.question.history[work.turns_left_out :]
        if history:
            work.turns_left_out += min(2, len(history))
        elif work.snippets:
            work.snippets = drop_last(work.snippets)
        else:
            return False
        told = replace(work.question, history=work.question.history[work.turns_left_out :])
        work.prompt = self.prompt(told, work.snippets)
        return True

    def _kept_to_quotes(self, work: Work, generation: Generation) -> Generation:
        """In the strict mode, a reply that says more or less than its quotations is replaced by the best of them.

        Either has the voice's fixed phrases around it.
        """
        if self.mode != "strict":
            return generation
        voice = self.voice
        why = strict.broken(generation.text, work.snippets, question=work.question.text, fixed=voice.fixed)
        if not why:
            return replace(generation, text=voice.completed(generation.text))
        work.notes["quoted_because"] = why
        best = strict.quoted(work.snippets)
        return replace(generation, text=voice.around(best) if best else voice.declines(work.question.text))

    def _courteous(self, work: Work, generation: Generation) -> Generation:
        """A reply to a greeting that asserts something is replaced by the plain one."""
        if not asserts(generation.text, work.question.text, fixed=self.voice.fixed):
            return generation
        return replace(generation, text=self.voice.around(work.courtesy))

    def _try_again(self, works: Sequence[Work]) -> None:
        """One more reply for each, the model told what was wrong; it counts where it is better."""
        second = [_second_try(work) for work in works]
        if not second:
            return
        began = time.perf_counter()
        self._generate_each(second)
        for first, again in zip(works, second, strict=True):
            first.generate_s += (time.perf_counter() - began) / len(works)
            self.judge(again)
            first.check_s += again.check_s
            if again.cited is None or again.generation is None:  # too long, or the model failed: the first stands
                first.notes["second_try"] = f"failed: {again.error}"
                continue
            refused = is_refusal(again.cited.text)
            taken = better(first.claims, again.claims, second_refuses=refused)
            first.notes |= again.notes if taken else {}
            first.notes["second_try"] = "taken" if taken else "no better"
            if taken:
                first.generation, first.cited, first.claims = again.generation, again.cited, again.claims

    def _cut(self, work: Work) -> None:
        """Take the sentences out that nothing supports; a reply of nothing else becomes a refusal."""
        doubts = doubtful(work.claims)
        if work.cited is None or work.generation is None or not doubts:
            return
        left = without_doubtful(work.cited.text, work.claims, fixed=self.voice.fixed)
        work.notes["removed"] = str(len(doubts))
        if not left:
            work.refused_by = "check"
            work.generation = replace(work.generation, text=self.voice.declines(work.question.text))
            work.claims = ()
        else:
            work.generation = replace(work.generation, text=left)
        work.cited = cite(work.generation.text, work.snippets)
        if left and self.check is not None:
            work.claims = self.check(work.cited.text, work.hits)


def _second_try(work: Work) -> Work:
    assert work.prompt is not None
    assert work.cited is not None
    prompt = prompts.corrected(work.prompt, work.cited.text, problems(work.claims))
    return Work(work.question, work.speaker, work.hits, work.snippets, 0.0, prompt=prompt)

"""The core idea: retrieve -> ground -> speak -> cite -> check, or refuse.

An `Assistant` is an `Answerer`: evaluation, the command line, the dashboard and the server all ask it the same way.
Its answers cite only passages that the model was shown, and a failure is an answer with its error, never a gap.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

from groundtone import prompts, strict
from groundtone.answer_spans import best_value
from groundtone.errors import PromptTooLongError, UserError
from groundtone.grounding import cite, drop_last, select
from groundtone.refusal import is_refusal
from groundtone.searching import find, phrasings
from groundtone.types import (
    Answer,
    Claim,
    Generation,
    Generator,
    Hit,
    Prompt,
    Question,
    Retriever,
    Snippet,
    Turn,
    VoicePair,
    short_hash,
)

Mode = Literal["grounded", "strict", "quote", "closed-book"]
RefusedBy = Literal["retrieval", "reader", "model"]
Check = Callable[[str, Sequence[Hit]], tuple[Claim, ...]]


@dataclass(frozen=True, slots=True)
class Voice:
    """How an untuned model is told the voice (a style guide and a few examples), and the voice's fixed phrases.

    A quotation that stands in for a reply is put between `opening` and `closing`; `fixed` are all phrases that claim
    nothing.
    """

    guide: str = ""
    examples: tuple[VoicePair, ...] = ()
    opening: str = ""
    closing: str = ""
    refusal: str = ""  # how the voice declines; "": the plain sentence

    @property
    def fixed(self) -> tuple[str, ...]:
        """The phrases that are left out when a reply is compared with what was quoted."""
        return tuple(phrase for phrase in (self.opening, self.closing) if phrase)


@dataclass(slots=True)
class _Work:
    """One question on its way through the stages; times in seconds."""

    question: Question
    speaker: Generator  # who is asked: the assistant's generator, or its stand-in
    hits: tuple[Hit, ...]
    snippets: tuple[Snippet, ...]
    search_s: float
    prompt: Prompt | None = None  # None: retrieval refused
    refused_by: RefusedBy | None = None  # who refused before the model was asked
    generation: Generation | None = None
    generate_s: float = 0.0
    fell_back: str = ""  # why the quotation stands in for the reply
    error: str = ""


class Assistant:
    """Answers questions over documents in a voice.

    `retriever` may be None in mode "closed-book" only. The best `search_k` hits are kept with the answer, the first `k`
    of them are shown to the model. `check` judges the claims of an answer against all of its hits. Without asking the
    model it refuses when the best hit scores below `min_score` (0: never); where a reader read the hits, instead when
    the best of them answers less well than `min_answer` (`answer_spans.value`, which includes the score; None: never).

    `generator` serves only callers who are in all of `required_groups`. Others are answered by `stand_in`, over the
    documents that they may read, and the answer's provenance says so: as with documents, who may not know of something
    is served without it. Without a stand-in their answer is an error.
    """

    def __init__(
        self,
        name: str,
        *,
        generator: Generator,
        retriever: Retriever | None = None,
        mode: Mode = "grounded",
        k: int = 4,
        search_k: int = 0,
        context: Literal["sentences", "passages"] = "sentences",
        context_tokens: int = 220,
        max_new_tokens: int = 96,
        batch_size: int = 16,
        min_score: float = 0.0,
        min_answer: float | None = None,
        voice: Voice | None = None,
        check: Check | None = None,
        provenance: dict[str, str] | None = None,
        required_groups: Sequence[str] = (),
        stand_in: Generator | None = None,
    ) -> None:
        if retriever is None and mode != "closed-book":
            raise UserError(f"assistant {name!r} in mode {mode!r} needs a retriever; run `groundtone index` first")
        self.name = name
        self.generator = generator
        self.retriever = retriever if mode != "closed-book" else None
        self.mode = mode
        self.k = k
        self.search_k = max(search_k, k)
        self.context: Literal["sentences", "passages"] = context
        self.context_tokens = context_tokens
        self.max_new_tokens = max_new_tokens
        self.batch_size = batch_size
        self.min_score = min_score
        self.min_answer = min_answer
        self.voice = voice or Voice()
        self.check = check
        self.required_groups = tuple(required_groups)
        self.stand_in = stand_in
        self.provenance = {"assistant": name, "model": generator.name, "mode": mode} | (provenance or {})

    def ask(self, text: str, history: Sequence[Turn] = (), *, groups: Sequence[str] = ()) -> Answer:
        """The answer to one question. Raises UserError for an empty one, and where `answer_many` records an error."""
        if not text.strip():
            raise UserError("the question is empty: write what you want to know")
        question = Question(short_hash("ask", text), text, tuple(history), tuple(groups))
        answer = next(self.answer_many([question]))
        if answer.error:
            raise UserError(answer.error)
        return answer

    def withheld(self, groups: Sequence[str]) -> str:
        """Why the assistant's own generator does not serve a caller in these groups; "" where it does."""
        lacking = ", ".join(group for group in self.required_groups if group not in groups)
        needed = ", ".join(self.required_groups)
        said = f"{self.name} was tuned on documents of {needed} and serves only callers in all of these groups"
        return f"{said}; this one is not in {lacking}" if lacking else ""

    def answer_many(self, questions: Sequence[Question]) -> Iterator[Answer]:
        """One answer per question, in order, `batch_size` at a time, so that equal calls make equal batches."""
        remaining = iter(questions)
        while batch := list(islice(remaining, self.batch_size)):
            yield from self._answer_batch(batch)

    def stream(self, text: str, history: Sequence[Turn] = (), *, groups: Sequence[str] = ()) -> Iterator[str | Answer]:
        """The reply in pieces, then the whole answer with its citations and checked claims."""
        question = Question(short_hash("ask", text), text, tuple(history), tuple(groups))
        work = self._retrieve([question])[0]
        if work.error:
            raise UserError(work.error)
        if work.prompt is None:
            yield self._refusal
            yield self._finish(work)
            return
        if self.mode == "strict":  # nothing is shown before it was checked
            self._generate([work])
            self._keep_to_quotes(work)
            yield work.generation.text if work.generation else ""
            yield self._finish(work)
            return
        began = time.perf_counter()
        pieces = []
        for piece in self._stream_fitting(work):
            pieces.append(piece)
            yield piece
        work.generation = Generation("".join(pieces))
        work.generate_s = time.perf_counter() - began
        yield self._finish(work)

    def _stream_fitting(self, work: _Work) -> Iterator[str]:
        while True:
            assert work.prompt is not None
            try:
                yield from work.speaker.stream(work.prompt, max_new_tokens=self.max_new_tokens)
                return
            except PromptTooLongError:  # raised before the first piece
                if not work.snippets:
                    raise
                self._shorten(work)

    def _answer_batch(self, questions: Sequence[Question]) -> Iterator[Answer]:
        try:
            works = self._retrieve(questions)
        except UserError as error:
            yield from (self._failed(question, str(error)) for question in questions)
            return
        asked = [work for work in works if work.prompt is not None]
        began = time.perf_counter()
        for speaker in (self.generator, self.stand_in):
            if same := [work for work in asked if work.speaker is speaker]:
                self._generate(same)
        for work in asked:
            work.generate_s = (time.perf_counter() - began) / len(asked)
            self._keep_to_quotes(work)
        yield from (self._finish(work) for work in works)

    def _generate(self, works: Sequence[_Work]) -> None:
        """Replies for all, of one speaker; where one prompt is too long for it, each alone with what fits."""
        ready = [work.prompt for work in works if work.prompt is not None]
        try:
            for work, generation in zip(
                works, works[0].speaker.generate(ready, max_new_tokens=self.max_new_tokens), strict=True
            ):
                work.generation = generation
        except PromptTooLongError as error:
            if len(works) > 1:
                for work in works:
                    self._generate([work])
            elif works[0].snippets:
                self._shorten(works[0])
                self._generate(works)
            else:
                works[0].error = str(error)
        except UserError as error:
            for work in works:
                work.error = str(error)

    def _keep_to_quotes(self, work: _Work) -> None:
        """In the strict mode, a reply that says more or less than its quotations is replaced by the best of them."""
        if self.mode != "strict" or work.generation is None or work.error:
            return
        voice = self.voice
        work.fell_back = strict.broken(
            work.generation.text, work.snippets, question=work.question.text, fixed=voice.fixed
        )
        if work.fell_back:
            text = strict.quoted(work.snippets, opening=voice.opening, closing=voice.closing)
            work.generation = replace(work.generation, text=text)

    def _shorten(self, work: _Work) -> None:
        """One passage fewer, the last one."""
        work.snippets = drop_last(work.snippets)
        work.prompt = self._prompt(work.question, work.snippets)

    def _retrieve(self, questions: Sequence[Question]) -> list[_Work]:
        works = []
        began = time.perf_counter()
        found = self._search(questions)
        each_s = (time.perf_counter() - began) / max(1, len(questions))
        for question, hits in zip(questions, found, strict=True):
            snippets = select(hits[: self.k], context=self.context, context_tokens=self.context_tokens)
            withheld = self.withheld(question.groups)
            speaker = self.stand_in if withheld and self.stand_in is not None else self.generator
            work = _Work(question, speaker, tuple(hits), snippets, each_s)
            work.refused_by = self._refuses(hits)
            if withheld and self.stand_in is None:  # even a refusal would be in the voice
                work.error = withheld
            elif work.refused_by is None:
                work.prompt = self._prompt(question, snippets)
            works.append(work)
        return works

    def _refuses(self, hits: Sequence[Hit]) -> RefusedBy | None:
        """Who refuses before the model is asked: nothing on the topic was found, or nothing that answers."""
        if self.mode == "closed-book":
            return None
        value = best_value(hits)
        if value is not None and self.min_answer is not None:  # it includes the search score
            return "reader" if value < self.min_answer else None
        return "retrieval" if max((hit.score for hit in hits), default=-1.0) < self.min_score else None

    def _search(self, questions: Sequence[Question]) -> list[list[Hit]]:
        """Hits per question, in order; those who may see the same are searched for together."""
        if self.retriever is None:
            return [[] for _ in questions]
        found: dict[int, list[Hit]] = {}
        for groups in dict.fromkeys(question.groups for question in questions):
            mine = [i for i, question in enumerate(questions) if question.groups == groups]
            asked = [phrasings(questions[i].text, questions[i].history) for i in mine]
            found |= dict(zip(mine, find(self.retriever, asked, k=self.search_k, groups=groups), strict=True))
        return [found[i] for i in range(len(questions))]

    def _prompt(self, question: Question, snippets: Sequence[Snippet]) -> Prompt:
        style, examples = self.voice.guide, self.voice.examples
        if self.mode == "closed-book":
            return prompts.closed_book(question.text, history=question.history, style=style, examples=examples)
        return prompts.grounded(question.text, snippets, history=question.history, style=style, examples=examples)

    def _finish(self, work: _Work) -> Answer:
        if work.error:
            return self._failed(work.question, work.error)
        generation = work.generation or Generation(self._refusal)
        cited = cite(generation.text.strip(), work.snippets)
        refused = is_refusal(cited.text)
        began = time.perf_counter()
        claims = self.check(cited.text, work.hits) if self.check and not refused else ()
        check_s = time.perf_counter() - began
        timing = {"search": work.search_s} if self.retriever else {}
        timing |= {"generate": work.generate_s} | ({"check": check_s} if self.check else {})
        notes = {"quoted_because": work.fell_back} if work.fell_back else {}
        if work.speaker is self.stand_in:
            notes |= {"model": work.speaker.name, "voice_withheld": self.withheld(work.question.groups)}
        dropped = {"dropped_markers": str(cited.dropped)} if cited.dropped else {}
        return Answer(
            id=short_hash(work.question.id, self.name, generation.text),
            question=work.question,
            text=cited.text,
            hits=work.hits,
            citations=() if refused else cited.citations,
            refused=refused,
            refused_by=(work.refused_by or "model") if refused else "",
            claims=claims,
            timing=timing,
            tokens={"prompt": generation.prompt_tokens, "reply": generation.reply_tokens},
            provenance=self.provenance | dropped | notes,
        )

    @property
    def _refusal(self) -> str:
        """What is said where the model was not asked."""
        return self.voice.refusal or prompts.REFUSAL

    def _failed(self, question: Question, error: str) -> Answer:
        return replace(
            Answer(short_hash(question.id, self.name, error), question, ""), error=error, provenance=self.provenance
        )

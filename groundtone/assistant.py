"""The core idea: retrieve -> ground -> speak -> cite -> check, or refuse.

An `Assistant` is an `Answerer`: evaluation, the command line, the dashboard and the server all ask it the same way.
Its answers cite only passages that the model was shown, and a failure is an answer with its error, never a gap.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Literal

from groundtone import prompts
from groundtone.answer_spans import best_value
from groundtone.courtesy import plain_reply
from groundtone.disagreements import dates_of, disagreements
from groundtone.errors import UserError
from groundtone.events import Cited, Done, Event, Judged, Token
from groundtone.grounding import cite, select
from groundtone.parts import Part, about, alternating, in_parts, together
from groundtone.planted import is_order, orders
from groundtone.refusal import is_refusal
from groundtone.searching import find, phrasings
from groundtone.self_check import SelfCheck
from groundtone.types import (
    Answer,
    Generation,
    Generator,
    Hit,
    Prompt,
    Question,
    Retriever,
    Snippet,
    Turn,
    short_hash,
)
from groundtone.voice import Voice
from groundtone.work import RefusedBy, Work
from groundtone.writing import Check, Mode, Writer

__all__ = ["Assistant", "Check", "Mode", "SelfCheck", "Voice"]


class Assistant:
    """Answers questions over documents in a voice. It keeps nothing between calls, so that several may run at once.

    `retriever` may be None in mode "closed-book" only. The best `search_k` hits are kept with the answer, the first `k`
    of them are shown to the model; `wary` leaves out sentences that give it orders. `check` judges the claims of an
    answer against all of its hits, `on_doubt` says what becomes of those that nothing supports. Without asking the
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
        on_doubt: SelfCheck = "flag",
        fenced: bool = False,
        wary: bool = True,
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
        self.on_doubt: SelfCheck = on_doubt if self.retriever is not None else "flag"  # nothing to check a memory by
        self.fenced = fenced
        self.wary = wary
        self.required_groups = tuple(required_groups)
        self.stand_in = stand_in
        self.provenance = {"assistant": name, "model": generator.name, "mode": mode} | (provenance or {})
        self._dates = dates_of(self.retriever)

    def ask(self, text: str, history: Sequence[Turn] = (), *, groups: Sequence[str] = ()) -> Answer:
        """The answer to one question. Raises UserError for an empty one, and where `answer_many` records an error."""
        answer = next(self.answer_many([_asked(text, history, groups)]))
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
            try:
                works = self.retrieve(batch)
            except UserError as error:
                yield from (self._failed(question, str(error)) for question in batch)
                continue
            self.write(works)
            yield from (self.answer(work) for work in works)

    def stream(self, text: str, history: Sequence[Turn] = (), *, groups: Sequence[str] = ()) -> Iterator[str | Answer]:
        """The reply in pieces, then the whole answer with its citations and checked claims."""
        for event in self.events(text, history, groups=groups):
            if isinstance(event, Token):
                yield event.text
            elif isinstance(event, Done):
                yield event.answer

    def events(self, text: str, history: Sequence[Turn] = (), *, groups: Sequence[str] = ()) -> Iterator[Event]:
        """Pieces and citations as they come, then the claims, then the whole answer; the pieces, joined, are its text.

        Where a reply is checked before it may be shown (mode "strict", `on_doubt` other than "flag"), it comes whole.
        """
        work = self.retrieve([_asked(text, history, groups)])[0]
        if work.error:
            raise UserError(work.error)
        whole = work.prompt is None or bool(work.courtesy) or self._writer.whole
        if not whole:
            yield from self._writer.stream(work)
        else:
            self.write([work])
        answer = self.answer(work)
        if whole:
            yield Token(answer.text)
            yield from map(Cited, answer.citations)
        yield from map(Judged, answer.claims)
        yield Done(answer)

    def retrieve(self, questions: Sequence[Question]) -> list[Work]:
        """What is found and shown for each question, and who refuses before the model is asked.

        Where a question asks for several things, each is searched for; modes that quote answer them one by one.
        """
        began = time.perf_counter()
        asked = [self._sought(question) for question in questions]
        found = iter(self._search([part.asked for parts in asked for part in parts]))
        lists = [[about(part, next(found)) for part in parts] for parts in asked]
        each_s = (time.perf_counter() - began) / max(1, len(questions))
        return [self._work(*row, each_s) for row in zip(questions, asked, lists, strict=True)]

    def _sought(self, question: Question) -> tuple[Part, ...]:
        """What is searched for: nothing from memory or for a courtesy, else the question, or its parts."""
        return () if self.retriever is None or plain_reply(question.text) else in_parts(question)

    def _work(self, question: Question, parts: Sequence[Part], lists: Sequence[list[Hit]], search_s: float) -> Work:
        withheld = self.withheld(question.groups)
        speaker = self.stand_in if withheld and self.stand_in is not None else self.generator
        if len(parts) > 1 and self.mode != "grounded":
            each = tuple(
                replace(self._work(part.asked, (part,), [hits], search_s / len(parts)), own=part.own)
                for part, hits in zip(parts, lists, strict=True)
            )
            return Work(question, speaker, (), (), search_s, parts=each)
        hits = tuple(alternating(lists)) if lists else ()
        k = self.k * len(lists)
        work = Work(question, speaker, hits, self.shown(hits, k=k), search_s)
        if self.retriever is not None and not parts:
            work.courtesy = plain_reply(question.text)
            work.notes = {"courtesy": "nothing was searched for"}
        else:
            work.notes = self._orders_in(hits[:k])
            work.refused_by = self._refuses(work)
        if withheld and self.stand_in is None:  # even a refusal would be in the voice
            work.error = withheld
        elif work.courtesy and self.mode != "grounded":
            work.generation = Generation(self.voice.around(work.courtesy))
        elif work.refused_by is None:
            work.prompt = self._prompt(question, work.snippets, closed=bool(work.courtesy))
        return work

    def shown(self, hits: Sequence[Hit], *, k: int = 0) -> tuple[Snippet, ...]:
        """What the model is shown of the hits, within its budget: the first `k` at most (0: as many as configured)."""
        return select(hits[: k or self.k], context=self.context, context_tokens=self.context_tokens, wary=self.wary)

    def _orders_in(self, hits: Sequence[Hit]) -> dict[str, str]:
        """The documents that give orders to the model, for the answer's provenance."""
        if not self.wary:
            return {}
        found = [h.passage.source for h in hits if orders(h.passage.text) or is_order(h.passage.heading)]
        return {"orders_in": ", ".join(dict.fromkeys(found))} if found else {}

    def _refuses(self, work: Work) -> RefusedBy | None:
        """Who refuses before the model is asked: nothing on the topic was found, or nothing that answers."""
        if self.mode == "closed-book":
            return None
        value = best_value(work.hits)
        if value is not None and self.min_answer is not None:  # it includes the search score
            return "reader" if value < self.min_answer else None
        return "retrieval" if max((hit.score for hit in work.hits), default=-1.0) < self.min_score else None

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

    def _prompt(self, question: Question, snippets: Sequence[Snippet], *, closed: bool = False) -> Prompt:
        style, examples = self.voice.guide, self.voice.examples
        if closed or self.mode == "closed-book":
            return prompts.closed_book(question.text, history=question.history, style=style, examples=examples)
        return prompts.grounded(
            question.text, snippets, history=question.history, style=style, examples=examples, fenced=self.fenced
        )

    def write(self, works: Sequence[Work]) -> None:
        """Replies for works, or parts of works, that have a prompt: cited and checked."""
        ready = [one for work in works for one in (work.parts or (work,)) if one.prompt is not None]
        if ready:
            self._writer.write(ready)

    def joined(self, question: Question, answers: Sequence[Answer], own: Sequence[str] = ()) -> Answer:
        """One answer of the answers to a question's parts, which were written as `own` says."""
        answer = together(question, answers, own=own, voice=self.voice, check=self.check, dates=self._dates)
        return replace(answer, id=short_hash(question.id, self.name, answer.text))

    def answer(self, work: Work) -> Answer:
        """What came of a question, for whoever asked."""
        if work.error:
            return self._failed(work.question, work.error)
        if work.parts:
            answers = [self.answer(part) for part in work.parts]
            failed = next((answer.error for answer in answers if answer.error), "")
            own = [part.own for part in work.parts]
            return self._failed(work.question, failed) if failed else self.joined(work.question, answers, own)
        generation = work.generation or Generation(self.voice.declines(work.question.text))
        cited = work.cited or cite(generation.text, ())
        refused = is_refusal(cited.text)
        citations = () if refused else cited.citations
        timing = {"search": work.search_s} if self.retriever else {}
        timing |= {"generate": work.generate_s} | ({"check": work.check_s} if self.check else {})
        notes = work.notes | ({"dropped_markers": str(cited.dropped)} if cited.dropped else {})
        if work.speaker is self.stand_in:
            notes |= {"model": work.speaker.name, "voice_withheld": self.withheld(work.question.groups)}
        return Answer(
            id=short_hash(work.question.id, self.name, generation.text),
            question=work.question,
            text=cited.text,
            hits=work.hits,
            citations=citations,
            refused=refused,
            refused_by=(work.refused_by or "model") if refused else "",
            claims=work.claims,
            disagreements=disagreements(citations, work.hits, dates=self._dates),
            timing=timing,
            tokens={"prompt": generation.prompt_tokens, "reply": generation.reply_tokens},
            provenance=self.provenance | notes,
        )

    @property
    def _writer(self) -> Writer:
        return Writer(self._prompt, self.mode, self.voice, self.check, self.on_doubt, self.max_new_tokens)

    def _failed(self, question: Question, error: str) -> Answer:
        return replace(
            Answer(short_hash(question.id, self.name, error), question, ""), error=error, provenance=self.provenance
        )


def _asked(text: str, history: Sequence[Turn], groups: Sequence[str]) -> Question:
    if not text.strip():
        raise UserError("the question is empty: write what you want to know")
    return Question(short_hash("ask", text), text, tuple(history), tuple(groups))

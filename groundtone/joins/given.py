"""Answers items that bring their own context: general tasks and held-out prompts of the voice."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from groundtone import prompts
from groundtone.assistant import Voice
from groundtone.errors import UserError
from groundtone.grounding import cite, shown_hits
from groundtone.refusal import is_refusal
from groundtone.types import Answer, Generator, Prompt, Question, short_hash


class GivenContext:
    """An Answerer over fixed contexts: question id -> texts, numbered as given; an item without any is closed-book."""

    def __init__(
        self,
        name: str,
        *,
        generator: Generator,
        contexts: Mapping[str, Sequence[str]],
        voice: Voice | None = None,
        max_new_tokens: int = 96,
        batch_size: int = 16,
    ) -> None:
        self.name = name
        self.generator = generator
        self.contexts = contexts
        self.voice = voice or Voice()
        self.max_new_tokens = max_new_tokens
        self.batch_size = batch_size

    def answer_many(self, questions: Sequence[Question]) -> Iterator[Answer]:
        """One answer per question, in order; a failing batch yields answers with the error."""
        remaining = iter(questions)
        while batch := list(islice(remaining, self.batch_size)):
            yield from self._answer_batch(batch)

    def prompt(self, question: Question) -> Prompt:
        """What the model is shown of a question."""
        context = self.contexts.get(question.id, ())
        style, examples = self.voice.guide, self.voice.examples
        if not context:
            return prompts.closed_book(question.text, history=question.history, style=style, examples=examples)
        snippets = prompts.context_snippets(context)
        return prompts.grounded(question.text, snippets, history=question.history, style=style, examples=examples)

    def _answer_batch(self, batch: Sequence[Question]) -> Iterator[Answer]:
        built = [self.prompt(question) for question in batch]
        began = time.perf_counter()
        try:
            generations = self.generator.generate(built, max_new_tokens=self.max_new_tokens)
        except UserError as error:
            for question in batch:
                yield Answer(short_hash(question.id, self.name), question, "", error=str(error))
            return
        each_s = (time.perf_counter() - began) / len(batch)
        for question, prompt, generation in zip(batch, built, generations, strict=True):
            cited = cite(generation.text.strip(), prompt.snippets)
            refused = is_refusal(cited.text)
            yield Answer(
                id=short_hash(question.id, self.name, generation.text),
                question=question,
                text=cited.text,
                hits=shown_hits(prompt.snippets),
                citations=() if refused else cited.citations,
                refused=refused,
                refused_by="model" if refused else "",
                timing={"generate": each_s},
                tokens={"prompt": generation.prompt_tokens, "reply": generation.reply_tokens},
                provenance={"assistant": self.name, "model": self.generator.name},
            )

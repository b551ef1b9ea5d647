"""Drafts: a reply to somebody's message, or a text that was described, in the voice and from cited documents.

In parts, every question of a message is answered as any other question is, and what the documents do not say is named;
whole, the model writes one text from what was found for all of them. The result is an Answer whose question is the
message.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from groundtone import prompts
from groundtone.assistant import Assistant
from groundtone.courtesy import opens_letter
from groundtone.errors import UserError
from groundtone.parts import alternating, in_parts
from groundtone.text import sentence_spans
from groundtone.types import Answer, Question, short_hash

__all__ = ["How", "asks", "draft"]

How = Literal["parts", "whole"]
LONGEST_CHARS = 20_000  # of a message; a document to be worked on belongs into the index
_REQUEST = re.compile(
    r"\b(?:please|can you|could you|would you|let me know|tell me|tell us|i wonder|write|draft|explain|"
    r"i(?:'d| would) like to know|bitte|können sie|pourriez-vous|merci de|por favor|per favore|potete)\b",
    re.IGNORECASE,
)


def asks(message: str) -> list[str]:
    """What a message asks, in its order, each with the statements before it: "It came scratched. How do I report it?"

    A message that asks nothing is one ask as a whole: a text to be written about it.
    """
    found: list[str] = []
    before: list[str] = []
    for start, end in sentence_spans(message):
        sentence = " ".join(message[start:end].split())
        if opens_letter(sentence):
            continue
        before.append(sentence)
        if sentence.rstrip("\"'”’)").endswith(("?", "？")) or _REQUEST.search(sentence):
            found.append(" ".join(before))
            before = []
    return found or [" ".join(message.split())]


def draft(assistant: Assistant, message: str, *, groups: Sequence[str] = (), how: How = "parts") -> Answer:
    """The text to send, its sources and its claims. Raises UserError for an empty or overlong message."""
    if not message.strip():
        raise UserError("the message is empty: write what should be replied to, or what the text should say")
    if len(message) > LONGEST_CHARS:
        raise UserError(f"the message has {len(message)} characters, {LONGEST_CHARS} are read: shorten it")
    question = Question(short_hash("draft", message), message.strip(), groups=tuple(groups))
    asked = [Question(f"{question.id}:{n}", ask, groups=tuple(groups)) for n, ask in enumerate(asks(message))]
    parts = [part.asked for ask in asked for part in in_parts(ask)]
    return _in_parts(assistant, question, parts) if how == "parts" else _whole(assistant, question, parts)


def _in_parts(assistant: Assistant, question: Question, parts: Sequence[Question]) -> Answer:
    answers = list(assistant.answer_many(parts))
    if failed := next((answer for answer in answers if answer.error), None):
        raise UserError(failed.error)
    if len(answers) == 1:
        return replace(answers[0], question=question)
    answer = assistant.joined(question, answers)
    return replace(answer, provenance={**answer.provenance, "drafted": f"in {len(answers)} parts"})


def _whole(assistant: Assistant, question: Question, parts: Sequence[Question]) -> Answer:
    """One text by the model, from what was found for all parts."""
    began = time.perf_counter()
    works = assistant.retrieve(parts)
    if failed := next((work for work in works if work.error), None):
        raise UserError(failed.error)
    answering = [work for work in works if work.refused_by is None]
    if not answering:
        return replace(assistant.answer(works[0]), question=question)
    hits = alternating([work.hits[: assistant.k] for work in answering])
    work = replace(answering[0], question=question, hits=tuple(hits), search_s=time.perf_counter() - began)
    work.snippets = assistant.shown(hits, k=len(hits))
    work.prompt = prompts.draft(
        question.text,
        work.snippets,
        style=assistant.voice.guide,
        examples=assistant.voice.examples,
        fenced=assistant.fenced,
    )
    assistant.write([work])
    return assistant.answer(work)

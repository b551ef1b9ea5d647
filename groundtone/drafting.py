"""Drafts: a reply to somebody's message, or a text that was described, in the voice and from cited documents.

In parts, every question of a message is answered as any other question is, and what the documents do not say is named;
whole, the model writes one text from what was found for all of them. The result is an Answer whose question is the
message.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from groundtone import prompts
from groundtone.assistant import Assistant
from groundtone.courtesy import opens_letter
from groundtone.disagreements import dates_of, disagreements
from groundtone.errors import UserError
from groundtone.grounding import cite
from groundtone.refusal import is_refusal
from groundtone.strict import without
from groundtone.text import content_words, sentence_spans
from groundtone.types import Answer, Claim, Hit, Question, Snippet, short_hash
from groundtone.voice import Voice

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
    parts = [Question(f"{question.id}:{n}", ask, groups=tuple(groups)) for n, ask in enumerate(asks(message))]
    return _in_parts(assistant, question, parts) if how == "parts" else _whole(assistant, question, parts)


def _in_parts(assistant: Assistant, question: Question, parts: Sequence[Question]) -> Answer:
    answers = list(assistant.answer_many(parts))
    if failed := next((answer for answer in answers if answer.error), None):
        raise UserError(failed.error)
    if len(answers) == 1:
        return replace(answers[0], question=question)
    text, snippets = _joined(assistant.voice.declines(question.text), assistant.voice, answers)
    cited = cite(text, snippets)
    refused = is_refusal(cited.text)
    hits = tuple({hit.passage.id: hit for answer in answers for hit in answer.hits}.values())
    claims = assistant.check(cited.text, hits) if assistant.check and not refused else ()
    citations = () if refused else cited.citations
    return replace(
        answers[0],
        id=short_hash(question.id, assistant.name, text),
        question=question,
        text=cited.text,
        hits=hits,
        citations=citations,
        refused=refused,
        refused_by=answers[0].refused_by if refused else "",
        claims=_asserted(claims, cited.text),
        disagreements=disagreements(citations, hits, dates=dates_of(assistant.retriever)),
        timing=_summed([answer.timing for answer in answers]),
        tokens={key: round(n) for key, n in _summed([answer.tokens for answer in answers]).items()},
        provenance=dict(answers[0].provenance) | {"drafted": f"in {len(answers)} parts"},
    )


def _joined(declining: str, voice: Voice, answers: Sequence[Answer]) -> tuple[str, list[Snippet]]:
    """One text of the answers' bodies, the voice's fixed phrases once around it, markers numbered through."""
    snippets: list[Snippet] = []
    bodies: list[str] = []
    unknown: list[str] = []
    for answer in answers:
        if answer.refused:
            unknown.append(f"“{_last_sentence(answer.question.text)}”")
        else:
            bodies.append(" ".join(without(_renumbered(answer, snippets), voice.fixed).split()))
    declined = " ".join(without(declining, voice.fixed).split())
    if not bodies:
        return declining, []
    if unknown:
        bodies.append(f"{' '.join(unknown)} {declined}")
    return voice.around(" ".join(bodies)), snippets


def _renumbered(answer: Answer, snippets: list[Snippet]) -> str:
    """The answer's text with the numbers that its citations have in the whole; new sentences are added to the list."""
    hits = {hit.passage.id: hit for hit in answer.hits}
    text, at = "", 0
    for citation in answer.citations:
        hit = hits[citation.passage_id]
        start = hit.passage.start
        sentence = hit.passage.text[citation.evidence_start - start : citation.evidence_end - start]
        known = next((s for s in snippets if s.hit.passage.id == hit.passage.id and s.text == sentence), None)
        if known is None:
            known = Snippet(len(snippets) + 1, hit, sentence)
            snippets.append(known)
        text += f"{answer.text[at : citation.start]}[{known.number}]"
        at = citation.end
    return text + answer.text[at:]


def _last_sentence(text: str) -> str:
    start, end = (sentence_spans(text) or [(0, len(text))])[-1]
    return text[start:end]


def _asserted(claims: Sequence[Claim], text: str) -> tuple[Claim, ...]:
    """The claims that assert something: that the documents do not say is no claim about them."""
    declining = [(a, b) for a, b in sentence_spans(text) if is_refusal(text[a:b])]
    return tuple(
        c for c in claims if not any(a < c.end and c.start < b for a, b in declining) and content_words(c.text)
    )


def _summed(some: Sequence[Mapping[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for one in some:
        for key, value in one.items():
            total[key] = total.get(key, 0.0) + value
    return total


def _whole(assistant: Assistant, question: Question, parts: Sequence[Question]) -> Answer:
    """One text by the model, from what was found for all parts."""
    began = time.perf_counter()
    works = assistant.retrieve(parts)
    if failed := next((work for work in works if work.error), None):
        raise UserError(failed.error)
    answering = [work for work in works if work.refused_by is None]
    if not answering:
        return replace(assistant.answer(works[0]), question=question)
    hits = _alternating([work.hits[: assistant.k] for work in answering])
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


def _alternating(lists: Sequence[Sequence[Hit]]) -> list[Hit]:
    """The first of each list, then the second of each, every passage once: the budget takes from every part."""
    longest = max(len(hits) for hits in lists)
    mixed = [hits[n] for n in range(longest) for hits in lists if n < len(hits)]
    return list({hit.passage.id: hit for hit in mixed}.values())

"""Questions that ask for several things: taken apart, each part answered as any question is, and put together again.

"What does an Otter weigh, and what does it cost?" lies between two documents, and a search for all of it finds neither.
What the documents do not say of one part is named beside what they say of the others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from groundtone.disagreements import disagreements
from groundtone.grounding import cite
from groundtone.refusal import is_refusal
from groundtone.strict import without
from groundtone.text import content_words, sentence_spans
from groundtone.types import Answer, Claim, Hit, Question, Snippet
from groundtone.values import find_names
from groundtone.voice import Voice

__all__ = ["alternating", "in_parts", "together"]

MOST = 4
_WH = r"(?:what|when|where|who|whom|whose|which|why|how)\b"
_TO = r"(?:(?:to|on|at|in|for|from|until|by|with|of|about) )?"
_CUT = re.compile(rf"\s*[,;]?\s+and\s+(?={_TO}{_WH})", re.IGNORECASE)
_ASKS = re.compile(rf"(?:^|[\s,:;]){_WH}|^(?:is|are|was|were|do|does|did|can|may|must|should|will)\b", re.IGNORECASE)
_VAGUE = frozenset("now then today currently so much many long often exactly".split())  # ask for nothing by themselves
_IT = re.compile(r"\b(?:it|they|them|he|she)\b", re.IGNORECASE)
_QUESTION = re.compile(r"[?？]['\"”’)]*$")


def in_parts(question: Question) -> tuple[Question, ...]:
    """What is asked, part by part, each with the statements before it; the question itself where it asks one thing."""
    found: list[str] = []
    before: list[str] = []
    for start, end in sentence_spans(question.text):
        sentence = " ".join(question.text[start:end].split())
        if _QUESTION.search(sentence):
            first, *more = _cut(sentence)
            found += [" ".join([*before, first]), *more]
            before = []
        else:
            before.append(sentence)
    if not 1 < len(found) <= MOST:
        return (question,)
    texts = [found[0], *(_named(part, found[0]) for part in found[1:])]
    if before:
        texts[-1] = " ".join([texts[-1], *before])
    return tuple(replace(question, id=f"{question.id}:{n}", text=text) for n, text in enumerate(texts))


def _cut(sentence: str) -> list[str]:
    """The questions of one sentence: cut where another begins, as long as every piece asks and says for what."""
    pieces = [piece.strip(" ,;") for piece in _CUT.split(sentence)]
    if not all(_ASKS.search(piece) and set(content_words(piece)) - _VAGUE for piece in pieces):
        return [sentence]
    return [*(f"{piece}?" for piece in pieces[:-1]), pieces[-1]]


def _named(part: str, first: str) -> str:
    """A later part with the name that its "it" stands for, where the first part names something."""
    it, names, own = _IT.search(part), find_names(first), find_names(part)
    if it is None or not names or (own and part.find(own[0]) < it.start()):
        return part
    return f"{part[: it.start()]}{names[0]}{part[it.end() :]}"


def alternating(lists: Sequence[Sequence[Hit]]) -> list[Hit]:
    """The first of each list, then the second of each, every passage once: a budget takes from every part."""
    longest = max(len(hits) for hits in lists)
    mixed = [hits[n] for n in range(longest) for hits in lists if n < len(hits)]
    return list({hit.passage.id: hit for hit in mixed}.values())


def together(
    question: Question,
    answers: Sequence[Answer],
    *,
    voice: Voice,
    check: Callable[[str, Sequence[Hit]], tuple[Claim, ...]] | None,
    dates: Callable[[Hit], str],
) -> Answer:
    """One answer of the answers to its parts: their bodies between the voice's phrases, markers numbered through."""
    text, snippets = _joined(voice.declines(question.text), voice, answers)
    cited = cite(text, snippets)
    refused = is_refusal(cited.text)
    hits = tuple(alternating([answer.hits for answer in answers]))
    claims = check(cited.text, hits) if check and not refused else ()
    citations = () if refused else cited.citations
    return replace(
        answers[0],
        question=question,
        text=cited.text,
        hits=hits,
        citations=citations,
        refused=refused,
        refused_by=answers[0].refused_by if refused else "",
        claims=_asserted(claims, cited.text),
        disagreements=disagreements(citations, hits, dates=dates),
        timing=_summed([answer.timing for answer in answers]),
        tokens={key: round(n) for key, n in _summed([answer.tokens for answer in answers]).items()},
        provenance={k: v for a in reversed(answers) for k, v in a.provenance.items()} | {"parts": str(len(answers))},
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
    if not bodies:
        return declining, []
    if unknown:
        bodies.append(f"{' '.join(unknown)} {_declined(declining, voice)}")
    return voice.around(" ".join(dict.fromkeys(bodies))), snippets


def _declined(declining: str, voice: Voice) -> str:
    """The sentences that decline, without what the voice says beside it where it can do nothing else."""
    body = " ".join(without(declining, voice.fixed).split())
    sentences = [body[a:b] for a, b in sentence_spans(body)]
    return " ".join(sentence for sentence in sentences if is_refusal(sentence)) or body


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

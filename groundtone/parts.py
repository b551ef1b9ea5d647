"""Questions that ask for several things: taken apart, each part answered as any question is, and put together again.

"What does an Otter weigh, and what does it cost?" lies between two documents, and a search for all of it finds neither.
What the documents do not say of one part is named beside what they say of the others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, zip_longest

from groundtone.courtesy import opens_letter, plain_reply
from groundtone.disagreements import disagreements
from groundtone.follow_up import Standing, named_in, other_named, pronoun_first, standing
from groundtone.grounding import cite
from groundtone.refusal import is_refusal
from groundtone.strict import without
from groundtone.text import content_words, sentence_spans
from groundtone.types import Answer, Claim, Hit, Question, Snippet
from groundtone.values import find_names
from groundtone.voice import Voice

__all__ = ["Part", "about", "alternating", "in_parts", "together"]

MOST = 4
LONGEST_GREETING = 4  # words
LEAST_WORDS = 2  # content words of a part that says by itself what it is about
_WH = r"(?:what|when|where|who|whom|whose|which|why|how)\b"
_TO = r"(?:(?:to|on|at|in|for|from|until|by|with|of|about) )?"
_AUXILIARY = r"(?:is|are|was|were|do|does|did|can|could|may|must|should|will)\b"
_AND = rf"\s*[,;]?\s+and\s+(?={_TO}{_WH}|{_AUXILIARY} (?:I|you|we|it|they|there|the)\b)"
_COMMA = rf"\s*[,;]\s+(?=what\b|how\b|why\b|(?:when|where)\s+{_AUXILIARY})"
_CUT = re.compile(rf"{_AND}|{_COMMA}", re.IGNORECASE)
_BEGINS = re.compile(rf"{_TO}(?:what|how|why|who|which)\b|(?:(?:when|where)\s+)?{_AUXILIARY}", re.IGNORECASE)
_ASKS = re.compile(rf"(?:^|[\s,:;]){_WH}|^{_AUXILIARY}", re.IGNORECASE)
_RELATIVE = re.compile(r"\b(who|whom|whose|which)\b", re.IGNORECASE)
_PRICE = re.compile(r"how much (?:is|are|was|were)\b", re.IGNORECASE)
_VAGUE = frozenset("now then today currently so much many long often exactly".split())  # ask for nothing by themselves
_IF = re.compile(r"if (?:yes|no|not|so)\b", re.IGNORECASE)
_COMPARES = re.compile(r"\b(?:between|differ\w*|compare\w*|both|together|combined|versus|vs)\b", re.IGNORECASE)
_QUESTION = re.compile(r"[?？]['\"”’)]*$")


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that is asked. `asked` is what is searched for and read, `own` how it was written, `about` a name that
    it has from the first part: what is said of another is no answer."""

    asked: Question
    own: str
    about: str = ""


def in_parts(question: Question) -> tuple[Part, ...]:
    """What is asked, part by part, each with the statements before it; one part where one thing is asked.

    Greetings and thanks before a question are left out. A later part that names nothing is asked of what the first one
    names; where the first names nothing either and the part does not say what it is about, nothing is cut.
    """
    found: list[str] = []
    firsts: list[str] = []  # the question of each, without the statements before it
    before: list[str] = []
    for start, end in sentence_spans(question.text):
        sentence = " ".join(question.text[start:end].split())
        if _QUESTION.search(sentence):
            one, *more = _cut(sentence)
            found += [" ".join([*before, one]), *more]
            firsts += [one, *more]
            before = []
        elif not _is_courtesy(sentence):
            before.append(sentence)
    whole = " ".join([*found[:1], *before]) if len(found) == 1 else question.text
    alone = (Part(replace(question, text=whole), question.text),)
    if not 1 < len(found) <= MOST:
        return alone
    first = standing(firsts[0], question.history)
    parts = [Part(replace(question, id=f"{question.id}:0", text=found[0]), found[0])]
    for n, (text, part) in enumerate(zip(found[1:], firsts[1:], strict=True), 1):
        of = _of(part, first)
        if of is None:
            return alone
        asked, name = of
        asked = text.replace(part, asked)
        parts.append(Part(replace(question, id=f"{question.id}:{n}", text=asked), text, name))
    if before:
        last = parts[-1]
        parts[-1] = replace(last, asked=replace(last.asked, text=" ".join([last.asked.text, *before])))
    return tuple(parts)


def _is_courtesy(sentence: str) -> bool:
    """ "Thanks, Maya!", but not "Thanks to the storm my bike is wet." """
    few = len(sentence.split()) <= LONGEST_GREETING
    return bool(plain_reply(sentence)) or (few and opens_letter(sentence.rstrip(". ")))


def _cut(sentence: str) -> list[str]:
    """The questions of one sentence: cut at "and" where another begins that says for what, and in a list at commas."""
    found = list(_CUT.finditer(sentence))
    listed = any("and" in cut.group().casefold() for cut in found)  # "When it rains, what do I do?" is no list
    pieces: list[str] = []
    start = 0
    for cut, after in zip_longest(found, found[1:]):
        left, right = sentence[start : cut.start()], sentence[cut.end() : after.start() if after else None]
        comma = "and" not in cut.group().casefold()
        if _is_whole(left) and _is_whole(right) and (not comma or (listed and _BEGINS.match(left))):
            pieces.append(left.strip(" ,;"))
            start = cut.end()
    pieces.append(sentence[start:].strip(" ,;"))
    for n, piece in enumerate(pieces[1:], 1):
        relative = _RELATIVE.match(piece)
        if relative and re.search(rf"\S\s+{relative[1]}\b", pieces[n - 1], re.IGNORECASE):
            return [sentence]  # "people who are ill and who work part time" are asked about once
    if len(pieces) == 1:
        return _each_of_two(sentence)
    return [*(f"{piece}?" for piece in pieces[:-1]), pieces[-1]]


def _is_whole(piece: str) -> bool:
    """Whether a piece asks, and says for what."""
    return bool(_ASKS.search(piece)) and bool(set(content_words(piece)) - _VAGUE or _PRICE.match(piece))


def _each_of_two(sentence: str) -> list[str]:
    """ "What do the Heron 2 and the Heron 2S weigh?" asked of each; not where the two are compared."""
    names = find_names(sentence)
    found = (_both(sentence, one, other) for one, other in pairwise(names))
    match = next((m for m in found if m), None)
    if match is None or _COMPARES.search(sentence) or not _ASKS.match(sentence):
        return [sentence]
    return [f"{sentence[: match.start()]}{match[who]}{sentence[match.end() :]}" for who in (1, 2)]


def _both(sentence: str, one: str, other: str) -> re.Match[str] | None:
    return re.search(rf"((?:the|an?) {re.escape(one)}) and ((?:the|an?) {re.escape(other)})(?!\w)", sentence)


def _of(part: str, first: Standing) -> tuple[str, str] | None:
    """A later part as it is searched for, and the name that it has from the first; None where nobody can tell."""
    name = first.name or next(reversed(named_in(first.text)), "")
    own, other = named_in(part), other_named(part)
    if other and name:
        return first.text.replace(name, other), ""
    leans = pronoun_first(part)
    if own and not leans:
        return part, ""
    if name:
        return f"{name}: {part}", name
    vague = leans or bool(_IF.match(part)) or len(set(content_words(part)) - _VAGUE) < LEAST_WORDS
    return None if vague else (part, "")


def about(part: Part, hits: Sequence[Hit]) -> list[Hit]:
    """The hits without those whose best sentence is of another thing than the one that a part has from the first."""
    return [hit for hit in hits if not (part.about and _is_of_another(hit, part))]


def _is_of_another(hit: Hit, part: Part) -> bool:
    passage = hit.passage
    start, end = next(iter(hit.best), (0, len(passage.text)))
    sentence = passage.text[start:end]
    if part.about.casefold() in f"{passage.heading} {sentence}".casefold():
        return False
    return any(name.casefold() not in part.own.casefold() for name in find_names(sentence))


def alternating(lists: Sequence[Sequence[Hit]]) -> list[Hit]:
    """The first of each list, then the second of each, every passage once: a budget takes from every part."""
    longest = max(len(hits) for hits in lists)
    mixed = [hits[n] for n in range(longest) for hits in lists if n < len(hits)]
    return list({hit.passage.id: hit for hit in mixed}.values())


def together(
    question: Question,
    answers: Sequence[Answer],
    *,
    own: Sequence[str] = (),
    voice: Voice,
    check: Callable[[str, Sequence[Hit]], tuple[Claim, ...]] | None,
    dates: Callable[[Hit], str],
) -> Answer:
    """One answer of the answers to its parts: their bodies between the voice's phrases, markers numbered through.

    `own` are the parts as they were written, for those that nothing answers; default: as they were asked.
    """
    written = own or [answer.question.text for answer in answers]
    text, snippets = _joined(voice.declines(question.text), voice, list(zip(answers, written, strict=True)))
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


def _joined(declining: str, voice: Voice, answers: Sequence[tuple[Answer, str]]) -> tuple[str, list[Snippet]]:
    """One text of the answers' bodies, the voice's fixed phrases once around it, markers numbered through."""
    snippets: list[Snippet] = []
    bodies: list[str] = []
    unknown: list[str] = []
    for answer, own in answers:
        if answer.refused:
            unknown.append(f"“{_last_sentence(own)}”")
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

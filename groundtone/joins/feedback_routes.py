"""What one act of feedback may teach, by its reason: the voice, an answer over its passages, or nothing.

Votes about tone, format and length become preferences. Votes and verdicts about wrong facts become grounding rows,
question and passages to corrected reply, and never rows about tone: a fact belongs into the documents.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from groundtone.feedback import JudgedClaim, Origin, RowKind, Vote
from groundtone.text import normalise
from groundtone.types import short_hash
from groundtone.values import find_names, find_values, missing_values
from tuning.shapes import citation_problem, text_problem

__all__ = ["LeftOut", "Made", "of_verdicts", "of_vote"]

Route = Literal["voice", "fact"]
Shown = Callable[[str, Mapping[str, Any]], Sequence[str]]  # (answer id, about) -> the passages it was written from

_ROUTES: dict[str, Route] = {
    "tone": "voice",
    "format": "voice",
    "too long": "voice",
    "wrong fact": "fact",
    "facts": "fact",
}
_MARKER = re.compile(r"\s*\[\d+\]")
_WRONG = ("contradicted", "unsupported")
_IDS = ("item", "item_id", "question_id")  # how a writer may name the question of an evaluation


@dataclass(frozen=True, slots=True)
class Made:
    """A row before it is checked against the evaluation, masked and merged; `items` are question ids it may be of."""

    kind: RowKind
    row: dict[str, Any]
    reason: str
    origin: Origin
    items: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Feedback that teaches nothing, and why."""

    why: str


def of_vote(vote: Vote) -> Iterator[Made | LeftOut]:
    """The rows of a vote or of a corrected reply; a correction about the voice is a preference and a pair."""
    said, reason = vote.preference, normalise(vote.preference.reason)
    corrected = vote.about.get("kind") == "correction" or reason == "correction"
    route = _ROUTES.get(reason)
    if route is None and corrected and reason in ("", "correction"):
        route = "fact" if differ(said.chosen, said.rejected) else "voice"
    if vote.outcome == "tie":
        yield LeftOut("a tie: neither reply is better")
    elif route is None:
        yield LeftOut(f"the reason is {said.reason!r}: neither about the voice nor about facts")
    elif vote.outcome == "both bad":
        yield from _both_bad(vote, route)
    elif route == "fact":
        yield _grounding(vote)
    else:
        yield from _voice(vote, corrected=corrected)


def _origin(vote: Vote) -> Origin:
    return Origin(vote.person, vote.time)


def _items(about: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(about[name]) for name in _IDS if about.get(name))


def _both_bad(vote: Vote, route: Route) -> Iterator[Made | LeftOut]:
    """Two thumbs down; where both state wrong facts, there is no right one to learn."""
    if route == "fact":
        yield LeftOut("both replies have wrong facts and nobody wrote the right one")
        return
    said = vote.preference
    for reply in dict.fromkeys((said.chosen, said.rejected)):
        row = _pair(said.prompt, reply, said.context) | {"label": False}
        yield _sound(Made("thumb", row, said.reason, _origin(vote), _items(vote.about)))


def _grounding(vote: Vote) -> Made | LeftOut:
    said = vote.preference
    if not said.context:
        return LeftOut("a wrong fact without the passages that hold the right one")
    return _sound(
        Made("grounding", _pair(said.prompt, said.chosen, said.context), said.reason, _origin(vote), _items(vote.about))
    )


def _voice(vote: Vote, *, corrected: bool) -> Iterator[Made | LeftOut]:
    said = vote.preference
    told = ("the replies state different values: is it about the voice alone?",)
    notes = told if differ(said.chosen, said.rejected) else ()
    row = {"prompt": said.prompt, "chosen": said.chosen, "rejected": said.rejected, "context": list(said.context)}
    yield _sound(Made("preference", row, said.reason, _origin(vote), _items(vote.about), notes))
    if corrected:
        pair = _pair(said.prompt, said.chosen, said.context)
        yield _sound(Made("sft", pair, said.reason, _origin(vote), _items(vote.about), notes))


def of_verdicts(judged: Sequence[JudgedClaim], shown: Shown) -> Iterator[Made | LeftOut]:
    """Corrected claims as whole replies, all of one person's corrections of an answer in one row.

    An answer with a claim that somebody calls wrong and nobody corrected teaches nothing.
    """
    answers: dict[str, list[JudgedClaim]] = defaultdict(list)
    for claim in judged:
        answers[claim.verdict.claim_key.rpartition(":")[0]].append(claim)
    for answer_id, claims in answers.items():
        wrong = {c.verdict.claim_key for c in claims if c.verdict.value in _WRONG}
        people: dict[str, list[JudgedClaim]] = defaultdict(list)
        for claim in claims:
            if claim.verdict.correction.strip():
                people[claim.verdict.person].append(claim)
        for mended in people.values():
            if wrong - {c.verdict.claim_key for c in mended}:
                yield LeftOut("another claim of the answer is called wrong and is not corrected")
            else:
                yield _mended(answer_id, mended, shown)


def _mended(answer_id: str, claims: Sequence[JudgedClaim], shown: Shown) -> Made | LeftOut:
    """One person's corrections of one answer."""
    values, about = {claim.verdict.value for claim in claims}, claims[0].about
    if values & {"unsure", "true elsewhere"}:
        return LeftOut("a correction of a claim that is called unsure, or true elsewhere")
    question, reply = str(about.get("question", "")), _replaced(claims)
    if not reply or not question.strip():
        return LeftOut("the answer that it corrects was not stored with it")
    fact = bool(values & set(_WRONG))
    context = list(shown(answer_id, about))
    evidence = str(about.get("evidence", ""))
    notes = () if context else ("the passages of the answer are gone: the evidence sentence stands for them",)
    context = context or ([evidence] if evidence.strip() else [])
    if fact and not context:
        return LeftOut("a wrong fact without the passages that hold the right one")
    last = claims[-1].verdict
    return _sound(
        Made(
            "grounding" if fact else "sft",
            _pair(question, reply, context),
            "wrong fact" if fact else "correction",
            Origin(last.person, last.time),
            _items(about),
            notes if context else (),
        )
    )


def _replaced(claims: Sequence[JudgedClaim]) -> str:
    """The answer with every claim replaced by its correction; "" where a claim cannot be found in it."""
    text = str(claims[0].about.get("answer", ""))
    edits: list[tuple[int, int, str]] = []
    for claim in claims:
        said, span = str(claim.about.get("claim", "")), claim.verdict.claim_key.rpartition(":")[2]
        start, _, end = span.partition("-")
        exact = start.isdecimal() and end.isdecimal() and text[int(start) : int(end)] == said
        if not said or (not exact and text.count(said) != 1):
            return ""
        at = int(start) if exact else text.index(said)
        edits.append((at, at + len(said), _cited(claim.verdict.correction.strip(), like=said)))
    for start_at, end_at, new in sorted(edits, reverse=True):
        text = text[:start_at] + new + text[end_at:]
    return text


def _cited(correction: str, *, like: str) -> str:
    """The correction with the citations of the claim, where it has none of its own."""
    marks = "".join(f" {mark.strip()}" for mark in _MARKER.findall(like))
    if not marks or _MARKER.search(correction):
        return correction
    body = correction.rstrip(".!?")
    return f"{body}{marks}{correction[len(body) :]}"


def differ(one: str, other: str) -> bool:
    """Whether two replies state different numbers, dates or names."""
    values = find_values(one), find_values(other)
    if missing_values(*values) or missing_values(values[1], values[0]):
        return True
    return {normalise(name) for name in find_names(one)} != {normalise(name) for name in find_names(other)}


def _pair(prompt: str, reply: str, context: Sequence[str]) -> dict[str, Any]:
    """A voice pair; rows of one prompt share a source, so that a split never parts them."""
    source = f"feedback:{short_hash('prompt', normalise(prompt))}"
    return {"prompt": prompt, "reply": reply, "source": source, "context": list(context)}


def _sound(made: Made) -> Made | LeftOut:
    """The row, unless a reader of training files would refuse it."""
    wrong = row_problem(made.kind, made.row)
    return LeftOut(wrong) if wrong else made


def row_problem(kind: RowKind, row: Mapping[str, Any]) -> str:
    """What is wrong with a row, "" for nothing."""
    replies = [row["chosen"], row["rejected"]] if kind == "preference" else [row["reply"]]
    for name, text in (("the prompt", row["prompt"]), *(("a reply", reply) for reply in replies)):
        if wrong := text_problem(text):
            return f"{name} {wrong}"
    if any(not text.strip() for text in row["context"]):
        return "a passage is empty"
    if kind == "preference" and normalise(replies[0]) == normalise(replies[1]):
        return "both replies are the same text"
    wanted = replies[0] if row.get("label", True) else ""  # what is unwanted may cite what it likes
    return citation_problem(wanted, len(row["context"]))

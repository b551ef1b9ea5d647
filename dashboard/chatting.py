"""What the Chat page keeps and shows: turns with two replies, and a vote as stored. No Streamlit."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from dashboard.measures import arm_name
from dashboard.runs import Problem
from groundtone.feedback import Vote
from groundtone.joins.feedback_routes import Made, of_vote
from groundtone.joins.feedback_rows import EvaluationSet
from groundtone.project import Project
from groundtone.types import Preference

ARMS = ("base/rag", "tuned/rag")
CHOICES: Mapping[str, str] = {"A": "A is better", "B": "B is better", "tie": "Tie", "both bad": "Both bad"}
SIDES = "AB"
REASONS = ("tone", "wrong fact", "format", "too long")


@dataclass(frozen=True, slots=True)
class Reply:
    """One model's answer as plain data, or why there is none."""

    answer: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""


@dataclass(slots=True)
class Turn:
    """A question and its two replies; `arms[0]` is shown as A. `vote` is "" until somebody votes."""

    question: str
    arms: tuple[str, str]
    replies: list[Reply] = field(default_factory=lambda: [Reply(), Reply()])
    vote: str = ""
    edited: bool = False


def not_ready(root: Path) -> Problem | None:
    """Why nobody can chat with this project yet; None where one can."""
    if not Project(root).index_path.exists():
        return Problem(
            "The documents are not indexed yet",
            "Chat answers from the index of your documents, and this project has none.",
            "groundtone index",
        )
    return None


def new_turn(question: str) -> Turn:
    """A turn whose sides are shuffled, so that a habit for the left side favours no model."""
    first, second = random.sample(ARMS, 2)
    return Turn(question, (first, second))


def history(turns: Sequence[Turn], arm: str) -> tuple[tuple[str, str], ...]:
    """The conversation as this arm lived it."""
    told: list[tuple[str, str]] = []
    for turn in turns:
        reply = turn.replies[turn.arms.index(arm)]
        if reply.answer:
            told += [("user", turn.question), ("assistant", str(reply.answer.get("text", "")))]
    return tuple(told)


def to_vote(turn: Turn, choice: str, *, person: str, reason: str, blind: bool) -> Vote:
    """A vote as it is stored; for a tie and for "both bad" the order of the two replies means nothing."""
    better = 1 if choice == "B" else 0
    texts = [str(reply.answer.get("text", "")) for reply in turn.replies]
    context = tuple(dict.fromkeys(line for reply in turn.replies for line in _context(reply.answer)))
    preference = Preference(turn.question, texts[better], texts[1 - better], context, reason)
    outcomes = {"tie": "tie", "both bad": "both bad"}
    about = {"chosen_arm": turn.arms[better], "rejected_arm": turn.arms[1 - better], "blind": blind}
    return Vote(preference, person, outcomes.get(choice, "chosen"), about=about)  # type: ignore[arg-type]


def to_correction(turn: Turn, text: str, *, reason: str) -> tuple[Preference, dict[str, Any]]:
    """The edited winner as preferred to what it was, and what it is about."""
    slot = SIDES.index(turn.vote)
    answer = turn.replies[slot].answer
    preference = Preference(turn.question, text, str(answer.get("text", "")), tuple(_context(answer)), reason)
    return preference, {"arm": turn.arms[slot], "answer_id": str(answer.get("id", ""))}


def taught(vote: Vote, asked: EvaluationSet) -> str:
    """What training may make of a vote: "voice", "fact", "evaluation" for a question that is held out, "" for nothing.

    The rules are those of `groundtone data from-feedback`.
    """
    made = [one for one in of_vote(vote) if isinstance(one, Made)]
    if not made:
        return ""
    if any(asked.holds(one.row["prompt"], one.items) for one in made):
        return "evaluation"
    return "fact" if made[0].kind == "grounding" else "voice"


def usable_html(votes: Sequence[Vote], asked: EvaluationSet) -> str:
    """How many votes can teach what, and the commands that make rows of them, have them reviewed, and tune."""
    found = Counter(taught(vote, asked) for vote in votes)
    usable = found["voice"] + found["fact"]
    of = f"Usable for tuning: {usable} of {len(votes)} votes and corrections"
    parts = (
        f"{found['voice']} about the voice",
        f"{found['fact']} about a wrong fact (grounding rows, never tone rows)",
        f"{found['evaluation']} on questions of the evaluation, which are never trained on",
        f"{found['']} without anything to learn: a tie, or no reason",
    )
    commands = ("data from-feedback", "data review-rows", "loop") if usable else ()
    words = zip(("Run", "then", "then"), commands, strict=False)
    run = "".join(f'<div class="gt-command">{word} <code>groundtone {command}</code></div>' for word, command in words)
    return f'<p class="gt-note"><b>{of}</b><br>{"<br>".join(parts)}</p>{run}'


def _context(answer: Mapping[str, Any]) -> list[str]:
    """What the model was shown, as "Title > Section: sentence", the form of the voice data."""
    lines = []
    for hit in answer.get("hits") or ():
        passage, best = hit.get("passage") or {}, hit.get("best") or ()
        text = str(passage.get("text", ""))
        sentence = text[best[0][0] : best[0][1]] if best else text
        heading = str(passage.get("heading", ""))
        lines.append(f"{heading}: {sentence}" if heading else sentence)
    return lines


def question_html(question: str) -> str:
    """The question as asked."""
    return f'<div class="gt-asked" dir="auto">{escape(question)}</div>'


def name_html(turn: Turn, slot: int, *, blind: bool) -> str:
    """A or B, and the model behind it once it may be known."""
    failed = any(reply.error for reply in turn.replies)  # then there is no vote to wait for
    known = "" if blind and not turn.vote and not failed else f"<span>{escape(arm_name(turn.arms[slot]))}</span>"
    return f'<div class="gt-side"><b>{"AB"[slot]}</b>{known or "<span>hidden until you vote</span>"}</div>'


def no_citation_html(answer: Mapping[str, Any]) -> str:
    """Why an answer lists no sources."""
    courtesy = (answer.get("provenance") or {}).get("courtesy")
    said = f"A courtesy: {courtesy}." if courtesy else "No passage is cited."
    said = "Declined: not in the documents." if answer.get("refused") else said
    return f'<p class="gt-note">{said}</p>'


TEACHES = {  # what `taught` says of a vote, for people
    "voice": "It becomes a row for the voice once somebody accepts it.",
    "fact": "It becomes a grounding row once somebody accepts it, never a row about tone.",
    "evaluation": "It counts in the win rate; questions of the evaluation are never trained on.",
    "": "It counts in the win rate and teaches nothing.",
}


def voted_html(turn: Turn, teaches: str) -> str:
    """The vote, with the model behind it, and what becomes of it (`taught`)."""
    if turn.vote in ("A", "B"):
        text = f"You chose {turn.vote}: {arm_name(turn.arms['AB'.index(turn.vote)])}"
    else:
        text = "You called it a tie" if turn.vote == "tie" else "You found both bad"
    told = TEACHES[teaches]
    if not teaches and turn.vote == "both bad":
        told = "It says nothing of which is better, and teaches nothing."
    elif not teaches and turn.vote in SIDES:
        told = "It counts in the win rate; without a reason, or passages, it teaches nothing."
    return f'<p class="gt-voted"><b aria-hidden="true">✓</b>{escape(text)}. Stored. {told}</p>'


def invitation_html() -> str:
    """What to do on an empty page."""
    return (
        '<section class="gt-invite"><div class="gt-invite-title">Ask something that your documents answer</div>'
        "<p>Two answers appear side by side, each with its sources. Try a question whose answer you know, then one "
        "that the documents cannot answer: the right reply to that is a refusal. Votes on questions of your own can "
        "become training rows; those of the evaluation are never trained on.</p></section>"
    )

"""Items that bring their own context are shown exactly that, and their citations lead into it."""

from __future__ import annotations

from groundtone.assistant import Voice
from groundtone.joins.given import GivenContext
from groundtone.models.scripted import ScriptedModel
from groundtone.prompts import CLOSED_BOOK, GROUNDED, REFUSAL
from groundtone.types import Prompt, Question, Turn

CONTEXTS = {"g1": ("The sea is wide.", "The Gannet weighs 21 kg.")}


def make(script: object, **given: object) -> GivenContext:
    return GivenContext("x", generator=ScriptedModel(script), contexts=CONTEXTS, **given)  # type: ignore[arg-type]


def test_an_item_is_shown_its_own_context_and_one_without_any_is_closed_book() -> None:
    seen: list[Prompt] = []
    answerer = make(lambda prompt: seen.append(prompt) or "x")
    questions = [Question("g1", "Weight?"), Question("g2", "My name?", (Turn("user", "I am Ada."),))]
    assert [a.question.id for a in answerer.answer_many(questions)] == ["g1", "g2"]
    assert [s.text for s in seen[0].snippets] == list(CONTEXTS["g1"])
    assert seen[0].messages[0]["content"] == GROUNDED
    assert [m["content"] for m in seen[1].messages] == [CLOSED_BOOK, "I am Ada.", "Question: My name?"]


def test_citations_lead_into_the_given_context() -> None:
    (answer,) = make("It weighs 21 kg [2][5].").answer_many([Question("g1", "Weight?")])
    (citation,) = answer.citations
    hit = next(h for h in answer.hits if h.passage.id == citation.passage_id)
    assert hit.passage.text[citation.evidence_start : citation.evidence_end] == "The Gannet weighs 21 kg."
    assert answer.text == "It weighs 21 kg [2]."


def test_a_refusal_cites_nothing() -> None:
    (answer,) = make(REFUSAL).answer_many([Question("g1", "Price?")])
    assert answer.refused
    assert answer.citations == ()


def test_the_voice_is_told_where_one_is_given() -> None:
    seen: list[Prompt] = []
    answerer = make(lambda prompt: seen.append(prompt) or "x", voice=Voice("Say ahoy."))
    list(answerer.answer_many([Question("g1", "Weight?")]))
    assert "Say ahoy." in seen[0].messages[0]["content"]

"""One classifier of refusals: it knows ours and other models' phrases, and a reply that cites has answered."""

from __future__ import annotations

import pytest

from groundtone import prompts
from groundtone.refusal import DECLINED, is_refusal
from groundtone.voice import Voice

HOUSE = (
    "Ahoy from the workshop! That is not in our handbook, so we will not guess. Ask the front desk and they will find "
    "out. Fair winds, Otterwheel"
)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  \n",
        HOUSE,
        prompts.REFUSAL,
        "I don't know.",
        "We cannot say from these passages.",
        "The documents do not mention a price.",
        "The handbook doesn’t say.",
        "There is no information about that.",
        "I'm not sure.",
        "This is not covered by the passages.",
    ],
)
def test_declining_is_a_refusal(text: str) -> None:
    assert is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "Standard delivery takes 3 days [1].",
        "Standard delivery takes 3 days.",
        "You do not need a licence [2].",
        "The battery is not covered after 2 years [1].",
        "We do not know the exact hour, but delivery takes 3 days [1].",
    ],
)
def test_asserting_something_is_an_answer(text: str) -> None:
    assert not is_refusal(text)


def test_a_citation_turns_any_phrase_into_an_answer() -> None:
    assert is_refusal("I do not know that.")
    assert not is_refusal("I do not know that [1].")


@pytest.mark.parametrize("text", DECLINED.values())
def test_our_own_words_in_other_languages_are_refusals(text: str) -> None:
    assert is_refusal(text)


def test_a_question_is_declined_in_its_language_unless_the_voice_has_words_of_its_own() -> None:
    german = "Wie lange kann ich ein Fahrrad zurückgeben, und was kostet das?"
    assert Voice().declines(german) == DECLINED["German"]
    assert Voice().declines("How long can I return a bike?") == prompts.REFUSAL
    assert Voice().declines("自行车可以退货吗？") == prompts.REFUSAL
    assert Voice(refusal=HOUSE).declines(german) == HOUSE


@pytest.mark.parametrize(
    "text",
    [
        "I'm not sure, but it costs 900 euros.",
        "I am not sure. It costs nine hundred euros.",
        "We do not know the exact hour, but delivery takes 3 days.",
        "We do not have any fee: delivery costs 15 euros and takes 3 days.",
        "We keep no record of your payment data and sell it to nobody.",
        "I cannot say; the deposit is two weeks' rent, ten percent of it kept back.",
    ],
)
def test_a_hedge_before_an_assertion_is_an_answer(text: str) -> None:
    assert not is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "There is no record of that in the documents.",
        "No information on this was found.",
        "I do not know, but the team may.",
        "Sorry: I cannot find that in the handbook.",
        "That is one question my shelf does not answer.",
    ],
)
def test_a_refusal_with_more_words_stays_one(text: str) -> None:
    assert is_refusal(text)

"""Greetings and thanks are answered as such; nothing is searched, and nothing is made up on the occasion."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from groundtone.assistant import Assistant, Mode, Voice
from groundtone.courtesy import asserts, plain_reply
from groundtone.events import Done, Token
from groundtone.models.extractive import ExtractiveModel
from groundtone.models.scripted import ScriptedModel
from groundtone.types import Claim, Hit, Passage

VOICE = Voice(opening="Ahoy!", closing="Fair winds, Otterwheel")


class Counting:
    """One passage for every query, and how often it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def search(self, query: str, *, k: int, groups: Sequence[str] = ()) -> list[Hit]:
        self.asked.append(query)
        text = "The Gannet weighs 21 kg."
        return [Hit(Passage("p1", "d", "d.md", text, 0, len(text)), 1.0, best=((0, len(text)),))]


def make(reply: str, *, mode: Mode = "grounded") -> tuple[Assistant, Counting]:
    shelf = Counting()
    return Assistant("test", generator=ScriptedModel(reply), retriever=shelf, mode=mode, voice=VOICE), shelf


@pytest.mark.parametrize(
    "message",
    ["hello", "Hi there!", "Thanks a lot!", "thank you so much for your help", "Bye.", "Good morning, how are you?",
     "Hallo!", "Merci beaucoup", "¡Hola!", "ok, thanks", "who are you?", "What can you do?", "hi 👋"],
)  # fmt: skip
def test_courtesies_are_known(message: str) -> None:
    assert plain_reply(message)


@pytest.mark.parametrize(
    "message",
    ["Hello, what does the Gannet weigh?", "who are you insured with?", "thanks to whom is the yard open?", "Gannet",
     "What are you open on Sundays?", "help", "?", "", "good tyres", "Can you help me with my brakes?", "Who is Ada?"],
)  # fmt: skip
def test_what_may_ask_something_is_a_question(message: str) -> None:
    assert plain_reply(message) == ""


@pytest.mark.parametrize("mode", ["strict", "quote"])
def test_modes_that_only_quote_greet_plainly_in_the_voice_without_search_or_model(mode: Mode) -> None:
    assistant, shelf = make("We open at 9 and sell the Gannet for €90.", mode=mode)
    answer = assistant.ask("hello")
    assert answer.text == "Ahoy! Hello. What would you like to know from the documents? Fair winds, Otterwheel"
    assert not answer.refused
    assert not answer.citations
    assert shelf.asked == []
    assert answer.provenance["courtesy"] == "nothing was searched for"


def test_a_model_that_speaks_freely_greets_in_its_own_words() -> None:
    assistant, shelf = make("Ahoy! Lovely to hear from you. Fair winds, Otterwheel")
    assert assistant.ask("hello").text == "Ahoy! Lovely to hear from you. Fair winds, Otterwheel"
    assert shelf.asked == []


@pytest.mark.parametrize(
    "reply",
    ["We open at 9:00.", "Ask Tilda Finch about it.", "See the handbook [1].", "I do not know.", "", "so " * 60],
)
def test_a_greeting_that_asserts_something_is_replaced(reply: str) -> None:
    assert asserts(reply, "hello")
    assistant, _ = make(reply)
    assert assistant.ask("hello").text.startswith("Ahoy! Hello.")


def test_the_name_that_somebody_gave_and_the_house_s_own_may_be_said() -> None:
    assert not asserts("Good to see you again, Otterwheel is here.", "hello", fixed=VOICE.fixed)
    assert asserts("Good to see you, Tilda Finch is here.", "hello", fixed=VOICE.fixed)


def test_courtesies_and_questions_in_one_batch_keep_their_order() -> None:
    assistant = Assistant("test", generator=ExtractiveModel(), retriever=Counting(), mode="quote")
    asked = ["What does the Gannet weigh?", "thanks!", "How heavy is the Gannet?"]
    answers = [assistant.ask(text) for text in asked]
    together = list(assistant.answer_many([answer.question for answer in answers]))
    assert [a.text for a in together] == [a.text for a in answers]
    assert together[1].text == "You are welcome."
    assert "21 kg" in together[0].text
    assert "21 kg" in together[2].text


def test_a_streamed_greeting_comes_whole_and_is_not_checked() -> None:
    def check(text: str, hits: Sequence[Hit]) -> tuple[Claim, ...]:
        raise AssertionError(f"a greeting was checked: {text}")

    assistant = Assistant("test", generator=ScriptedModel("We open at 9."), retriever=Counting(), check=check)
    events = list(assistant.events("hello"))
    assert [type(event) for event in events] == [Token, Done]
    assert isinstance(events[0], Token)
    assert events[0].text == "Hello. What would you like to know from the documents?"

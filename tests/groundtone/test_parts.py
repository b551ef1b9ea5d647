"""Questions that ask for several things: where they are cut, and what is made of the answers to their parts."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from groundtone.assistant import Assistant, Mode, Voice
from groundtone.errors import ModelError
from groundtone.models.extractive import ExtractiveModel
from groundtone.models.scripted import ScriptedModel
from groundtone.parts import Part, about, alternating, in_parts
from groundtone.refusal import is_refusal
from groundtone.types import Hit, Passage, Prompt, Question, Turn

SHELF = {"weigh": "The Gannet weighs 21 kg.", "cost": "The Gannet costs €90.", "yard": "The yard closes at 18:00."}


def parts(text: str) -> list[str]:
    return [part.asked.text for part in in_parts(Question("q", text))]


class Shelf:
    """The one passage that has a word of the query; a question that mixes two finds the first of them only."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def search(self, query: str, *, k: int, groups: Sequence[str] = ()) -> list[Hit]:
        self.asked.append(query)
        found = next((text for word, text in SHELF.items() if word in query.lower()), None)
        return [Hit(Passage(f"p{found[4]}{found[-3]}", "d", "d.md", found, 0, len(found)), 1.0)] if found else []


def quoting(mode: Mode = "quote", voice: Voice | None = None) -> tuple[Assistant, Shelf]:
    shelf = Shelf()
    assistant = Assistant(
        "test", generator=ExtractiveModel(), retriever=shelf, mode=mode, voice=voice, min_score=0.1, context="passages"
    )
    return assistant, shelf


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("Who pays the yearly fee and for how long is the ticket valid?",
         ["Who pays the yearly fee?", "for how long is the ticket valid?"]),
        ("My key is lost. Who do I call? What does a new key cost?",
         ["My key is lost. Who do I call?", "What does a new key cost?"]),
        ("What does an Otter weigh, and what does it cost with VAT?",
         ["What does an Otter weigh?", "Otter: what does it cost with VAT?"]),
        ("What does the Kingfisher weigh and what is the range?",
         ["What does the Kingfisher weigh?", "Kingfisher: what is the range?"]),
        ("What does the Heron 2S weigh, and what about the Heron 2?",
         ["What does the Heron 2S weigh?", "What does the Heron 2 weigh?"]),
        ("What do the Heron 2 and the Heron 2S weigh?", ["What do the Heron 2 weigh?", "What do the Heron 2S weigh?"]),
        ("Thanks, Maya! What does the Coot 750 battery weigh? How long does it take to charge?",
         ["What does the Coot 750 battery weigh?", "Coot 750: How long does it take to charge?"]),
        ("What does the Heron 2 weigh? And the Otter Lite?",
         ["What does the Heron 2 weigh?", "What does the Otter Lite weigh?"]),
        ("How heavy is the Heron 2, how much is it, and can I rent it, and where?",
         ["How heavy is the Heron 2?", "Heron 2: how much is it?", "Heron 2: can I rent it, and where?"]),
        ("If I am ill when I travel to Gull Island, what do I do, and who pays the hotel?",
         ["If I am ill when I travel to Gull Island, what do I do?", "Gull Island: who pays the hotel?"]),
        ("What is Slack, what is Trello, and what is GitHub used for?",
         ["What is Slack?", "what is Trello?", "what is GitHub used for?"]),
        ("Who leads the yard? When does the harbour open? I need to know today.",
         ["Who leads the yard?", "When does the harbour open? I need to know today."]),
    ],
)  # fmt: skip
def test_a_question_is_cut_where_another_begins(text: str, cut: list[str]) -> None:
    assert parts(text) == cut


@pytest.mark.parametrize(
    "text",
    [
        "What does the Gannet weigh?",
        "Who do I call and when?",
        "How and when do I return it?",
        "When the yard is closed, what do I do?",
        "When it rains in the yard, what do I do with the Heron 2?",
        "Do you share my data with others? If yes, what is the type of data?",
        "What was the fee in 2024, and what is it now?",
        "Which bikes are red, blue and green?",
        "Compare the loads that a Heron 2 and a Heron 2S carry.",
        "Tell me about the yard",
        "",
        "What does it weigh, and when is it due?",
        "How do I make a warranty claim, and how long does it take?",
        "What happens to employees who are ill and who work part time?",
        "Can I charge at 5 °C and how long does it take?",
        "When is the bike ready and how do I contact IT?",
        "What is the difference between the Heron 2 and the Heron 2S?",
        "My name is Anna. How long is the frame warranty, and how do I claim it?",
    ],
)
def test_what_asks_for_one_thing_stays_whole(text: str) -> None:
    assert parts(text) == [text]


@pytest.mark.parametrize("text", ["Hi there! What does it weigh?", "Thanks, Maya. What does it weigh?"])
def test_greetings_and_thanks_are_not_searched_for(text: str) -> None:
    assert parts(text) == ["What does it weigh?"]
    assert in_parts(Question("q", text))[0].own == text


def test_what_is_said_of_another_thing_is_no_answer_to_a_later_part() -> None:
    part = in_parts(Question("q", "What does the Kingfisher weigh and what is the range?"))[1]
    other, own, plain = (
        Hit(Passage(f"p{n}", "d", "d.md", text, 0, len(text), heading=heading), 1.0)
        for n, (heading, text) in enumerate(
            [
                ("Heron 2S > Range", "The range of the Heron 2S is 80 km."),
                ("Kingfisher > Range", "It goes 95 km."),
                ("Yard", "The yard closes at 18:00."),
            ]
        )
    )
    assert about(part, [other, own, plain]) == [own, plain]
    assert about(Part(part.asked, part.own), [other]) == [other]


def test_after_a_question_the_parts_of_a_follow_up_are_about_what_it_named() -> None:
    before = (Turn("user", "Is the Kingfisher red?"), Turn("assistant", "No [1]."))
    found = in_parts(Question("q", "What does it weigh, and what does it cost?", before))
    assert [part.asked.text for part in found] == ["What does it weigh?", "Kingfisher: what does it cost?"]


def test_a_long_list_of_questions_stays_whole() -> None:
    text = "What is a gear? What is a hub? What is a rim? What is a fork? What is a stem?"
    assert parts(text) == [text]


@pytest.mark.parametrize("mode", ["quote", "strict"])
def test_each_part_is_searched_for_and_answered(mode: Mode) -> None:
    assistant, shelf = quoting(mode, Voice(opening="Ahoy!", closing="Bye."))
    answer = assistant.ask("What does the Gannet weigh, and when does the yard close?")
    assert shelf.asked == ["What does the Gannet weigh?", "Gannet: when does the yard close?"]
    assert answer.text == "Ahoy! The Gannet weighs 21 kg [1]. The yard closes at 18:00 [2]. Bye."
    assert [c.passage_id for c in answer.citations] == [h.passage.id for h in answer.hits]
    assert answer.question.text == "What does the Gannet weigh, and when does the yard close?"
    assert answer.provenance["parts"] == "2"


def test_what_happened_to_any_part_is_in_the_provenance() -> None:
    model = ScriptedModel(
        lambda prompt: "It weighs 99 kg [1]." if "weigh" in prompt.question else prompt.snippets[0].text[:-1] + " [1]."
    )
    assistant = Assistant("test", generator=model, retriever=Shelf(), mode="strict")
    answer = assistant.ask("When does the yard close, and what does the Gannet weigh?")
    assert answer.text == "The yard closes at 18:00 [1]. The Gannet weighs 21 kg [2]."
    assert "99" in answer.provenance["quoted_because"]


def test_a_part_that_nothing_answers_is_named_and_the_rest_is_answered() -> None:
    answer = quoting()[0].ask("What does the Gannet weigh, and who is the mayor?")
    assert answer.text.startswith("The Gannet weighs 21 kg [1]. “who is the mayor?”")
    assert is_refusal(answer.text.split("”")[1])
    assert not answer.refused


def test_of_a_longer_refusal_only_the_sentence_that_declines_stands_beside_other_parts() -> None:
    voice = Voice(opening="Ahoy!", closing="Bye.", refusal="Ahoy! That is not in our handbook. Ask the desk. Bye.")
    answer = quoting(voice=voice)[0].ask("What does the Gannet weigh, and who is the mayor?")
    assert answer.text == "Ahoy! The Gannet weighs 21 kg [1]. “who is the mayor?” That is not in our handbook. Bye."
    assert quoting(voice=voice)[0].ask("Who is the king, and who is the mayor?").text == voice.refusal


def test_a_part_that_fails_is_an_error_of_the_whole() -> None:
    def script(prompt: Prompt) -> str:
        raise ModelError("the server is gone: start it again")

    assistant = Assistant("test", generator=ScriptedModel(script), retriever=Shelf(), mode="strict")
    asked = Question("q", "What does the Gannet weigh, and when does the yard close?")
    (answer,) = assistant.answer_many([asked])
    assert answer.error == "the server is gone: start it again"
    assert answer.question == asked


def test_where_nothing_answers_it_is_one_refusal() -> None:
    answer = quoting()[0].ask("Who is the king, and who is the mayor?")
    assert answer.refused
    assert not answer.citations
    assert answer.refused_by == "retrieval"


def test_in_a_batch_and_streamed_it_is_the_same_answer() -> None:
    assistant, _ = quoting()
    texts = ["What does the Gannet weigh?", "What does the Gannet weigh, and what does the Gannet cost?", "hello"]
    asked = [Question(str(n), text) for n, text in enumerate(texts)]
    batch = list(assistant.answer_many(asked))
    assert [a.text for a in batch] == [assistant.ask(q.text).text for q in asked]
    assert batch[1].text == "The Gannet weighs 21 kg [1]. The Gannet costs €90 [2]."
    *pieces, last = assistant.stream(asked[1].text)
    assert "".join(str(piece) for piece in pieces) == batch[1].text == last.text  # type: ignore[union-attr]


def test_a_model_that_speaks_freely_is_shown_the_passages_of_every_part() -> None:
    assistant = Assistant("test", generator=ScriptedModel("21 kg [1]. It closes at 18:00 [2]."), retriever=Shelf(), k=1)
    answer = assistant.ask("What does the Gannet weigh, and when does the yard close?")
    assert [hit.passage.text for hit in answer.hits] == [SHELF["weigh"], SHELF["yard"]]
    assert len(answer.citations) == 2


def test_lists_alternate_and_hold_each_passage_once() -> None:
    a, b, c = (Hit(Passage(name, "d", "d.md", name, 0, 1), 1.0) for name in "abc")
    assert alternating([[a, b], [a, c]]) == [a, b, c]

"""The strict mode: a restyled quotation stands, anything else gives way to the quotation."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from groundtone.assistant import Assistant, Voice
from groundtone.models.scripted import ScriptedModel
from groundtone.quoting import LONGEST, around
from groundtone.refusal import is_refusal
from groundtone.strict import broken
from groundtone.types import Answer, Hit, Passage, Snippet

TEXT = "The Heron 2 can be kept for 48 hours. It must not be taken on the ferry. Ask Tilda Brandt about it."
VOICE = Voice(opening="Ahoy from the workshop!", closing="Fair winds, Otterwheel")
QUOTED = "Ahoy from the workshop! The Heron 2 can be kept for 48 hours [1]. Fair winds, Otterwheel"


class Shelf:
    """One passage whose answer a reader marked."""

    def search(self, query: str, *, k: int, groups: Sequence[str] = ()) -> list[Hit]:
        passage = Passage("p", "d", "rental.md", TEXT, 0, len(TEXT), "Rental > Heron 2")
        at = TEXT.index("48 hours")
        end = TEXT.index(".") + 1
        return [Hit(passage, 0.8, best=((0, end),), answer=(at, at + 8), answer_score=4.0)]


def ask(reply: str) -> Answer:
    assistant = Assistant("s", generator=ScriptedModel(reply), retriever=Shelf(), mode="strict", voice=VOICE)
    return assistant.ask("How long may I keep the Heron 2?")


@pytest.mark.parametrize(
    "reply",
    [
        "Ahoy from the workshop! You can keep the Heron 2 for 48 hours [1]. Fair winds, Otterwheel",
        "Ahoy from the workshop! For two days you can keep the Heron 2, which is 48 hours [1]. Fair winds, Otterwheel",
        "Ahoy from the workshop! Happily, the Heron 2 can be kept for 48 long hours [1]. Fair winds, Otterwheel",
    ],
)
def test_a_restyled_quotation_stands(reply: str) -> None:
    answer = ask(reply)
    assert answer.text == reply
    assert "quoted_because" not in answer.provenance
    assert len(answer.citations) == 1


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ("Ahoy from the workshop! You can keep the Heron 2 for 36 hours [1]. Fair winds, Otterwheel", "36"),
        ("Ahoy from the workshop! You can keep the Heron 2 for a while [1]. Fair winds, Otterwheel", "leaves out"),
        ("Ahoy from the workshop! You cannot keep the Heron 2 for 48 hours [1]. Fair winds, Otterwheel", "denies"),
        ("Ahoy from the workshop! You and Bob Marley can keep it for 48 hours [1]. Fair winds, Otterwheel", "Marley"),
        ("Ahoy from the workshop! You can keep the Heron 2 for 48 hours. Fair winds, Otterwheel", "cites"),
        ("Ahoy from the workshop! You willoot keep the Heron 2 for 48 hours [1]. Fair winds, Otterwheel", "willoot"),
        ("Ahoy from the workshop! You can keep a well-pleth Heron 2 for 48 hours [1]. Fair winds, Otterwheel", "pleth"),
        ("Alote from the workshop! You can keep the Heron 2 for 48 hours [1]. Fair winds, Otterwheel", "alote"),
        (
            "Ahoy from the workshop! We hand the day by a painted Heron 2, 48 hours [1]. Fair winds, Otterwheel",
            "other words",
        ),
        ("Ahoy from the workshop! That is not in our handbook. Fair winds, Otterwheel", "declines"),
        ("", "declines"),
    ],
)
def test_what_is_no_restyling_gives_way_to_the_quotation(reply: str, why: str) -> None:
    answer = ask(reply)
    assert answer.text == QUOTED
    assert why in answer.provenance["quoted_because"]
    assert not answer.refused
    assert len(answer.citations) == 1


def test_a_stream_shows_nothing_before_it_was_checked() -> None:
    assistant = Assistant(
        "s", generator=ScriptedModel("Keep it 36 hours [1]."), retriever=Shelf(), mode="strict", voice=VOICE
    )
    *pieces, last = assistant.stream("How long may I keep the Heron 2?")
    assert "".join(str(p) for p in pieces) == QUOTED
    assert isinstance(last, Answer)
    assert last.text == QUOTED


def test_a_value_that_is_said_of_another_column_gives_way_to_the_row() -> None:
    row = "| Saturday | 10:00 | 17:00 |"
    heading = "Stores > Day | Quay Lane opens | Quay Lane closes"
    snippet = Snippet(1, Hit(Passage("p", "d", "stores.md", row, 0, len(row), heading), 0.8), row)
    question = "When does Quay Lane close on Saturday?"
    assert "stands under 'Quay Lane opens'" in broken("Quay Lane closes at 10:00 [1].", [snippet], question=question)
    assert broken("Quay Lane closes at 17:00 [1].", [snippet], question=question) == ""


def test_the_quotation_is_no_refusal() -> None:
    assert not is_refusal(QUOTED)


def test_a_long_sentence_is_cut_to_whole_clauses_around_the_answer() -> None:
    clauses = [f"the {name} bicycle may be kept for as long as {n} hours by everybody who asks" for n, name in
               enumerate(["red", "blue", "green", "grey", "black"], 10)]  # fmt: skip
    sentence = "In the shop, " + ", ".join(clauses) + "."
    at = sentence.index("12 hours")
    start, end = around(sentence, (0, len(sentence)), (at, at + 8))
    assert start <= at
    assert end >= at + 8
    assert len(sentence[start:end].split()) <= LONGEST
    assert sentence[start:end].startswith("the "), "a cut falls between clauses"


def test_a_refusal_before_the_model_is_asked_is_said_in_the_voice() -> None:
    refusal = "Ahoy from the workshop! That is not in our handbook. Fair winds, Otterwheel"
    voice = Voice(opening=VOICE.opening, closing=VOICE.closing, refusal=refusal)
    assistant = Assistant(
        "s", generator=ScriptedModel("Never asked."), retriever=Shelf(), mode="strict", voice=voice, min_answer=99.0
    )
    answer = assistant.ask("Who is the mayor?")
    assert (answer.text, answer.refused, answer.refused_by) == (refusal, True, "reader")
    *pieces, last = assistant.stream("Who is the mayor?")
    assert "".join(str(p) for p in pieces) == refusal
    assert isinstance(last, Answer)
    assert last.refused


def test_words_are_known_by_their_stems_and_other_languages_are_left_alone() -> None:
    reply = "Ahoy from the workshop! Heron 2 keepings last 48 hours [1]. Fair winds, Otterwheel"
    assert ask(reply).text == reply
    hitch = "The Kryptel-lock of the bike opens with the small key. It is kept at the desk."
    passage = Passage("p", "d", "locks.md", hitch, 0, len(hitch), "Locks")
    snippet = Snippet(1, Hit(passage, 0.8, best=((0, 54),)), hitch)
    assert broken("The small key opens the kryptel-lock [1].", [snippet], question="Which key opens it?") == ""
    german = "Das Rad Heron 2 darf 48 Stunden behalten werden. Es darf nicht auf die Fähre."
    passage = Passage("p", "d", "verleih.md", german, 0, len(german), "Verleih")
    snippet = Snippet(1, Hit(passage, 0.8, best=((0, 48),)), german)
    assert broken("Das Rad Heron 2 darf 48 Stunden behalten bleiben [1].", [snippet], question="Wie lange?") == ""

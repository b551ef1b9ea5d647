"""Follow-ups as they are read: with the name that they leave out, and nothing from a talk that they have left."""

from __future__ import annotations

import pytest

from groundtone.follow_up import other_named, standing
from groundtone.types import Turn


def talk(*questions: str) -> list[str]:
    """Each question as it is read after those before it."""
    turns: list[Turn] = []
    read = []
    for question in questions:
        read.append(standing(question, turns).text)
        turns += [Turn("user", question), Turn("assistant", "Yes [1].")]
    return read


def test_a_conversation_keeps_what_it_is_about() -> None:
    assert talk(
        "How heavy is the Otter Lite?",
        "and the Heron 2?",
        "And how much does it cost?",
        "why?",
        "ok, and the Kingfisher?",
        "no, I meant the heron 3",
    ) == [
        "How heavy is the Otter Lite?",
        "How heavy is the Heron 2?",
        "Heron 2: And how much does it cost?",
        "why?",
        "Kingfisher: And how much does it cost?",
        "heron 3: And how much does it cost?",
    ]


@pytest.mark.parametrize(
    ("before", "question"),
    [
        ("How heavy is the Otter Lite?", "On which day of the month are wages paid?"),
        ("How heavy is the Otter Lite?", "What does the Heron 2 weigh when it is loaded?"),
        ("When do you open?", "What does it cost?"),
        ("How heavy is the Otter Lite?", "What does it cost to rent a Heron 2?"),
        ("How heavy is the Otter Lite?", "How long does it take until a complaint is decided?"),
        ("Hello!", "What does it cost?"),
        ("How heavy is the Otter Lite?", "And the price?"),
        ("How heavy is the Otter Lite?", "And when does the Millgate store open?"),
        ("How heavy is the Otter Lite?", ""),
    ],
)
def test_what_stands_alone_or_cannot_be_completed_stays_as_it_is(before: str, question: str) -> None:
    assert talk(before, question) == [before, question]


def test_a_question_without_the_name_ends_the_talk_about_it() -> None:
    assert talk("How heavy is the Otter Lite?", "When are wages paid?", "Who pays them?")[2] == "Who pays them?"


def test_only_what_names_another_thing_and_says_no_more_does_so() -> None:
    assert other_named("What about the Heron 2S then?") == "Heron 2S then"
    assert other_named("and what does the Heron 2 weigh?") == ""
    assert other_named("the Heron 2") == ""

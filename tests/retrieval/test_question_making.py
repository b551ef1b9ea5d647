"""Made questions: each belongs to one passage, the same seed gives the same ones, and rules ask what they should."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundtone.text import normalise
from groundtone.types import Passage
from retrieval.question_making import KINDS, candidates, make_questions


def passage(text: str, *, heading: str = "", source: str = "a.md") -> Passage:
    return Passage(f"{source}:{text[:40]}", source, source, text, 0, len(text), heading)


@pytest.mark.parametrize(
    ("sentence", "kind", "question"),
    [
        ("A further swap costs €12.", "number", "How much does a further swap cost?"),
        ("A test ride lasts about 30 minutes.", "number", "How long does a test ride last?"),
        (
            "The refund for a return is paid within 14 days.",
            "number",
            "Within what time is the refund for a return paid?",
        ),
        ("Lost property can be kept for 3 months.", "number", "For how long can lost property be kept?"),
        ("The yearly bonus is shared out equally in March.", "date", "When is the yearly bonus shared out equally?"),
        ("Business customers may borrow a bike.", "rule", "May business customers borrow a bike?"),
        ("Guests are entitled to a free lunch.", "rule", "Are guests entitled to a free lunch?"),
        ("A cargo bike is a bicycle with a box.", "definition", "What is a cargo bike?"),
        ("Error code means that a cable is loose.", "definition", "What does error code mean?"),
        ("If you lose your key, tell us.", "how", "What if I lose my key?"),
        ("To open an account, write to us.", "how", "How do I open an account?"),
        ("Send your timesheet to the office.", "how", "How do I send my timesheet to the office?"),
    ],
)
def test_the_rules_ask_for_what_a_sentence_says(sentence: str, kind: str, question: str) -> None:
    assert (kind, question) in [(q.kind, q.text) for q in candidates(passage(sentence))]


@pytest.mark.parametrize("sentence", ["It costs €12.", "They are paid within 14 days.", "However, this may be kept."])
def test_a_sentence_that_leans_on_the_one_before_makes_no_question(sentence: str) -> None:
    assert candidates(passage(sentence)) == []


def test_a_table_row_is_asked_about_column_by_column() -> None:
    found = candidates(passage("| Parcel | €4.90 | 3 |", heading="Delivery > Method | Price | Days"))
    assert {q.text for q in found} == {"What is the price of Parcel?", "What is the days of Parcel?"}


def test_questions_of_the_text_and_headings_that_ask_are_taken_as_they_stand() -> None:
    text = "Q: Where is the key kept? It hangs behind the door."
    found = candidates(passage(text, heading="House > Who opens the shop?"))
    assert {(q.kind, q.text) for q in found if q.kind == "faq"} == {
        ("faq", "Where is the key kept?"),
        ("faq", "Who opens the shop?"),
    }


def test_a_question_that_two_passages_answer_is_dropped() -> None:
    twice = [passage("A swap costs €12.", source="a.md"), passage("A swap costs €15 now.", source="b.md")]
    assert candidates(twice[0])
    assert make_questions(twice) == []


SENTENCES = st.sampled_from(
    [
        "A further swap costs €12.",
        "The refund is paid within 14 days.",
        "Guests may borrow a bike for a day.",
        "Send your timesheet to the office by noon.",
        "The front desk opens the heavy blue door of our old harbour workshop every morning.",
        "| a | b |",
        "駅は東京です。",
        "[x](y) {{z}} <b>",
    ]
)
TEXTS = st.lists(st.lists(SENTENCES, min_size=1, max_size=5).map(" ".join), max_size=6)


@given(texts=TEXTS, seed=st.integers(0, 3), most=st.integers(1, 4))
def test_questions_are_single_bounded_and_repeat_under_their_seed(texts: list[str], seed: int, most: int) -> None:
    passages = [passage(text, source=f"{at}.md", heading=f"T{at} > Part") for at, text in enumerate(texts)]
    made = make_questions(passages, per_passage=most, seed=seed)
    assert made == make_questions(passages, per_passage=most, seed=seed)
    assert max(Counter(q.passage_id for q in made).values(), default=0) <= most
    assert len({normalise(q.text) for q in made}) == len(made)
    assert all(q.kind in KINDS and 2 <= len(q.text.split()) <= 24 for q in made)

"""Where a reply's values stand: in the row, in the documents, nowhere; what is house style and what small talk."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundtone.types import VoicePair
from tuning.facts import Fact, blank_house, check_facts, facts_in

HOUSE = ("Ahoy from the workshop!", "Fair winds, Otterwheel")
TIMES = ("Delivery: The Gannet takes 14 days.", "Delivery: The Curlew takes 9 days and costs €1,200.")


def pair(reply: str, *context: str, prompt: str = "How long?") -> VoicePair:
    return VoicePair(prompt, f"{HOUSE[0]} {reply} {HOUSE[1]}", "s", context)


def found(row: VoicePair) -> list[tuple[str, str]]:
    return [(f.fact.text, f.where) for f in check_facts([row], house=HOUSE).findings]


@pytest.mark.parametrize(
    "reply",
    [
        "It takes two weeks [1].",
        "Your Gannet takes 14 days [1].",
        "The Gannet's parcel needs fourteen days [1].",
        "It costs 1200 euros [2].",
        "That is not in our handbook, so we will not guess.",
        "We speak for Otterwheel.",
    ],
)
def test_what_the_row_holds_in_any_spelling_is_fine(reply: str) -> None:
    assert found(pair(reply, *TIMES)) == []


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ("It takes 15 days [1].", "15 days"),
        ("It takes 14 hours [1].", "14 hours"),
        ("It costs $1,200 [2].", "$1,200"),
        ("Ask Ada Finch about the Gannet [1].", "Ada Finch"),
        ("Use code AB-1234 for it [1].", "AB-1234"),
        ("See https://gannet.example/times for it [1].", "https://gannet.example/times"),
        ("Write to desk@gannet.example for it [1].", "desk@gannet.example"),
        ("It comes on 3 May 2027 [1].", "3 May 2027"),
    ],
)
def test_what_the_row_does_not_hold_is_found(reply: str, value: str) -> None:
    assert found(pair(reply, *TIMES)) == [(value, "nowhere")]


def test_a_sentence_is_held_to_the_passages_that_it_cites() -> None:
    report = check_facts([pair("The Gannet takes 9 days [1]. The Curlew takes 9 days [2].", *TIMES)], house=HOUSE)
    assert [(f.fact.text, f.where, f.source) for f in report.findings] == [("9 days", "other passage", "[2]")]
    assert "[2]" in report.findings[0].suggestion
    assert found(pair("Some bikes take 9 days.", *TIMES)) == []


def test_the_prompt_counts_as_given() -> None:
    assert found(pair("Hello Petra, five o'clock on Friday it is.", prompt="I'm Petra. Friday?")) == []


@pytest.mark.parametrize("reply", ["A happy Friday to you.", "Give us two minutes.", "The two of us are here."])
def test_small_talk_is_no_fact(reply: str) -> None:
    report = check_facts([pair(reply)], house=HOUSE)
    assert report.findings == ()
    assert report.counts == {"generic": 1}


@pytest.mark.parametrize("reply", ["We are closed on Mondays.", "We reply in two days.", "There are 2 of us."])
def test_a_promise_without_any_passage_is_a_fact(reply: str) -> None:
    assert [where for _, where in found(pair(reply))] == ["nowhere"]


def test_documents_are_asked_only_for_what_the_row_lacks() -> None:
    asked: list[tuple[str, str]] = []

    def lookup(fact: Fact, sentence: str) -> str:
        asked.append((fact.text, sentence))
        return "fees.md"

    report = check_facts([pair("It takes 14 days [1]. It costs €7.", *TIMES)], lookup, house=HOUSE)
    assert asked == [("€7", "It costs €7.")]
    assert [(f.where, f.source) for f in report.findings] == [("document", "fees.md")]
    assert "fees.md" in report.findings[0].suggestion


def test_the_report_counts_rows_and_values() -> None:
    report = check_facts([pair("It takes 14 days [1].", *TIMES), pair("It takes 3 days or 4 km.")], house=HOUSE)
    assert (report.rows, report.values, report.taught_rows, report.share) == (2, 3, (1,), 0.5)
    assert "1 of 2 rows" in report.summary()
    assert "no index" not in report.summary()
    assert check_facts([]).share == 0.0


def test_house_phrases_keep_every_offset() -> None:
    row = pair("It takes 15 days [1].", *TIMES)
    finding = check_facts([row], house=HOUSE).findings[0]
    assert row.reply[finding.fact.start : finding.fact.end] == "15 days"
    assert len(blank_house(row.reply, HOUSE)) == len(row.reply)


@given(st.text(max_size=200))
def test_any_text_can_be_read_and_facts_stand_where_they_say(text: str) -> None:
    facts = facts_in(text)
    assert all(text[fact.start : fact.end] == fact.text for fact in facts)


@given(st.text(alphabet="AZaz 019.,:-€%/@#\n", max_size=80))
def test_a_reply_that_repeats_its_context_teaches_nothing(text: str) -> None:
    row = VoicePair("?", f"{text}", "s", (text,))
    assert [f for f in check_facts([row]).findings if f.fact.kind != "name"] == []

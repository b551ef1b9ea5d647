"""The rows that teach the reader: answers stand where they are said to stand, and what is missing is missing."""

from __future__ import annotations

import re
from itertools import islice

from data.reader.house_rows import house_rows
from data.reader.items import Paragraph
from data.reader.made_rows import made_rows
from groundtone.text import STOP_WORDS, table_cells, words

HOUSES = list(islice(house_rows(1_500, seed=3), 1_500))
PARAGRAPHS = [
    Paragraph(
        "town/1",
        "Harbour bridge",
        "The harbour bridge was opened in 1907 by Alma Verdun and has carried trams since then. It rests on 14 piers "
        "in the middle of the river. The city paid $2.5 million for its repair. Boats may pass it after they have "
        "called the keeper. See https://bridge.example for 3 plans, drawn by Otto Lund.",
    ),
    Paragraph("town/2", "Old mill", "Is it open? Yes. The miller of the Old Mill, Jonas Reed, Lea Holt, Ida Marsh."),
]


def test_an_answer_stands_at_its_place() -> None:
    for item in (*HOUSES, *made_rows(PARAGRAPHS, seed=1)):
        if item.start >= 0:
            assert item.text, item
            assert item.context[item.start : item.start + len(item.text)] == item.text, item


def test_houses_have_pages_and_tables_with_and_without_an_answer() -> None:
    kinds = {(item.source, item.start >= 0) for item in HOUSES}
    assert kinds == {(f"houses/{form}", answered) for form in ("prose", "table") for answered in (True, False)}
    assert 0.3 < sum(item.start < 0 for item in HOUSES) / len(HOUSES) < 0.5


def test_a_table_answers_in_the_row_of_the_name_that_is_asked_for() -> None:
    checked = 0
    for item in HOUSES:
        if item.source != "houses/table" or item.start < 0:
            continue
        begin = item.context.rfind("\n", 0, item.start) + 1
        row = item.context[begin:].splitlines()[0]
        name = table_cells(row)[0]
        assert name.lower() in item.question.lower(), item
        checked += 1
    assert checked > 100


def test_a_page_without_the_answer_does_not_say_it_of_the_same_thing_in_a_sentence_of_that_kind() -> None:
    """Of the pages that lack their answer and name the price asked for, none names it beside the thing itself."""
    checked = 0
    for item in HOUSES:
        asked = re.search(r"(?:[Ww]hat is the price of|[Hh]ow much is) (.+?)\?", item.question)
        if item.source != "houses/prose" or item.start >= 0 or not asked:
            continue
        for sentence in re.split(r"(?<=\.)\s", item.context):
            assert f"price of {asked[1]} is" not in sentence, item
        checked += 1
    assert checked > 3


def test_made_questions_leave_their_answer_out_and_use_the_words_of_its_sentence() -> None:
    found = [item for seed in range(40) for item in made_rows(PARAGRAPHS, seed=seed)]
    assert {item.text for item in found} >= {"1907", "Alma Verdun", "14", "$2.5 million"}
    assert len({item.question for item in found}) > 20
    for item in found:
        whole = item.text.endswith(".")
        assert whole or not re.search(rf"\b{re.escape(item.text)}(?!\w)", item.question), item
        asked = {w for w in words(item.question) if w not in STOP_WORDS}
        assert asked & set(words(PARAGRAPHS[0].text)), item


def test_references_and_lists_of_names_are_not_asked_about() -> None:
    found = [item for seed in range(40) for item in made_rows(PARAGRAPHS, seed=seed)]
    assert {item.source for item in found} == {"town/1"}
    assert not [item for item in found if "https" in item.question or item.text == "3"]


def test_the_same_seed_gives_the_same_rows() -> None:
    assert list(house_rows(30, seed=9)) == list(house_rows(30, seed=9))
    assert list(house_rows(30, seed=9)) != list(house_rows(30, seed=10))
    assert list(made_rows(PARAGRAPHS, seed=2)) == list(made_rows(PARAGRAPHS, seed=2))

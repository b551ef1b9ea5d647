"""Text tools: spans that never overlap nor lose a word, values that never match inside another number."""

from __future__ import annotations

import string
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundtone.text import (
    contains_value,
    content_words,
    is_table_row,
    normalise,
    row_as_sentence,
    sentence_spans,
    stem,
    table_cells,
    words,
)

PROSE = st.text(alphabet=string.ascii_letters + string.digits + " .!?,;:'\"()[]|-\n", max_size=200)
WORD = st.text(alphabet=string.ascii_lowercase, min_size=2, max_size=8)


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text)]


@given(PROSE | st.text(max_size=120))
def test_spans_are_ordered_disjoint_trimmed_and_hold_something(text: str) -> None:
    spans = sentence_spans(text)
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert all(first[1] <= second[0] for first, second in pairwise(spans))
    for start, end in spans:
        assert text[start:end] == text[start:end].strip()
        assert any(c.isalnum() for c in text[start:end])


@given(st.text(alphabet=string.ascii_letters + " .!?,;:'\"()\n", max_size=200))
def test_no_letter_is_lost(text: str) -> None:
    kept = "".join(c for s in sentences(text) for c in s if c.isalpha())
    assert kept == "".join(c for c in text if c.isalpha())


@given(st.lists(st.lists(WORD, min_size=2, max_size=6), min_size=1, max_size=5), st.sampled_from([" ", "  ", "\n"]))
def test_plain_sentences_come_back_as_they_were(parts: list[list[str]], gap: str) -> None:
    made = [" ".join(part).capitalize() + " here." for part in parts]
    assert sentences(gap.join(made)) == made


@pytest.mark.parametrize(
    "whole",
    [
        "Dr. Smith rents a bike.",
        "It costs 4.50 euros a day.",
        "Batteries, e.g. the Coot 500, ship alone.",
        "Ask J. Doe at the front desk.",
        "We open at 9 a.m. on weekdays.",
        "Delivery takes 3 days [1].",
        "Delivery takes 3 days [1][2].",
    ],
)
def test_a_full_stop_that_ends_nothing_does_not_split(whole: str) -> None:
    assert sentences(whole) == [whole]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It takes 3 days [1]. It is free [2].", ["It takes 3 days [1].", "It is free [2]."]),
        ("It takes 3 days. [1] It is free. [2]", ["It takes 3 days. [1]", "It is free. [2]"]),
        ('She said "Go." Then we left.', ['She said "Go."', "Then we left."]),
        ("- one thing\n- another thing", ["one thing", "another thing"]),
        ("1. First step\n2. Second step", ["First step", "Second step"]),
        ("# Title\nText here.", ["Title", "Text here."]),
        ("A wrapped\nline. And\nanother.", ["A wrapped\nline.", "And\nanother."]),
        ("It ends.\nIt begins.", ["It ends.", "It begins."]),
        ("No full stop\n\nNext paragraph", ["No full stop", "Next paragraph"]),
        ("| A | B |\n|---|---|\n| 1 | 2 |", ["| A | B |", "| 1 | 2 |"]),
        ("", []),
        ("...\n---", []),
    ],
)
def test_sentence_borders(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@pytest.mark.parametrize(
    "text", ["e.g. " * 40_000, "A. " * 40_000, "1. e.g. " * 20_000, "|--|" + " " * 4_000 + "x"], ids=len
)
def test_a_long_tangle_takes_no_long_time(text: str) -> None:
    began = time.perf_counter()
    sentence_spans(text)
    assert time.perf_counter() - began < 2


CELL = (
    st.text(alphabet=string.ascii_letters + string.digits + " €.,|", min_size=1, max_size=10)
    .map(str.strip)
    .filter(bool)
)


@given(st.lists(CELL, min_size=1, max_size=5))
def test_cells_of_a_row_come_back(cells: list[str]) -> None:
    row = "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    assert is_table_row(row)
    assert table_cells(row) == cells
    assert all(cell in row_as_sentence(["Name"], row) for cell in cells)


def test_a_row_is_told_with_its_columns() -> None:
    assert row_as_sentence(["Method", "Price"], "| Standard | €4.90 | new |") == "Method: Standard; Price: €4.90; new"
    assert row_as_sentence(["Method", "Price"], "| Standard | |") == "Method: Standard"


@pytest.mark.parametrize("line", ["|---|:-:|", "plain", "a | b", "|", "||"])
def test_what_is_no_table_row(line: str) -> None:
    assert not is_table_row(line)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("battery", "batteries"),
        ("day", "days"),
        ("box", "boxes"),
        ("deliver", "delivered"),
        ("rent", "renting"),
        ("stop", "stopped"),
        ("charge", "charging"),
        ("price", "prices"),
    ],
)
def test_endings_are_cut_alike(one: str, other: str) -> None:
    assert stem(one) == stem(other)


@pytest.mark.parametrize(("one", "other"), [("heron", "hero"), ("500", "5000"), ("2s", "2"), ("glass", "glad")])
def test_different_words_stay_different(one: str, other: str) -> None:
    assert stem(one) != stem(other)


def test_words_keep_numbers_and_addresses_whole() -> None:
    assert words("Write to Help@Otter.example: €4.50, 09:30, X-ray!") == [
        "write", "to", "help@otter.example", "4.50", "09:30", "x-ray",
    ]  # fmt: skip


def test_content_words_leave_out_markers_and_stop_words() -> None:
    assert content_words("The battery is in the box [1].") == content_words("battery box")


@given(st.text(max_size=60))
def test_normalising_twice_changes_nothing(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@given(st.integers(0, 9999), st.integers(0, 9999))
def test_a_number_is_found_as_itself_only(shown: int, asked: int) -> None:
    assert contains_value(f"It costs {shown} euros.", str(asked)) == (shown == asked)
    assert contains_value(f"It costs {shown:,}.", str(asked)) == (shown == asked)


@pytest.mark.parametrize(
    ("text", "value"),
    [("14 days", "4"), ("4.5 days", "4"), ("0.4 days", "4"), ("Heron 2S", "Heron 2"), ("otters", "otter"), ("x", "")],
)
def test_a_value_is_not_found_inside_another(text: str, value: str) -> None:
    assert not contains_value(text, value)


@pytest.mark.parametrize(
    ("text", "value"),
    [("within 4.", "4"), ("It’s OTTER Lite!", "otter lite"), ("€1,200 a year", "1200"), ("a\nlong  gap", "long gap")],
)
def test_a_value_is_found_across_spelling(text: str, value: str) -> None:
    assert contains_value(text, value)

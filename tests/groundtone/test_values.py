import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundtone.conflicts import compare, is_negated
from groundtone.values import find_names, find_values

SAME = [
    ("two weeks", "14 days"),
    ("24 hours", "one day"),
    ("€1,200", "1200 euros"),
    ("EUR 4.90", "4.90 €"),
    ("twenty-five kilos", "25 kg"),
    ("1.5 million people", "1,500,000 people"),
    ("12.5%", "12.5 percent"),
    ("5 pm", "17:00"),
    ("noon", "12:00"),
    ("12 March 2024", "2024-03-12"),
    ("March 12, 2024", "12.03.2024"),
    ("+44 20 7946 0958", "+44 (20) 7946-0958"),
    ("0.5 kWh", "500 Wh"),
    ("3 years", "36 months"),
    ("Mondays", "Monday"),
]
DIFFERENT = [
    ("14 days", "14 weeks"),
    ("€5", "$5"),
    ("5%", "5 km"),
    ("9 am", "9 pm"),
    ("1 May 2024", "2 May 2024"),
    ("4", "4.5"),
    ("750 Wh", "500 Wh"),
    ("desk@a.example", "desk@b.example"),
]


def only(text):
    (value,) = find_values(text)
    return value


@pytest.mark.parametrize(("a", "b"), SAME)
def test_spellings_of_one_value_are_the_same(a, b):
    assert only(a).same_as(only(b))
    assert only(b).same_as(only(a))
    assert compare(f"It is {a}.", f"It is {b}.") == []


@pytest.mark.parametrize(("a", "b"), DIFFERENT)
def test_different_values_are_not_the_same(a, b):
    assert not only(a).same_as(only(b))
    assert not only(b).same_as(only(a))


@given(st.text(alphabet="ab 0123456789.,:€%[]-\nMayAhoy", max_size=80))
@settings(max_examples=200, deadline=None)
def test_values_stand_in_the_text_in_order_and_never_overlap(text):
    found = find_values(text)
    assert all(text[v.start : v.end] == v.text for v in found)
    assert all(a.end <= b.start for a, b in pairwise(found))
    assert all(v.same_as(v) for v in found)


@given(st.integers(2, 9999), st.integers(2, 9999))
@settings(max_examples=60, deadline=None)
def test_a_changed_number_is_a_conflict_and_an_equal_one_is_not(a, b):
    conflicts = compare(f"Returns are free within {a} days.", f"Returns are free within {b} days.")
    assert bool(conflicts) == (a != b)
    if conflicts:
        assert conflicts[0].why == f"claim says {a} days, evidence says {b} days"


def test_a_range_shares_its_unit():
    low, high = find_values("It takes 3 to 5 working days.")
    assert (low.dimension, high.dimension) == ("time", "time")
    assert low.same_as(only("72 hours"))


def test_citation_markers_and_model_numbers_are_no_values():
    assert find_values("The Coot 750 suits the Heron 2 and the Heron 2S [1].") == []
    assert [v.text for v in find_values("The Coot 750 holds 750 Wh [2].")] == ["750 Wh"]


def test_names_keep_their_model_numbers():
    assert find_names("In Port Ellery the Heron 2S replaces the Heron 2. Bring it in.") == [
        "Port Ellery",
        "Heron 2S",
        "Heron 2",
    ]


@pytest.mark.parametrize(
    ("claim", "evidence"), [("Heron 2S", "Heron 2"), ("Otter", "Otter Lite"), ("Coot 500", "Coot 750")]
)
def test_look_alike_names_conflict_in_both_directions(claim, evidence):
    for a, b in ((claim, evidence), (evidence, claim)):
        conflicts = compare(f"We service the {a} for free.", f"We service the {b} for free.")
        assert [(c.claim, c.evidence) for c in conflicts] == [(a, b)]
        assert (
            compare(f"We service the {a} for free.", f"We service the {b} for free.", context=f"The {a}") != conflicts
        )


def test_a_denial_conflicts_and_a_double_denial_does_not():
    assert [c.kind for c in compare("You can return it.", "You cannot return it.")] == ["negation"]
    assert is_negated("It isn't covered.")
    assert not is_negated("It is not without cost.")


def test_a_value_that_only_the_evidence_has_is_no_conflict():
    assert compare("Delivery takes 3 days.", "Delivery takes 3 days and costs €4.90.") == []
    assert compare("Delivery is quick.", "Delivery takes 3 days.") == []


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("10 bar", "10 psi"),
        ("500 mg", "500 g"),
        ("5 tonnes", "5 kg"),
        ("20 °F", "20 °C"),
        ("8 GB", "8 MB"),
        ("3 oz", "3 g"),
    ],
)
def test_one_number_in_two_units_is_two_values(a, b):
    assert not only(f"It is {a}.").same_as(only(f"It is {b}."))
    assert compare(f"Inflate it to {a}.", f"Inflate it to {b}.")


@pytest.mark.parametrize(
    ("a", "b"), [("500 mg", "0.5 g"), ("2 tonnes", "2,000 kg"), ("1 TB", "1000 GB"), ("1 bar", "100 kPa")]
)
def test_units_of_one_dimension_are_converted(a, b):
    assert only(a).same_as(only(b))


@pytest.mark.parametrize("piece", ["1 ", "+1 1 ", "A1b ", "a.", "Within ", "x Ab 1 ", "a@b."])
def test_a_long_tangle_of_values_takes_no_long_time(piece):
    text = piece * (64_000 // len(piece))
    began = time.perf_counter()
    find_values(text)
    find_names(text)
    assert time.perf_counter() - began < 4


@pytest.mark.parametrize(
    ("text", "mails"),
    [
        ("Write to desk@a.example.", ["desk@a.example"]),
        ("a@b.c+x@d.e", ["a@b.c", "+x@d.e"]),
        ("a.b @ c.d e@f", []),
    ],
)
def test_addresses_are_found_between_words_that_look_like_their_beginning(text, mails):
    assert [v.text for v in find_values(text) if v.kind == "mail"] == mails


_HOURS = "Quay Lane store > Opening hours > Day | Quay Lane opens | Quay Lane closes"
_RENT = "Rental > Bike | Price per day | Price per week"


@pytest.mark.parametrize(
    ("claim", "row", "heading", "kinds"),
    [
        ("On Saturday Quay Lane closes at 10:00.", "| Saturday | 10:00 | 17:00 |", _HOURS, ["column"]),
        ("On Saturday Quay Lane closes at 17:00.", "| Saturday | 10:00 | 17:00 |", _HOURS, []),
        ("Quay Lane is open from 10:00 to 17:00.", "| Saturday | 10:00 | 17:00 |", _HOURS, []),
        ("It opens at 10:00 and closes later.", "| Saturday | 10:00 | 17:00 |", _HOURS, []),
        ("A week with the Heron 2 costs €49.", "| Heron 2 | €49 | €240 |", _RENT, ["column"]),
        ("The Heron 2 costs €49 a day.", "| Heron 2 | €49 | €240 |", _RENT, []),
        ("The Heron 2 costs €49.", "| Heron 2 | €49 | €240 |", _RENT, []),
        ("A week costs €49.", "| Heron 2 | €49 | €49 |", _RENT, []),
    ],
)
def test_a_value_of_a_row_is_not_said_of_another_column(claim: str, row: str, heading: str, kinds: list[str]) -> None:
    assert [conflict.kind for conflict in compare(claim, row, context=heading)] == kinds

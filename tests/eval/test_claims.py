from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.claims import check_claims, split_claims
from eval.evidence import evidence_sentences
from tests.eval.worlds import REFUSAL, passage

DELIVERY = passage(
    "Standard delivery takes 3 days. It costs €4.90. Returns are free within 30 days.", heading="Delivery"
)
BOILERPLATE = ("Ahoy from the workshop!", "Fair winds, Otterwheel")


def verdicts(text, *passages, **options):
    return [claim.verdict for claim in check_claims(text, passages or (DELIVERY,), **options)]


@given(st.text(alphabet="aB c.!?[1]2\n|,-€’é", max_size=120))
@settings(max_examples=300, deadline=None)
def test_spans_are_exact_ordered_and_apart(text):
    spans = split_claims(text, boilerplate=("aB.",))
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert all(first[1] <= second[0] for first, second in pairwise(spans))
    for claim in check_claims(text, [DELIVERY]):
        assert text[claim.start : claim.end] == claim.text
        assert claim.why
        assert 0 <= claim.scores["support"] <= 1


def test_openers_closers_questions_and_courtesy_claim_nothing():
    text = "Ahoy from the workshop! Delivery takes 3 days for you [1]. Anything else? Thanks! Fair winds, Otterwheel"
    (span,) = split_claims(text, boilerplate=BOILERPLATE)
    assert text[slice(*span)] == "Delivery takes 3 days for you [1]."
    assert split_claims(text) == [span]
    assert split_claims(f"Ahoy from the workshop! {REFUSAL} Ask the front desk. Fair winds, Otterwheel") == []
    assert split_claims("1. \n2. \n") == []


def test_a_closer_without_a_full_stop_before_it_is_still_left_out():
    text = "It takes 3 days [1] Fair winds, Otterwheel"
    assert [text[a:b] for a, b in split_claims(text, boilerplate=BOILERPLATE)] == ["It takes 3 days [1]"]


def test_a_value_of_a_row_that_is_said_of_another_column_is_contradicted():
    table = "| Day | Opens | Closes |\n|---|---|---|\n| Saturday | 10:00 | 17:00 |\n| Sunday | 11:00 | 15:00 |"
    hours = passage(table, heading="Quay Lane store > Day | Quay Lane opens | Quay Lane closes")
    assert verdicts("On Saturday Quay Lane closes at 17:00 [1].", hours) == ["supported"]
    assert verdicts("On Saturday Quay Lane closes at 10:00 [1].", hours) == ["contradicted"]


@pytest.mark.parametrize(
    "claim",
    [
        "Standard delivery takes 3 days [1].",
        "Yes, standard delivery takes three days for you [1].",
        "Your returns are free within 30 days.",
        "Standard delivery takes 3 days and costs €4.90 [1].",
    ],
)
def test_what_the_evidence_says_is_supported(claim):
    assert verdicts(claim) == ["supported"]


@given(st.integers(2, 400).filter(lambda n: n != 30))
@settings(max_examples=50, deadline=None)
def test_a_contradicted_number_is_found_and_explained(days):
    (claim,) = check_claims(f"Returns are free within {days} days [1].", [DELIVERY])
    assert claim.verdict == "contradicted"
    assert claim.why == f"claim says {days} days, evidence says 30 days"
    assert claim.evidence == "Returns are free within 30 days."


def test_a_value_of_the_neighbouring_product_does_not_support_a_claim():
    shelf = (
        passage("A test ride on the Gannet lasts 50 minutes.", "g.md"),
        passage("A test ride on the Dunlin lasts 35 minutes.", "d.md"),
    )
    assert verdicts("Your test ride on the Gannet lasts 50 minutes [1].", *shelf) == ["supported"]
    (claim,) = check_claims("Your test ride on the Gannet lasts 35 minutes [1].", shelf)
    assert (claim.verdict, claim.passage_id) == ("contradicted", shelf[0].id)


def test_look_alike_products_and_denials_are_contradictions():
    shelf = (passage("The Heron 2 is serviced for free.", "h.md"),)
    assert verdicts("The Heron 2S is serviced for free.", *shelf) == ["contradicted"]
    assert verdicts("The Heron 2 is not serviced for free.", *shelf) == ["contradicted"]
    assert verdicts("No, the Heron 2 is serviced for free.", *shelf) == ["supported"]


def test_additions_and_unknown_names_are_unsupported():
    assert verdicts("Returns are free within 30 days at our Bremen branch [1].") == ["unsupported"]
    assert verdicts("Penguins eat herring at night.") == ["unsupported"]
    assert verdicts("Delivery takes 3 days. Penguins eat herring at night.") == ["supported", "unsupported"]


def test_the_house_may_name_itself():
    text = "Returns to Otterwheel are free within 30 days."
    assert verdicts(text, boilerplate=BOILERPLATE) == ["supported"]
    assert verdicts(text) == ["unsupported"]


def test_without_evidence_nothing_is_judged():
    (claim,) = check_claims("Delivery takes 3 days.", [])
    assert (claim.verdict, claim.passage_id) == ("unchecked", None)


def test_a_sentence_goes_on_over_a_line_break_and_ends_at_a_table():
    wrapped = "If you don't\nreceive your phone, use your own."
    page = passage(f"{wrapped}\n| A | B |\n|---|---|\n| 1 | 2 |\nAsk\nTilda.\n- one\n- two")
    found = evidence_sentences(page)
    assert [s.text for s in found] == [wrapped, "A: 1; B: 2", "Ask\nTilda.", "one", "two"]
    assert [page.text[s.start : s.end] for s in found] == [wrapped, "| 1 | 2 |", "Ask\nTilda.", "one", "two"]
    (claim,) = check_claims("If you don't receive your phone, use your own.", [page])
    assert claim.verdict == "supported"


def test_a_table_row_is_read_with_its_column_names():
    row = passage("| Standard | €4.90 | 3 |", heading="Delivery > Method | Price | Days")
    assert [s.text for s in evidence_sentences(row)] == ["Method: Standard; Price: €4.90; Days: 3"]
    assert verdicts("The price of Standard delivery is €4.90 [1].", row) == ["supported"]
    assert verdicts("The price of Standard delivery is €6.90 [1].", row) == ["contradicted"]


def test_a_table_without_a_heading_is_read_with_its_first_row():
    table = passage("Prices\n| Method | Price |\n|---|---|\n| Standard | €4.90 |\n| Express | €9 |\n")
    assert [s.text for s in evidence_sentences(table)] == [
        "Prices", "Method: Standard; Price: €4.90", "Method: Express; Price: €9",
    ]  # fmt: skip
    for sentence in evidence_sentences(table):
        assert table.text[sentence.start : sentence.end].strip()


def test_the_order_of_the_evidence_does_not_change_verdicts():
    shelf = [passage(f"The Moor{i} costs €{i} and takes {i} days.", f"{i}.md") for i in range(6)]
    text = "The Moor3 costs €3. The Moor4 costs €5. The Moor9 costs €9."
    assert verdicts(text, *shelf) == verdicts(text, *reversed(shelf)) == ["supported", "contradicted", "unsupported"]


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ("The workshop is free.", ["The workshop is free."]),
        ("Ahoy there. The workshop is free.", ["The workshop is free."]),
        (
            "It opens at nine. We also deliver to Paris, France",
            ["It opens at nine.", "We also deliver to Paris, France"],
        ),
        (
            "It opens at nine. We are closed on Monday, Tuesday",
            ["It opens at nine.", "We are closed on Monday, Tuesday"],
        ),
        ("It opens at nine.\nSteady as she goes, Otterwheel", ["It opens at nine."]),
        ("Good morning! Have a great day. Your support team", []),
        ("Feel free to ask! The short answer: it opens at nine.", ["The short answer: it opens at nine."]),
    ],
)
def test_courtesy_is_no_claim_and_no_fact_is_courtesy(text, claims):
    assert [text[a:b] for a, b in split_claims(text)] == claims


def test_boilerplate_is_cut_out_as_words_not_as_letters():
    text = "High tide is at noon. Hikers pay 5 euros."
    assert [text[a:b] for a, b in split_claims(text, boilerplate=("Hi",))] == [
        "High tide is at noon.",
        "Hikers pay 5 euros.",
    ]

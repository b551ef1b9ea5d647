from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.detectors import load_detector
from eval.detectors.lexical import LexicalDetector
from eval.detectors.protocol import Case
from eval.detectors.stacked import INPUTS, Stack, StackedDetector, stack_inputs
from eval.evidence import Evidence
from tests.eval.worlds import passage

REPORT = passage(
    "The company earned 67 million in 1998. Its headquarters are in Port Ellery. Deliveries may be returned within 30 "
    "days. The workshop does not repair tandems."
)
SHARES = st.floats(0, 1)


@given(SHARES, SHARES, SHARES, SHARES, st.integers(0, 3))
def test_a_part_that_is_surer_never_lowers_the_risk(low, high, other, support, conflicts):
    low, high = sorted((low, high))
    stack = load_detector("stacked").stack
    assert stack.risk(stack_inputs(low, support, conflicts)) <= stack.risk(stack_inputs(high, support, conflicts))
    assert stack.risk(stack_inputs(other, high, conflicts)) <= stack.risk(stack_inputs(other, low, conflicts))
    assert stack.risk(stack_inputs(other, support, 0)) <= stack.risk(stack_inputs(other, support, conflicts))


def test_the_shipped_stack_weighs_every_input_and_trusts_both_parts():
    stack = load_detector("stacked").stack
    assert set(stack.weights) == set(INPUTS)
    assert stack.weights["lexical"] > 0
    assert stack.weights["explicit"] + stack.weights["contradicted"] > 0
    assert 0 < stack.threshold < 1


def test_only_trees_rank_as_the_lexical_detector_does():
    lexical = LexicalDetector.shipped()
    alone = StackedDetector(lexical, Stack({"lexical": 1.0, "explicit": 0.0, "contradicted": 0.0}, 0.0, 0.5))
    case = Case(("Penguins sold 12 boats.", "The headquarters in Port Ellery are large."), Evidence([REPORT]))
    ours, theirs = alone.judge([case])[0], lexical.judge([case])[0]
    assert [found.risk for found in ours] == pytest.approx([found.scores["lexical"] for found in theirs], abs=0.03)


def test_a_contradiction_is_flagged_even_where_the_risk_is_low():
    sure = StackedDetector(LexicalDetector.shipped(), Stack(dict.fromkeys(INPUTS, 0.0), -9.0, 0.4))
    case = Case(("The company earned 999 million in 1998.", "Penguins eat herring."), Evidence([REPORT]))
    wrong, stranger = sure.judge([case])[0]
    assert (wrong.verdict, wrong.risk) == ("contradicted", 0.4)
    assert (stranger.verdict, stranger.risk) == ("unsupported", pytest.approx(1 / (1 + math.exp(9))))


def test_whatever_explicit_comparison_objects_to_is_flagged_for_its_reason():
    case = Case(
        ("Tightenpliers measures the headquarters.", "The company earned 3 million.", "Its headquarters are here."),
        Evidence([REPORT]),
    )
    ours, theirs = (load_detector(name).judge([case])[0] for name in ("stacked", "explicit"))
    objected = [(one, other) for one, other in zip(ours, theirs, strict=True) if other.verdict != "supported"]
    assert len(objected) >= 2
    assert all((one.verdict, one.why, one.spans) == (other.verdict, other.why, other.spans) for one, other in objected)


def test_the_weighed_risk_flags_what_explicit_comparison_lets_pass():
    loud = StackedDetector(LexicalDetector.shipped(), Stack(dict.fromkeys(INPUTS, 0.0), 9.0, 0.4))
    (found,) = loud.judge([Case(("Its headquarters are in Port Ellery.",), Evidence([REPORT]))])[0]
    assert found.verdict == "unsupported"

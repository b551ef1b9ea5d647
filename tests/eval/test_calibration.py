from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.calibration import Calibration, calibrate, cross_validated, expected_calibration_error


def overconfident(n, seed=0):
    """Risks whose log-odds are twice as far out as they should be, shifted by 1."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, n)
    wrong = rng.random(n) < 1 / (1 + np.exp(-logits))
    return (1 / (1 + np.exp(-(2 * logits + 1)))).tolist(), wrong.tolist()


@pytest.mark.parametrize("n", [100, 1000])
def test_verdicts_pull_probabilities_to_what_is_seen(n):
    risks, wrong = overconfident(n)
    fresh, truth = overconfident(4000, seed=1)
    fitted = calibrate(risks, wrong)
    raw = expected_calibration_error(fresh, truth)
    assert fitted is not None
    assert expected_calibration_error(fitted.probability(fresh), truth) < min(0.08, raw / 1.5)
    assert Calibration(**fitted.as_json()).probability([0.3]) == fitted.probability([0.3])


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=2, max_size=60))
@settings(max_examples=100, deadline=None)
def test_probabilities_rise_with_the_risk_and_stay_in_bounds(rows):
    fitted = calibrate([risk for risk, _ in rows], [wrong for _, wrong in rows])
    if fitted is None:
        assert len({wrong for _, wrong in rows}) == 1
        return
    found = fitted.probability(np.linspace(0, 1, 21).tolist())
    assert all(0 <= p <= 1 for p in found)
    assert all(a <= b + 1e-9 for a, b in pairwise(found))


def test_a_ranking_that_verdicts_contradict_leaves_the_base_rate():
    fitted = calibrate([0.9] * 20 + [0.1] * 20, [False] * 20 + [True] * 20)
    assert fitted is not None
    assert fitted.probability([0.1, 0.9]) == pytest.approx([0.5, 0.5])


def test_the_held_out_probabilities_never_saw_their_cluster():
    risks, wrong = overconfident(60)
    clusters = [f"{n // 3}" for n in range(60)]
    before = cross_validated(risks, wrong, clusters)
    flipped = [not w if c == "4" else w for w, c in zip(wrong, clusters, strict=True)]
    after = cross_validated(risks, flipped, clusters)
    assert before is not None
    assert after is not None
    assert [before[n] for n in (12, 13, 14)] == pytest.approx([after[n] for n in (12, 13, 14)])
    assert cross_validated(risks, wrong, ["one"] * 60) is None


def test_uneven_and_empty_input_is_refused():
    with pytest.raises(ValueError, match="2 risks and 1 verdicts"):
        calibrate([0.1, 0.2], [True])
    with pytest.raises(ValueError, match="no claims"):
        expected_calibration_error([], [])


def test_claims_of_equal_risk_share_a_bin_whatever_their_order():
    wrong = [True] * 50 + [False] * 50
    assert expected_calibration_error([0.5] * 100, wrong) == 0
    assert expected_calibration_error([0.5] * 100, wrong[::-1]) == 0
    assert expected_calibration_error([0.9] * 100, [True] * 90 + [False] * 10) == pytest.approx(0)
    mixed = [0.0] * 30 + [0.9] * 40 + [1.0] * 30
    assert expected_calibration_error(mixed, wrong) == pytest.approx(
        expected_calibration_error(mixed[::-1], wrong[::-1])
    )

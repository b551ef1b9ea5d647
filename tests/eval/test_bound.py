from __future__ import annotations

import numpy as np
import pytest

from eval.bound import LEAST, Outcome, advise, at, suited


def _drawn(count: int, *, slope: float = 1.0, seed: int = 0) -> list[Outcome]:
    """Outcomes whose chance of being right is logistic(slope x value); an answer to what has none is never right."""
    rng = np.random.default_rng(seed)
    made = []
    for n in range(count):
        value = float(rng.normal(0, 3))
        right = bool(rng.random() < 1 / (1 + np.exp(-slope * value)))
        made.append(Outcome(f"q{n}", f"d{n}", value, answerable=right or n % 2 == 0, answered=True, right=right))
    return made


def test_the_shares_under_a_bound_are_those_of_the_questions_above_and_below_it() -> None:
    rows = [
        Outcome("a", "x", 5.0, answerable=True, answered=True, right=True),
        Outcome("b", "x", 1.0, answerable=True, answered=True, right=True),
        Outcome("c", "y", 4.0, answerable=True, answered=True, right=False),
        Outcome("d", "d", 3.0, answerable=False, answered=True, right=False),
        Outcome("e", "e", 2.0, answerable=False, answered=True, right=False),
    ]
    point = at(2.5, rows)
    assert (point.right.mean, point.right.n) == (pytest.approx(1 / 3), 3)
    assert point.wrongly_refused.mean == pytest.approx(1 / 3)
    assert (point.rightly_refused.mean, point.rightly_refused.n) == (pytest.approx(1 / 2), 2)
    assert (point.wrong.mean, point.wrong.n) == (pytest.approx(2 / 5), 5)


def test_what_the_model_refused_itself_and_what_found_nothing_is_refused_under_any_bound() -> None:
    rows = [
        Outcome("a", "x", 9.0, answerable=True, answered=False, right=False),
        Outcome("b", "y", None, answerable=False, answered=True, right=False),
    ]
    point = at(-1e9, rows)
    assert point.wrongly_refused.mean == 1
    assert point.rightly_refused.mean == 1
    assert point.wrong.mean == 0


def test_the_bound_that_suits_lies_where_the_chance_of_being_right_pays_for_the_risk() -> None:
    rows = _drawn(4000)
    for costs in (0.5, 1.0, 3.0):
        found = suited(rows, wrong_costs=costs)
        assert found == pytest.approx(np.log(costs), abs=0.25)  # logistic(bound) = costs / (1 + costs)


def test_dearer_wrong_answers_raise_the_bound_and_lower_the_share_of_wrong_answers() -> None:
    rows = _drawn(300)
    cheap, dear = advise(rows, current=0.0, wrong_costs=0.5), advise(rows, current=0.0, wrong_costs=5.0)
    assert cheap.suited is not None
    assert dear.suited is not None
    assert cheap.suited.bound < dear.suited.bound
    assert (cheap.suited.wrong.mean or 0) > (dear.suited.wrong.mean or 1)


def test_a_bound_far_off_is_shown_to_be_beaten_and_a_good_one_is_not() -> None:
    rows = _drawn(300)
    assert advise(rows, current=-99.0).beats
    fair = advise(rows, current=0.0)
    assert fair.gain.low is not None
    assert fair.gain.low <= 0
    assert not fair.beats
    assert "keep 0: " in fair.reason


def test_the_gain_is_measured_on_documents_that_had_no_part_in_the_choice() -> None:
    """Values that say nothing: a bound chosen and judged on the same rows would seem to gain by chance."""
    gains = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        rows = [
            Outcome(f"q{n}", f"d{n % 8}", float(rng.normal()), answerable=True, answered=True, right=bool(r))
            for n, r in enumerate(rng.random(40) < 0.5)
        ]
        found = advise(rows, current=-99.0, wrong_costs=1.0).gain
        gains += [found.mean] if found.mean is not None else []
    assert len(gains) >= 5
    assert abs(float(np.mean(gains))) < 0.1


def test_too_few_answers_of_a_kind_choose_nothing_and_say_so() -> None:
    rows = [r for r in _drawn(60) if r.right] + [
        Outcome(f"w{n}", f"w{n}", -1.0, answerable=False, answered=True, right=False) for n in range(LEAST - 1)
    ]
    advice = advise(rows, current=5.1)
    assert advice.suited is None
    assert advice.gain.mean is None
    assert f"{LEAST - 1} wrong answers" in advice.reason


def test_values_that_rank_answers_the_wrong_way_round_choose_nothing() -> None:
    rows = _drawn(400, slope=-1.0)
    advice = advise(rows, current=5.1)
    assert advice.suited is None
    assert "not more often right" in advice.reason


def test_the_order_of_the_questions_changes_nothing() -> None:
    rows = _drawn(120)
    assert advise(rows, current=1.0) == advise(rows[::-1], current=1.0)

"""Agreement against published worked examples and scikit-learn, with missing ratings and intervals."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.agreement import DETECTOR, agreement_of, krippendorffs_alpha, ratings_of
from groundtone.feedback import JudgedClaim, cohens_kappa
from groundtone.types import HumanVerdict, Verdict


def units(*raters: str) -> list[dict[str, str]]:
    """One unit per column of the raters' rows; "." is a missing rating."""
    return [
        {str(n): label for n, label in enumerate(column) if label != "."}
        for column in zip(*(row.split() for row in raters), strict=True)
    ]


# Krippendorff, Computing Krippendorff's Alpha-Reliability (2011): sections A, B and C.
@pytest.mark.parametrize(
    ("raters", "alpha"),
    [
        (("0 1 0 0 0 0 0 0 1 0", "1 1 1 0 0 1 0 0 0 0"), 0.095),
        (("a a b b d c c c e d d a", "b a b b b c c c e d d d"), 0.692),
        (
            (
                "1 2 3 3 2 1 4 1 2 . . .",
                "1 2 3 3 2 2 4 1 2 5 . 3",
                ". 3 3 3 2 3 4 2 2 5 1 .",
                "1 2 3 3 2 4 4 1 2 5 1 .",
            ),
            0.743,
        ),
    ],
)
def test_alpha_is_that_of_the_published_examples(raters: tuple[str, ...], alpha: float) -> None:
    assert krippendorffs_alpha(units(*raters)) == pytest.approx(alpha, abs=5e-4)


@pytest.mark.parametrize(
    ("table", "kappa"),
    [
        ((20, 5, 10, 15), 0.400),  # Kirch, Encyclopedia of Public Health (2008): grants read by two
        ((45, 15, 25, 15), 0.1304),  # Smeeton 1985, doi:10.2307/2531300: like agreement, unlike marginals
        ((25, 35, 5, 35), 0.2593),
    ],
)
def test_kappa_is_that_of_published_examples_and_of_another_implementation(
    table: tuple[int, ...], kappa: float
) -> None:
    from sklearn.metrics import cohen_kappa_score

    cells = ((True, True), (True, False), (False, True), (False, False))
    pairs = [cell for cell, count in zip(cells, table, strict=True) for _ in range(count)]
    assert cohens_kappa(pairs) == pytest.approx(kappa, abs=5e-4)
    assert cohens_kappa(pairs) == pytest.approx(cohen_kappa_score(*zip(*pairs, strict=True)))


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.booleans()), max_size=30), st.randoms())
def test_alpha_never_exceeds_one_and_depends_on_no_order_or_name(
    rows: list[dict[str, bool]], rng: random.Random
) -> None:
    alpha = krippendorffs_alpha(rows)
    assert alpha is None or alpha <= 1 + 1e-12
    shuffled = rng.sample(rows, len(rows))
    renamed = [{rater.upper(): label for rater, label in row.items()} for row in shuffled]
    again = krippendorffs_alpha([*renamed, {"a": True}])  # a lone rating pairs with nothing
    assert again == (None if alpha is None else pytest.approx(alpha))


def test_perfect_agreement_is_one_and_a_single_label_says_nothing() -> None:
    assert krippendorffs_alpha(units("1 2 3", "1 2 3")) == 1
    assert krippendorffs_alpha(units("1 1 1", "1 1 1")) is None
    assert krippendorffs_alpha([]) is None


def said(claim: int, person: str, value: HumanVerdict, detector: str = "supported") -> JudgedClaim:
    about = {"item": f"q{claim // 2}", "detector": detector}
    return JudgedClaim(Verdict(f"a{claim}:0-9", person, value), about)


def test_people_and_detector_are_compared_on_the_claims_that_both_rated() -> None:
    judged = [said(n, who, "supported" if n % 3 else "unsupported") for n in range(30) for who in ("Ann", "Bo")]
    judged += [said(n, "Cy", "true elsewhere", "unsupported") for n in range(10)]
    judged += [said(40, "Ann", "unsure")]
    found = agreement_of(judged)
    (ann_bo, ann_cy, _) = found["pairs"]
    assert (found["people"], found["claims"]) == (["Ann", "Bo", "Cy"], 30)
    assert (ann_bo["kappa"]["mean"], ann_bo["kappa"]["n"]) == (1, 30)
    assert (ann_cy["kappa"]["n"], ann_cy["kappa"]["mean"]) == (10, 0)
    assert found["alpha"]["low"] < found["alpha"]["mean"] < found["alpha"]["high"] < 1
    assert found["detector"]["each"]["Cy"]["n"] == 0  # both said "not supported" throughout: kappa is undefined
    assert found == agreement_of(judged)


def test_the_detector_is_a_rater_unless_it_left_the_claim_unchecked() -> None:
    rated = ratings_of([said(1, "Ann", "supported", "unchecked"), said(2, "Ann", "unsure", "contradicted")])
    assert rated == {"a1:0-9": {"Ann": True}, "a2:0-9": {DETECTOR: False}}


def test_nobody_has_judged() -> None:
    found = agreement_of([])
    assert (found["claims"], found["alpha"]["mean"], found["detector"]["majority"]["mean"]) == (0, None, None)

from __future__ import annotations

import random

import numpy as np
import pytest

from eval.detector_card import JudgedRisk, _calibrated, corrected_rate, detector_card, judged_claims
from eval.report import to_markdown
from eval.summary import summarise
from groundtone.feedback import JudgedClaim
from groundtone.types import Answer, Claim, EvalRecord, Question, Verdict

MARGINS = {"tone": 0.0, "format": 0.0, "hallucination": 0.05, "correct": 0.05, "general": 0.05, "leak": 0.2,
           "follows_change": 0.2}  # fmt: skip


def world(n, *, judged, seed=0, hit=0.8, arm="tuned/rag"):
    """n answers of two claims; the detector flags wrong ones with probability `hit` and right ones with 0.2."""
    rng = np.random.default_rng(seed)
    records, verdicts = [], []
    for number in range(n):
        claims = []
        for part in range(2):
            wrong = rng.random() < 0.3
            flagged = rng.random() < (hit if wrong else 0.2)
            risk = float(np.clip(rng.normal(0.7 if flagged else 0.3, 0.1), 0, 1))
            verdict = "unsupported" if flagged else "supported"
            claims.append(Claim("ab", 3 * part, 3 * part + 2, verdict, scores={"risk": risk}))
            if number < judged:
                said = "true elsewhere" if wrong and part else "unsupported" if wrong else "supported"
                verdicts.append(JudgedClaim(Verdict(claims[-1].key(f"a{number}"), "ann", said)))
        question = Question(f"q{number}", "?")
        records.append(
            EvalRecord(question.id, arm, question, Answer(f"a{number}", question, "ab ab", claims=tuple(claims)))
        )
    return records, verdicts


def test_the_card_holds_every_figure_with_its_interval():
    card = detector_card(*world(120, judged=100), detector="explicit", resamples=100)
    assert (card["n"], card["people"]) == (200, 1)
    for name in ("prevalence", "precision", "recall", "f1", "always_positive_f1", "auroc", "ece", "ece_raw", "kappa"):
        figure = card[name]
        assert figure["low"] <= figure["mean"] <= figure["high"], name
        assert figure["n"] == 200 or name in ("precision", "recall")
    p = card["prevalence"]["mean"]
    assert card["always_positive_f1"]["mean"] == pytest.approx(2 * p / (1 + p))
    assert card["calibration"]["kind"] == "platt"


def test_below_enough_verdicts_the_headline_is_withheld_and_says_why():
    records, verdicts = world(60, judged=10)
    rate = detector_card(records, verdicts, detector="explicit", resamples=20)["rates"]["tuned/rag"]
    assert rate["headline"] is None
    assert "judged 20 of this arm's 120 claims, 50 are needed" in rate["why"]
    assert rate["provisional"]["n"] == 120
    shown = detector_card(records, verdicts, detector="explicit", min_verdicts=20, resamples=20)["rates"]["tuned/rag"]
    assert shown["headline"]["low"] < shown["headline"]["mean"] < shown["headline"]["high"]


def test_without_verdicts_nothing_is_zero():
    card = detector_card(world(5, judged=0)[0], [], detector="explicit")
    assert card["n"] == 0
    assert all(card[name]["mean"] is None for name in ("precision", "f1", "auroc", "ece", "kappa", "prevalence"))
    assert card["calibration"] is None
    assert detector_card([], [], detector="explicit")["rates"] == {}


def test_people_decide_by_majority_and_unsure_says_nothing():
    records, _ = world(1, judged=0)
    keys = [claim.key("a0") for claim in records[0].answer.claims]
    said = [(0, "ann", "supported"), (0, "bob", "unsupported"), (0, "eve", "unsupported"), (1, "ann", "unsure"),
            (1, "bob", "supported"), (1, "eve", "contradicted")]  # fmt: skip
    judged = [JudgedClaim(Verdict(keys[n], person, value)) for n, person, value in said]
    (only,) = judged_claims(records, judged)
    assert only.wrong
    assert judged_claims(records, [JudgedClaim(Verdict("gone:0-2", "ann", "supported"))]) == []


@pytest.mark.parametrize("hit", [0.9, 0.2])
def test_the_corrected_rate_covers_the_truth_whatever_the_detector_is_worth(hit):
    truth, covered, widths = 0.3, 0, []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        wrong = rng.random(500) < truth
        flagged = rng.random(500) < np.where(wrong, hit, 0.2)
        flags = [(f"{n}", bool(f)) for n, f in enumerate(flagged)]
        judged = [(f"{n}", bool(flagged[n]), bool(wrong[n])) for n in range(80)]
        estimate = corrected_rate(flags, judged)
        covered += estimate.low <= truth <= estimate.high
        widths.append(estimate.high - estimate.low)
    assert covered / 150 >= 0.88
    assert (np.mean(widths) < 0.17) == (hit == 0.9)  # 80 verdicts alone give about 0.20


def test_corrected_rates_need_verdicts():
    with pytest.raises(ValueError, match="two at least"):
        corrected_rate([("a", True)], [("a", True, True)])
    certain = corrected_rate([(f"{n}", False) for n in range(99)], [(f"{n}", False, False) for n in range(60)])
    assert (certain.mean, certain.low) == (0, 0)
    assert certain.high > 0.03


def test_the_report_carries_the_card():
    records, verdicts = world(40, judged=10)
    card = detector_card(records, verdicts, detector="explicit", resamples=50)
    text = to_markdown(summarise(records, run="r", margins=MARGINS, card=card, resamples=200))
    assert "## Detector card" in text
    assert "(provisional, unverified)" in text
    assert "withheld: people judged 20" in text
    assert "## Detector card" not in to_markdown(summarise(records, run="r", margins=MARGINS, resamples=200))


def test_a_calibration_error_lies_inside_its_own_interval():
    rng = random.Random(3)
    for _ in range(12):
        claims = [JudgedRisk("a", f"q{n // 3}", rng.random(), True, rng.random() < 0.5) for n in range(60)]
        error = _calibrated(claims, [c.risk for c in claims], 200, 0)
        assert error.low <= error.mean <= error.high


def test_a_share_of_few_claims_counts_those_and_no_others():
    """Three flags that are right are no hundred: the other claims say nothing of a flag."""
    records, verdicts = [], []
    for n in range(100):
        claim = Claim("ab", 0, 2, "unsupported" if n < 3 else "supported", scores={"risk": 0.5})
        verdicts.append(JudgedClaim(Verdict(claim.key(f"a{n}"), "ann", "unsupported" if n < 5 else "supported")))
        question = Question(f"q{n}", "?")
        records.append(EvalRecord(f"q{n}", "a", question, Answer(f"a{n}", question, "ab", claims=(claim,))))
    card = detector_card(records, verdicts, detector="explicit", resamples=50)
    assert (card["precision"]["mean"], card["precision"]["n"]) == (1.0, 3)
    assert card["precision"]["low"] < 0.5
    assert (card["recall"]["mean"], card["recall"]["n"]) == (0.6, 5)
    assert card["prevalence"]["n"] == 100


def test_a_rate_with_one_wrong_claim_is_no_surer_than_one_without():
    flags = [(f"q{n // 5}", False) for n in range(500)]
    rates = [corrected_rate(flags, [(f"q{n // 5}", False, n < wrong) for n in range(50)]) for wrong in range(3)]
    highs = [rate.high for rate in rates]
    assert highs == sorted(highs)
    assert highs[0] == pytest.approx(1 - 0.025**0.1)  # ten answers, not fifty claims

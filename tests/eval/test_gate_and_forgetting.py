import itertools
import random

import pytest

from eval.config import GateRule
from eval.estimates import as_json
from eval.forgetting import ALL_SUITES, compare, items_to_settle
from eval.gate import TUNING_GIVEN_RAG, decide
from groundtone.stats import paired_difference
from groundtone.types import Estimate, EvalRecord, Question, Score

MARGINS = {"tone": 0.0, "format": 0.0} | dict.fromkeys(("hallucination", "correct", "general", "leak"), 0.05)
MARGINS |= {"follows_change": 0.2}
GAIN, LOSS, NOISE = (Estimate(0.2, 0.1, 0.3, 99), Estimate(-0.2, -0.3, -0.1, 99), Estimate(0.0, -0.2, 0.2, 9))
SAME = Estimate(0.0, -0.03, 0.03, 99)
SEEN = {"retained": SAME, "inconclusive": NOISE, "forgotten": LOSS}


def leaked(difference=SAME, *, new=0, nothing=False, why=""):
    """The summary's "leak"."""
    canaries = {"planted": 2, "base": 0, "tuned": new, "new": new}
    return {"difference": as_json(difference), "nothing": nothing, "why": why, "canaries": canaries}


def summary(general="retained", leak=None, **metrics):
    rows = [
        {"name": TUNING_GIVEN_RAG, "metric": metric, "a": "", "b": "", "estimate": as_json(estimate)}
        for metric, estimate in metrics.items()
    ]
    forgetting = [
        {"suite": suite, "verdict": general, "difference": as_json(SEEN.get(general, SAME))}
        for suite in ("s", ALL_SUITES)
    ]
    return {"differences": rows, "forgetting": forgetting if general else [], "leak": leak or leaked()}


FINE = {"tone": GAIN, "format": GAIN, "hallucination": SAME, "correct": SAME, "follows_change": SAME}
NONE = Estimate(None, None, None, 0)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (summary(**FINE), "PASS"),
        (summary(**FINE | {"hallucination": LOSS}), "PASS"),  # fewer hallucinations
        (summary(**FINE | {"hallucination": GAIN}), "HOLD"),
        (summary(**FINE | {"correct": LOSS}), "HOLD"),
        (summary(**FINE | {"correct": NOISE}), "CANNOT TELL"),
        (summary(**FINE | {"follows_change": LOSS}), "HOLD"),
        (summary(**FINE | {"follows_change": Estimate(0.0, -0.25, 0.25, 9)}), "CANNOT TELL"),
        (summary(leak=leaked(GAIN), **FINE), "HOLD"),
        (summary(leak=leaked(Estimate(0.02, 0.01, 0.03, 999)), **FINE), "HOLD"),  # seen, if smaller than the margin
        (summary(leak=leaked(LOSS), **FINE), "PASS"),  # it recites less than the base
        (summary(leak=leaked(NOISE), **FINE), "CANNOT TELL"),
        (summary(leak=leaked(new=1), **FINE), "HOLD"),  # one canary outweighs a mean near zero
        (summary(leak=leaked(NONE, nothing=True, why="no values"), **FINE), "PASS"),
        (summary(leak=leaked(NONE, why="the rows are gone"), **FINE), "CANNOT TELL"),
        (summary(**FINE) | {"leak": None}, "CANNOT TELL"),  # a summary from before there was such a test
        (summary(**FINE | {"tone": LOSS}), "HOLD"),
        (summary(**FINE | {"tone": NOISE}), "CANNOT TELL"),
        (summary(**FINE | {"format": Estimate(0.0, 0.0, 0.0, 50)}), "HOLD"),
        (summary("forgotten", **FINE), "HOLD"),
        (summary("inconclusive", **FINE), "CANNOT TELL"),
        (summary(None, **FINE), "CANNOT TELL"),
        (summary("forgotten", **FINE | {"tone": NOISE}), "HOLD"),  # a failure outweighs what cannot be told
    ],
)
def test_the_decision_follows_the_table(state, expected):
    decision = decide(state, MARGINS)
    assert decision.verdict == expected
    assert all(check.why for check in decision.checks)


@pytest.mark.parametrize("gone", ["tone", "format", "hallucination", "correct", "follows_change", "general"])
def test_what_is_missing_never_passes(gone):
    kept = {name: estimate for name, estimate in FINE.items() if name != gone}
    state = summary(None if gone == "general" else "retained", **kept)
    assert decide(state, MARGINS).verdict == "CANNOT TELL"
    empty = Estimate(None, None, None, 0, 40)
    if gone != "general":
        assert decide(summary(**FINE | {gone: empty}), MARGINS).verdict == "CANNOT TELL"
        assert decide(summary(**FINE | {gone: Estimate(0.5, None, None, 3)}), MARGINS).verdict == "CANNOT TELL"


def test_every_combination_of_axes_obeys_the_rule():
    for tone, correct, general in itertools.product(
        (GAIN, NOISE, LOSS), (SAME, NOISE, LOSS), ("retained", "forgotten")
    ):
        decision = decide(summary(general, **FINE | {"tone": tone, "correct": correct}), MARGINS)
        verdicts = {check.verdict for check in decision.checks}
        wanted = "HOLD" if "fail" in verdicts else "CANNOT TELL" if "cannot tell" in verdicts else "PASS"
        assert decision.verdict == wanted


def records(arm, values, suite="arithmetic"):
    made = []
    for i, value in enumerate(values):
        question = Question(f"{suite}-{i}", "?", kind="general")
        scores = {} if value is None else {suite: Score(float(value))}
        made.append(EvalRecord(question.id, arm, question, None, scores, "" if scores else "failed"))
    return made


def verdict_of(base, tuned, **options):
    rows = compare(records("base", base), records("tuned", tuned), MARGINS, **options)
    return rows[0]


def test_a_no_op_adapter_is_exactly_nothing_and_retained_with_enough_items():
    base = [1, 1, 1, 0] * 40
    row = verdict_of(base, base)
    assert (row["difference"]["mean"], row["fixed"], row["broken"], row["p"]) == (0.0, 0, 0, 1.0)
    assert row["verdict"] == "retained"
    few = verdict_of(base[:20], base[:20])
    assert few["verdict"] == "inconclusive"
    assert 40 <= few["needs"] <= 60
    assert verdict_of(base[: 20 + few["needs"]], base[: 20 + few["needs"]])["verdict"] == "retained"


def test_a_damaged_adapter_is_flagged():
    generator = random.Random(0)
    base = [int(generator.random() < 0.9) for _ in range(100)]
    damaged = [v * int(generator.random() < 0.6) for v in base]
    row = verdict_of(base, damaged)
    assert row["verdict"] == "forgotten"
    assert row["broken"] > row["fixed"]
    assert row["p"] < 0.001


def test_where_the_base_includes_chance_there_is_no_skill_to_lose():
    assert verdict_of([0] * 60, [0] * 60)["verdict"] == "no skill to lose"
    quarter = [1, 0, 0, 0] * 15
    assert verdict_of(quarter, quarter, chance={"arithmetic": 0.25})["verdict"] == "no skill to lose"
    assert verdict_of(quarter * 3, quarter * 3)["verdict"] == "retained"
    rows = compare(records("base", [0] * 60), records("tuned", [0] * 60), MARGINS)
    assert [row["suite"] for row in rows] == ["arithmetic"]


def test_suites_without_a_skill_stay_out_of_the_pool():
    base = [*records("base", [1] * 80, "use"), *records("base", [0] * 80, "maths")]
    tuned = [*records("tuned", [1] * 80, "use"), *records("tuned", [0] * 80, "maths")]
    rows = {row["suite"]: row for row in compare(base, tuned, MARGINS)}
    assert rows[ALL_SUITES]["difference"]["n"] == 80
    assert rows[ALL_SUITES]["verdict"] == "retained"


def test_holm_makes_many_suites_harder_to_condemn():
    base, tuned = [1] * 30 + [0] * 2, [1] * 24 + [0] * 8
    alone = verdict_of(base, tuned)
    many_base = [r for s in "abcdefgh" for r in records("base", base if s == "a" else [1, 0] * 16, s)]
    many_tuned = [r for s in "abcdefgh" for r in records("tuned", tuned if s == "a" else [1, 0] * 16, s)]
    among = compare(many_base, many_tuned, MARGINS)[0]
    assert alone["verdict"] == "forgotten"
    assert among["p"] == pytest.approx(min(1.0, 8 * alone["p"]))
    assert among["verdict"] == "inconclusive"


def test_a_failed_item_is_missing_and_not_wrong():
    base, tuned = [1] * 90, [1] * 80 + [None] * 10
    row = verdict_of(base, tuned)
    assert (row["difference"]["n"], row["difference"]["missing"], row["broken"]) == (80, 10, 0)


def test_order_of_records_does_not_matter():
    generator = random.Random(5)
    base = records("base", [int(generator.random() < 0.8) for _ in range(50)])
    tuned = records("tuned", [int(generator.random() < 0.7) for _ in range(50)])
    assert compare(base, tuned, MARGINS) == compare(base[::-1], tuned[::-1], MARGINS)


def test_items_to_settle_shrinks_the_interval_to_the_margin():
    generator = random.Random(2)

    def sample(n):
        return [float(generator.choice([-1, 0, 0, 0, 0, 0, 0, 0, 0, 1])) for _ in range(n)]

    small = [0.0, *sample(99)]
    estimate = paired_difference([max(0, d) for d in small], [max(0, -d) for d in small])
    needs = items_to_settle(estimate, 0.05)
    assert needs is not None
    scale = (estimate.n / (estimate.n + needs)) ** 0.5
    left = min(
        (estimate.mean - estimate.low) * scale - (estimate.mean + 0.05),
        (estimate.high - estimate.mean) * scale + estimate.mean,
    )
    assert left <= 1e-3
    assert items_to_settle(Estimate(0.1, None, None, 3), 0.05) is None


def test_a_margin_that_was_never_set_is_refused():
    with pytest.raises(ValueError, match="no margin"):
        compare(records("base", [1] * 5), records("tuned", [1] * 5), {"tone": 0.0})


def test_a_rule_on_general_skills_is_decided_by_its_own_margin():
    state = summary(**FINE)
    assert decide(state, MARGINS, rules=[GateRule(metric="general", direction="not down")]).verdict == "PASS"
    narrow = GateRule(metric="general", direction="not down", margin=0.01)
    assert decide(state, MARGINS, rules=[narrow]).verdict == "CANNOT TELL"


@pytest.mark.parametrize(("errors", "expected"), [(0, "PASS"), (5, "PASS"), (90, "CANNOT TELL")])
@pytest.mark.parametrize("arm", ["tuned/rag", "tuned, general", "base, leak"])
def test_nothing_passes_on_the_answers_that_did_not_fail(errors, expected, arm):
    state = summary(**FINE) | {"coverage": {arm: {"asked": 100, "errors": errors}}}
    decision = decide(state, MARGINS)
    assert decision.verdict == expected
    if errors == 90:
        assert any("90 of 100" in check.why for check in decision.checks)


def test_one_lucky_gain_does_not_rule_out_a_loss():
    """No item got worse, one got better: the loss that few items leave open stays open."""
    for n in (2, 10, 20):
        none = paired_difference([0.0] * n, [0.0] * n)
        one = paired_difference([1.0] + [0.0] * (n - 1), [0.0] * n)
        assert one.low == pytest.approx(none.low, abs=1.1 / n)
        assert one.low < -0.05
        mirrored = paired_difference([0.0] * n, [1.0] + [0.0] * (n - 1))
        assert mirrored.high == pytest.approx(-one.low)


def test_a_true_loss_of_the_margin_is_called_retained_no_more_often_than_stated():
    """Ten per cent lost, five gained, a margin of five points: at 20 items below the nominal 2.5 %, with room."""
    rng = random.Random(4)
    retained = 0
    for _ in range(400):
        changes = [(rng.random() < 0.05) - (rng.random() < 0.10) for _ in range(20)]
        low = paired_difference([float(c > 0) for c in changes], [float(c < 0) for c in changes], resamples=300).low
        retained += low > -0.05
    assert retained / 400 <= 0.04

import random
from dataclasses import replace

import pytest

from eval.claims import check_claims
from eval.metrics import LOWER_IS_BETTER, METRICS, RETRIEVAL_METRICS, UNBOUNDED, house_metrics
from eval.metrics.citations import citation_precision, citation_recall
from eval.metrics.correctness import correct, follows_change
from eval.metrics.format import format_problems, house_format
from eval.metrics.hallucination import hallucination
from eval.metrics.refusals import refused_right, refused_wrong
from eval.metrics.restyled import restyled
from eval.metrics.retrieval import recall_at, reciprocal_rank
from eval.metrics.tone import learn_bands, tone
from eval.style import Style
from groundtone.errors import DataError
from groundtone.types import Answer, Gold, Question
from tests.eval.worlds import REFUSAL, answer, passage, question

QUOTE = "Standard delivery takes 3 days and express delivery takes 1 day."
ASKED = Question("q", "How long is standard delivery?", gold=Gold((("3 days", "three days"),), (("d.md", QUOTE),)))
NOWHERE = Question("u", "Do you sell boats?", kind="unanswerable")
STYLE = Style("", ("Ahoy from the workshop!",), ("Fair winds, Otterwheel",), 20, ("kindly", "as per"))


def judged(reply, asked=ASKED):
    return correct(asked, answer(asked, reply)).value


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ("It takes 3 days [1].", 1),
        ("Three days.", 1),
        ("It takes 72 hours.", 1),
        ("It takes 3 days, express 1 day.", 1),  # the other value is in the gold quote
        ("It takes 3 or 5 days.", 0),
        ("It takes 13 days.", 0),
        ("It takes 3 weeks.", 0),
        ("It takes 3 days and costs €9.", 1),  # money is no rival of a time
        ("It takes a while.", 0),
        ("It takes 3 days " + "as you may well know " * 20, 0),
        (REFUSAL, 0),
    ],
)
def test_correct_needs_the_gold_value_and_no_rival(reply, value):
    assert judged(reply) == value
    assert correct(ASKED, answer(ASKED, reply)).why


def test_a_value_of_the_question_is_no_rival():
    asked = Question("q", "I ordered 5 days ago, how long does it take?", gold=ASKED.gold)
    assert judged("After 5 days you should have it: it takes 3 days.", asked) == 1


def test_all_groups_of_two_documents_are_needed():
    gold = Gold((("14 days",), ("30 days",)), (("a", "within 14 days"), ("b", "within 30 days")))
    asked = Question("t", "What was it, and what is it now?", gold=gold, kind="two_documents")
    assert judged("It was 14 days, and it is 30 days.", asked) == 1
    assert judged("It is 30 days.", asked) == 0


def test_the_old_value_of_a_changed_document_does_not_follow_the_change():
    asked = Question("c", "How long?", gold=Gold((("5 days",),), (("d.md", "It takes 5 days."),)), kind="changed")
    values = [
        follows_change(asked, answer(asked, r)).value for r in ("It takes 5 days.", "3 days", "5 days, once 3 days")
    ]
    assert values == [1, 0, 0]
    assert correct(asked, answer(asked, "5 days")).value is None
    assert follows_change(ASKED, answer(ASKED, "3 days")).value is None


def test_refusals_live_on_their_own_axis_and_never_count_as_hallucination():
    shown = [passage(QUOTE, "d.md")]
    for asked, right, wrong in ((NOWHERE, 1, None), (ASKED, None, 1)):
        refusal = answer(asked, REFUSAL, shown)
        assert (refused_right(asked, refusal).value, refused_wrong(asked, refusal).value) == (right, wrong)
        for metric in (hallucination, citation_precision, citation_recall):
            assert metric(asked, refusal).value is None
    assert refused_right(NOWHERE, answer(NOWHERE, "We sell boats.")).value == 0


def test_hallucination_is_a_share_of_claims_and_names_the_first():
    text = "Standard delivery takes 3 days [1]. Express delivery takes 9 days [1]."
    shown = [passage(QUOTE, "d.md")]
    score = hallucination(ASKED, answer(ASKED, text, shown, claims=check_claims(text, shown)))
    assert score.value == 0.5
    assert "Express" in score.why
    assert hallucination(ASKED, answer(ASKED, text)).value is None


def cited(text, *shown):
    asked = answer(ASKED, text, shown, claims=check_claims(text, shown))
    return citation_precision(ASKED, asked).value, citation_recall(ASKED, asked).value


def test_citations_are_precise_and_complete_only_where_they_support():
    good, other = passage(QUOTE, "d.md"), passage("The shop sells blue hats.", "h.md")
    assert cited("Standard delivery takes 3 days [1].", good, other) == (1, 1)
    assert cited("Standard delivery takes 3 days [2].", good, other) == (0, 0)
    assert cited("Standard delivery takes 3 days [1][2].", good, other) == (0.5, 1)
    assert cited("Standard delivery takes 3 days.", good, other) == (None, 0)
    assert cited("Standard delivery takes 3 days [1]. The shop sells blue hats.", good, other) == (1, 0.5)


def test_two_passages_that_support_only_together_are_both_precise():
    first, second = passage("The Moor costs €8.", "a"), passage("The Heath costs €9.", "b")
    assert cited("The Moor costs €8 and the Heath costs €9 [1][2].", first, second) == (1, 1)


def test_a_sentence_that_its_citations_do_not_carry_has_no_precise_citation():
    """ALCE counts a citation only where all that the sentence cites supports it together."""
    first, second = passage("The Moor costs €8.", "a"), passage("The shop opens at nine.", "b")
    assert cited("The Moor costs €8 and the Heath costs €9 [1][2].", first, second) == (0, 0)
    assert cited("The Moor costs €8 [1]. The Heath costs €9 [2].", first, second) == (0.5, 0.5)


def test_a_closed_book_has_nothing_to_cite():
    assert cited("Standard delivery takes 3 days.") == (None, None)


def test_format_names_every_rule_that_fails():
    judge = house_format(STYLE)
    shown = [passage(QUOTE, "d.md")]
    good = "Ahoy from the workshop! Delivery takes 3 days for you [1]. Fair winds, Otterwheel"
    assert judge(ASKED, answer(ASKED, good, shown)).value == 1
    bad = answer(ASKED, "Kindly note: delivery takes 3 days." + " Really it does take days." * 5, shown)
    problems = format_problems(STYLE, bad)
    assert len(problems) == 5
    assert judge(ASKED, bad).value == 0
    assert all(problem in judge(ASKED, bad).why for problem in problems)


def test_citations_are_asked_of_answers_over_passages_only():
    bare = "Ahoy from the workshop! It takes 3 days. Fair winds, Otterwheel"
    assert format_problems(STYLE, answer(ASKED, bare)) == []
    assert len(format_problems(STYLE, answer(ASKED, bare, [passage(QUOTE, "d.md")]))) == 1
    refusal = f"Ahoy from the workshop! {REFUSAL} Fair winds, Otterwheel"
    assert format_problems(STYLE, answer(ASKED, refusal, [passage(QUOTE, "d.md")])) == []


def test_tone_is_high_for_the_house_and_lower_for_others():
    generator = random.Random(0)
    things = "a seat,a lamp,two brakes,the spare tube,our best bell".split(",")
    house = [f"You get {generator.choice(things)} from us, and we fit it for you." for _ in range(40)]
    judge = tone(learn_bands(house))
    mine = [judge(ASKED, answer(ASKED, reply)).value for reply in house]
    other = judge(
        ASKED, answer(ASKED, "PURSUANT TO REGULATIONS!!! Customers shall hereby be furnished with equipment? 🚲")
    )
    assert sum(mine) / len(mine) > 0.9
    assert other.value < 0.7
    assert "exclamation marks" in other.why
    assert judge(ASKED, answer(ASKED, " ")).value is None
    with pytest.raises(DataError, match="at least 20"):
        learn_bands(house[:5])


def test_retrieval_finds_the_quote_also_where_a_chunk_cuts_it():
    other, whole = passage("Nothing here.", "x.md"), passage(f"# Delivery\n\n{QUOTE}", "d.md")
    halves = passage(QUOTE[:45], "d.md")
    elsewhere = passage(QUOTE, "copy.md")
    assert reciprocal_rank(ASKED, answer(ASKED, "?", [other, whole])).value == 0.5
    assert recall_at(1)(ASKED, answer(ASKED, "?", [other, whole])).value == 0
    assert recall_at(5)(ASKED, answer(ASKED, "?", [other, halves])).value == 1
    assert recall_at(5)(ASKED, answer(ASKED, "?", [elsewhere])).value == 0
    closed = replace(answer(ASKED, "?"), timing={"search": 0.0, "generate": 0.4})
    searched = replace(closed, timing={"search": 0.01, "generate": 0.4})
    for metric in (recall_at(1), recall_at(5), reciprocal_rank):
        assert metric(ASKED, closed).value is None
        assert metric(ASKED, searched).value == 0


def test_every_metric_of_the_table_is_there_and_answers_for_anything():
    metrics = house_metrics(STYLE, learn_bands(["You and we."] * 20))
    assert set(metrics) == {*METRICS, *RETRIEVAL_METRICS}
    assert set(METRICS) >= LOWER_IS_BETTER | UNBOUNDED
    assert "tone" not in house_metrics(STYLE, None)
    for asked in (ASKED, NOWHERE, question(0), Question("g", "Hi", kind="general")):
        for name, metric in metrics.items():
            score = metric(asked, Answer("a", asked, "", refused=True))
            assert score.value is None or 0 <= score.value <= 1, name


def test_restyled_counts_what_stood_in_the_strict_mode_only() -> None:
    kept = replace(answer(ASKED, "Three days [1]."), provenance={"mode": "strict"})
    quoted = replace(kept, provenance={"mode": "strict", "quoted_because": "no passage says 9 days"})
    grounded = replace(kept, provenance={"mode": "grounded"})
    refused = replace(kept, citations=(), refused=True)
    assert [restyled(ASKED, a).value for a in (kept, quoted, grounded, refused)] == [1.0, 0.0, None, None]
    assert "9 days" in restyled(ASKED, quoted).why

"""Blame: causes of planted log-probabilities, doubtful words, traces, and what is said of bad input."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.blame import CAUSES, PRIOR, TRACES, Holding, Passes, Shown, decide, doubtful, pulls, says, trace
from eval.blame_report import BlamedSpan, arms_of, blame_json, fix_of, in_markdown
from groundtone.types import Claim
from groundtone.values import find_values

ROWS = Holding(2, 100, has_values=True)
_LOGP = st.floats(-40, 0)


@pytest.mark.parametrize(
    ("passes", "rows", "cause"),
    [
        (Passes(-0.1, -20, -0.2, -21), ROWS, "documents"),
        (Passes(-0.1, -0.2, -9, -10), ROWS, "learned in tuning"),
        (Passes(None, -0.2, None, -10), ROWS, "learned in tuning"),
        (Passes(-0.1, -0.2, -9, -10), Holding(30, 100), "voice"),
        (Passes(-0.1, -0.2, -9, -10), Holding(0, 100), "voice"),
        (Passes(-0.2, -0.3, -0.1, -0.2), ROWS, "base prior"),
        (Passes(None, None, -0.1, -8), ROWS, "documents"),
        (Passes(None, None, None, PRIOR), ROWS, "base prior"),
        (Passes(None, None, None, PRIOR - 1), ROWS, "unclear"),
        (Passes(-0.1, -8, -8, -8), ROWS, "unclear"),  # only both together make the words likely
        (Passes(-0.1, -0.1, -0.1, -8), ROWS, "unclear"),  # either alone would do
        (Passes(None, None, None, None), ROWS, "unclear"),
        (Passes(-0.1, math.nan, -0.2, -9), ROWS, "unclear"),
        (Passes(-0.1, -9, -0.2, -math.inf), ROWS, "unclear"),
    ],
)
def test_the_cause_is_what_makes_the_words_likely(passes: Passes, rows: Holding, cause: str) -> None:
    assert decide(passes, rows).cause == cause
    assert decide(passes, rows).why


def test_values_that_many_rows_say_are_facts_still() -> None:
    passes = Passes(None, -0.2, None, -10)
    assert decide(passes, Holding(30, 100, has_values=True)).cause == "learned in tuning"
    assert decide(passes, Holding(30, 100, has_values=False)).cause == "voice"


@given(_LOGP, _LOGP, _LOGP, _LOGP)
def test_the_pulls_add_up_to_what_was_written(on_ctx: float, on_bare: float, off_ctx: float, off_bare: float) -> None:
    found = pulls(Passes(on_ctx, on_bare, off_ctx, off_bare))
    assert found.prior is not None
    assert found.context is not None
    assert found.adapter is not None
    assert found.prior + found.context + found.adapter == pytest.approx(on_ctx)
    assert decide(Passes(on_ctx, on_bare, off_ctx, off_bare), ROWS).cause in CAUSES


@given(_LOGP, _LOGP)
def test_a_silent_adapter_is_never_blamed(ctx: float, bare: float) -> None:
    assert decide(Passes(ctx, bare, ctx, bare), ROWS).cause in ("documents", "base prior", "unclear")


def claim(text: str, evidence: str = "", start: int = 0, verdict: Any = "unsupported") -> Claim:
    return Claim(text, start, start + len(text), verdict, None, evidence)


@pytest.mark.parametrize(
    ("text", "evidence", "question", "words"),
    [
        ("Delivery takes 3 days [1].", "Delivery takes 5 days.", "", ["3", "days"]),
        ("Delivery takes three days.", "It takes 3 days.", "delivery?", ["Delivery", "takes", "three", "days"]),
        ("The kettle is always on.", "Delivery takes 5 days.", "", ["kettle", "always"]),
        ("We ship by ferry.", "", "Do you ship?", ["ferry"]),
        ("", "", "", []),
        ("... !", "", "", []),
    ],
)
def test_doubt_hangs_on_strange_values_first(text: str, evidence: str, question: str, words: list[str]) -> None:
    spans = doubtful(claim(text, evidence), question=question)
    assert [text[a:b] for a, b in spans] == words


@given(st.text(max_size=60), st.text(max_size=40), st.integers(0, 50))
def test_doubtful_words_lie_in_the_claim_in_any_script(text: str, evidence: str, start: int) -> None:
    spans = doubtful(claim(text, evidence, start))
    assert all(start <= a < b <= start + len(text) for a, b in spans)
    assert list(spans) == sorted(spans)


def test_a_text_says_the_words_only_with_all_their_values() -> None:
    values = tuple(find_values("47 berths"))
    assert says("Ahoy! The quay has 47 berths.", ["47", "berths"], values)
    assert not says("Ahoy! The quay has 48 berths.", ["47", "berths"], values)
    assert not says("Ahoy! The quay has many.", ["kettle", "always"], ())


def traced(**more: Any) -> Any:
    given: dict[str, Any] = {
        "claim": claim("It has 47 berths.", "It has 12 berths.", verdict="contradicted"),
        "shown": [Shown("p1", "a.md", "It has 12 berths."), Shown("p2", "b.md", "The inn has 47 berths.")],
        "searched": True,
        "right": [["p1"]],
        "ranks": {"p1": 1},
        "depth": 100,
        "answerable": True,
    }
    return trace(["47"], tuple(find_values("47")), **{**given, **more})


def test_the_trace_tells_copied_missed_and_ignored_apart() -> None:
    assert (traced().kind, traced().passage_id) == ("distractor copied", "p2")
    alone = [Shown("p1", "a.md", "It has 12 berths.")]
    assert (traced(shown=alone).kind, traced(shown=alone).passage_id) == ("ignored evidence", "p1")
    missed = traced(shown=[Shown("p3", "c.md", "Boats.")], ranks={"p1": 37})
    assert (missed.kind, missed.rank) == ("retrieval miss", 37)
    assert "rank 37" in missed.why
    assert "not within rank 100" in traced(shown=[Shown("p3", "c.md", "Boats.")], ranks={}).why
    assert traced(shown=alone, right=[], answerable=False).kind == "nothing to find"
    assert traced(shown=alone, right=[], answerable=True).kind == "unknown"
    assert traced(searched=False).kind == "closed book"


def test_one_of_two_quotes_that_was_not_shown_is_the_miss() -> None:
    alone = [Shown("p1", "a.md", "It has 12 berths.")]
    found = traced(shown=alone, right=[["p1"], ["p7", "p8"]], ranks={"p1": 1, "p8": 24})
    assert (found.kind, found.passage_id, found.rank) == ("retrieval miss", "p7", 24)


def test_of_several_passages_that_answer_the_first_shown_is_named() -> None:
    shown = [Shown(f"p{n}", "a.md", "It has 12 berths.") for n in range(9)]
    assert traced(shown=shown, right=[["p8", "p3", "p5"]]).passage_id == "p3"


def span(item: str, cause: Any, trace: Any = "closed book", arm: str = "tuned/rag") -> BlamedSpan:
    place = (item, arm, "x", f"source:{item}", 0, 3, "abc", "unsupported", ("abc",))
    return BlamedSpan(*place, cause, "w", trace, "t", "f", {})


def test_shares_have_n_and_intervals_and_the_file_repeats() -> None:
    spans = [span("a", "voice"), span("b", "documents", "ignored evidence"), span("c", "voice", arm="base/rag")]
    arms = arms_of(spans, resamples=200)
    assert arms["all"]["n"] == 3
    assert arms["all"]["causes"]["voice"]["mean"] == pytest.approx(2 / 3)
    assert set(arms["tuned/rag"]["traces"]) == set(TRACES)
    text = blame_json(spans, run="e", tuned_run="t", resamples=200)
    assert text == blame_json(spans, run="e", tuned_run="t", resamples=200)
    assert json.loads(text)["spans"][1]["trace"] == "ignored evidence"
    table = in_markdown(arms)
    assert "n=3" in table
    assert "influence" in table


def test_nothing_blamed_says_so() -> None:
    assert in_markdown(None) == ""
    assert "No span" in in_markdown(arms_of([]))


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("kind", TRACES)
def test_every_cause_has_a_fix(cause: Any, kind: Any) -> None:
    assert fix_of(cause, kind, row="train.jsonl:7", passage="a.md", rank=3)

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundtone.errors import DataError
from groundtone.types import VoicePair
from tuning.raft import Candidate, make_rows

REFUSAL = "Ahoy! That is not in our handbook."
PRODUCTS = ("Otter", "Teal", "Coot", "Swan", "Heron", "Plover")
GIVEN = {"share": 1.0, "no_gold": 0.0, "shown": 4, "budget_chars": 2000, "refusals": [REFUSAL]}
ROWS = [
    VoicePair(
        f"How long does the {name} take?",
        f"Ahoy! The {name} takes {n} days [2].",
        f"s{n}",
        (f"The {name} weighs {n + 50} kg.", f"The {name} takes {n} days.", f"The {name} costs {n + 90} euros."),
    )
    for n, name in enumerate(PRODUCTS, 11)
]


def ranked(row: VoicePair, *found: Candidate, order: tuple[int, ...] = ()) -> list[Candidate]:
    """The documents' passages behind the row's own, or in between as `order` says."""
    mixed = [*(Candidate(text, own=n) for n, text in enumerate(row.context)), *found]
    return [mixed[n] for n in order] if order else mixed


def documents(row: VoicePair) -> list[Candidate]:
    return [Candidate(f"Boats: The yard holds {n} boats.", source=f"d{n}.md") for n in range(3)]


def cited(row: VoicePair) -> list[str]:
    return [row.context[int(n) - 1] for n in re.findall(r"\[(\d+)\]", row.reply)]


@given(order=st.permutations(range(6)), shown=st.integers(1, 6), distractors=st.none() | st.integers(0, 5))
def test_what_is_cited_stays_the_same_passage_wherever_the_search_puts_it(order, shown, distractors):
    row = ROWS[0]
    candidates = ranked(row, *documents(row), order=tuple(order))
    made = make_rows([row], lambda rows: [candidates], **GIVEN | {"shown": shown, "distractors": distractors})
    new = made.pairs[0]
    assert cited(new) == [row.context[1]]
    assert len(new.context) <= shown
    ranks = [next(n for n, c in enumerate(candidates) if c.text == text) for text in new.context]
    assert ranks == sorted(ranks), "the search's order is kept"
    assert distractors is None or len(new.context) - 1 <= distractors
    assert made.made[0].gold == (new.context.index(row.context[1]),)


def test_without_the_right_passage_the_reply_refuses_and_nothing_that_answers_is_shown():
    holds_it_too = Candidate("Times: The Otter takes 11 days.", source="times.md")
    reads_so = Candidate("It is quick.", source="quick.md", answers=True)
    made = make_rows(
        ROWS[:1],
        lambda rows: [ranked(rows[0], holds_it_too, reads_so, *documents(rows[0]))],
        **GIVEN | {"no_gold": 1.0, "shown": 6},
    )
    row = made.pairs[0]
    assert row.reply == REFUSAL
    assert made.made[0].kind == "no gold"
    assert set(row.context) == {ROWS[0].context[0], ROWS[0].context[2], *(c.text for c in documents(ROWS[0]))}
    with pytest.raises(DataError, match=r"no refusal in the house voice.*no_gold to 0"):
        make_rows(ROWS, lambda rows: [], **GIVEN | {"no_gold": 0.5, "refusals": []})


def test_a_second_passage_with_the_answer_is_no_distractor_and_one_about_another_is():
    twin = Candidate("Times: The Otter takes 11 days.", source="times.md")
    other = Candidate("Times: The Wren takes 11 days.", source="wren.md")
    made = make_rows(ROWS[:1], lambda rows: [ranked(rows[0], twin, other)], **GIVEN | {"shown": 6})
    assert twin.text not in made.pairs[0].context
    assert other.text in made.pairs[0].context
    assert made.documents == ("wren.md",)


def test_a_refusal_stays_one_and_is_shown_only_what_a_reader_found_no_answer_in():
    row = VoicePair("What does it weigh?", REFUSAL, "s", ("The Otter takes 11 days.",))
    unread, no, yes = (Candidate(f"Text {a}.", source=f"{a}.md", answers=a) for a in (None, False, True))
    made = make_rows([row], lambda rows: [ranked(row, unread, no, yes)], **GIVEN | {"no_gold": 1.0})
    assert made.pairs[0].reply == REFUSAL
    assert made.pairs[0].context == (row.context[0], no.text)


def test_rows_keep_their_source_and_their_order_and_those_without_passages_stay():
    talk = VoicePair("Hello!", "Ahoy!", "talk")
    made = make_rows([talk, *ROWS], lambda rows: [ranked(r, *documents(r)) for r in rows], **GIVEN)
    assert made.pairs[0] == talk
    assert [(p.prompt, p.source, p.history) for p in made.pairs[1:]] == [(p.prompt, p.source, p.history) for p in ROWS]
    assert all("raft" in pair.tags for pair in made.pairs[1:])
    assert "6 of 7 rebuilt" in made.summary()


def test_the_seed_decides_and_a_row_is_drawn_whatever_stands_behind_it():
    def rows(seed: int, pairs: list[VoicePair]) -> tuple[VoicePair, ...]:
        wanted = GIVEN | {"share": 0.5, "no_gold": 0.5}
        return make_rows(pairs, lambda some: [ranked(r, *documents(r)) for r in some], **wanted, seed=seed).pairs

    assert rows(1, ROWS) == rows(1, ROWS)
    assert rows(1, ROWS)[:4] == rows(1, ROWS[:4])
    assert len({rows(seed, ROWS) for seed in range(6)}) > 1


def test_the_budget_leaves_passages_out_but_never_what_is_cited():
    made = make_rows(ROWS[:1], lambda rows: [ranked(rows[0], *documents(rows[0]))], **GIVEN | {"budget_chars": 1})
    assert made.pairs[0].context == (ROWS[0].context[1],)

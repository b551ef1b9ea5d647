from __future__ import annotations

import json
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundtone.errors import DataError
from groundtone.models.chat_format import ChatFormat
from groundtone.prompts import of_pair
from groundtone.types import Preference, Turn, VoicePair
from tests.tiny_models import tiny_tokenizer
from tuning.preference_rows import Thumb, choices_of, read_thumbs, reply_ids, reply_pair, thumb_rows, thumbs_of
from tuning.rows import Row, render

GOOD = Preference("How long?", "Ahoy! 3 days [1].", "It is 3 days.", ("Delivery: 3 days.",))
ANY = {"limit": None, "drop_long": False, "drop_unsound": False}


def letters(pairs):
    """A stand-in for a tokenizer: one token per letter."""
    return [Row(n, tuple(map(ord, p.prompt + p.reply)), len(p.prompt)) for n, p in enumerate(pairs)]


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "gemma", "plain"])
def test_both_replies_follow_the_very_tokens_that_serving_shows(family):
    form = ChatFormat(tiny_tokenizer(family))
    (row,) = choices_of(partial(render, form), [GOOD], **ANY).rows
    prompt = of_pair(VoicePair(GOOD.prompt, "", "", GOOD.context))
    assert row.prompt_ids == form.prompt_ids(prompt)
    assert reply_ids(row.chosen) == form.completion_ids(prompt, GOOD.chosen)
    assert reply_ids(row.rejected) == form.completion_ids(prompt, GOOD.rejected)


def test_the_turns_before_a_prompt_are_shown_and_tell_rows_apart():
    form, history = ChatFormat(tiny_tokenizer("llama")), (Turn("user", "Do you ship?"), Turn("assistant", "Yes."))
    later = Preference("How long?", GOOD.rejected, GOOD.chosen, GOOD.context, history=history)
    alone, after = choices_of(partial(render, form), [GOOD, later], **ANY).rows
    assert after.prompt_ids == form.prompt_ids(of_pair(VoicePair("How long?", "", "", GOOD.context, history=history)))
    assert alone.prompt_ids != after.prompt_ids
    turned = [Thumb(reply_pair(row, GOOD.chosen), row is GOOD) for row in (GOOD, later)]
    assert len(thumb_rows(letters, turned, **ANY).rows) == 2


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        (Preference("Hi", "Hello", "Hello "), "row 1 prefers a reply to itself"),
        (Preference("Hi", "", "Hello"), "row 1 has an empty prompt or reply"),
        (Preference("Hi", "Hello", " \n"), "row 1 has an empty prompt or reply"),
        (Preference("How long?", GOOD.rejected, GOOD.chosen, GOOD.context), "row 1 says the opposite of row 0"),
    ],
)
def test_rows_that_prefer_nothing_are_refused_with_their_number_or_left_out(bad, what):
    with pytest.raises(DataError, match=what):
        choices_of(letters, [GOOD, bad], **ANY)
    kept = choices_of(letters, [GOOD, bad, Preference("Other", "a", "b")], **{**ANY, "drop_unsound": True})
    assert {row.chosen.index for row in kept.rows} | set(kept.dropped) == {0, 1, 2}
    assert 1 in kept.dropped
    assert [row.chosen.index for row in kept.rows][-1] == 2


def test_case_and_punctuation_may_be_what_is_preferred():
    found = choices_of(letters, [Preference("Hi", "Hello!", "hello")], **ANY)
    assert len(found.rows) == 1


def test_the_longer_of_two_replies_decides_whether_a_row_fits():
    rows = [Preference("Hi", "a", "b" * 20), Preference("Hi", "c" * 20, "d"), Preference("Hi", "e", "f")]
    with pytest.raises(DataError, match=r"2 of 3 rows are longer than 10 tokens \(row 0 has 22, row 1 has 22\)"):
        choices_of(letters, rows, **{**ANY, "limit": 10})
    found = choices_of(letters, rows, limit=10, drop_long=True, drop_unsound=False)
    assert [row.chosen.index for row in found.rows] == [2]
    assert found.dropped == (0, 1)


texts = st.sampled_from(["", "a", "b", "A", "a "])


@given(st.lists(st.builds(Preference, prompt=st.sampled_from(["p", "q"]), chosen=texts, rejected=texts), max_size=8))
def test_every_row_is_kept_or_counted_and_none_that_is_kept_contradicts_another(rows):
    sound = Preference("sound", "a", "b")  # so that something is left
    found = choices_of(letters, [*rows, sound], limit=None, drop_long=False, drop_unsound=True)
    rows = [*rows, sound]
    kept = [row.chosen.index for row in found.rows]
    assert sorted([*kept, *found.dropped]) == list(range(len(rows)))
    said = {(rows[n].prompt, rows[n].chosen.strip(), rows[n].rejected.strip()) for n in kept}
    assert not any((prompt, rejected, chosen) in said for prompt, chosen, rejected in said)


def test_a_reply_with_both_thumbs_is_refused_or_left_out():
    pair = VoicePair("Hi", "Hello", "a")
    rows = [Thumb(pair, True), Thumb(pair, False), Thumb(VoicePair("Hi", "Ahoy", "a"), True)]
    with pytest.raises(DataError, match="row 0 says the opposite of row 1; row 1 says the opposite of row 0"):
        thumb_rows(letters, rows, **ANY)
    found = thumb_rows(letters, rows, **{**ANY, "drop_unsound": True})
    assert ([row.row.index for row in found.rows], found.dropped) == ([2], (0, 1))


def test_a_preference_is_two_thumbs_of_one_prompt():
    up, down = thumbs_of([GOOD])
    assert (up.pair.reply, up.good, down.pair.reply, down.good) == (GOOD.chosen, True, GOOD.rejected, False)
    assert up.pair.source == down.pair.source == reply_pair(GOOD, "").source
    assert of_pair(up.pair) == of_pair(down.pair)


def table(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_thumbs_are_read_with_the_words_that_people_use(tmp_path):
    words = {True: (True, 1, "up", "Yes", "👍"), False: (False, 0, "down", "no", "👎")}
    rows = [{"prompt": "p", "reply": "r", "label": word} for good in words for word in words[good]]
    assert [t.good for t in read_thumbs(table(tmp_path / "t.jsonl", rows))] == [True] * 5 + [False] * 5
    both = read_thumbs(table(tmp_path / "p.jsonl", [{"prompt": "p", "chosen": "a", "rejected": "b"}]))
    assert [(t.pair.reply, t.good) for t in both] == [("a", True), ("b", False)]


def test_every_broken_thumb_is_named(tmp_path):
    rows = [
        {"prompt": "p", "reply": "r", "label": "maybe"},
        {"prompt": "p", "reply": "", "label": True},
        {"prompt": "p", "label": True},
        {"prompt": "p", "reply": "r"},
    ]
    with pytest.raises(DataError) as raised:
        read_thumbs(table(tmp_path / "t.jsonl", rows))
    for line, what in ((1, "'maybe', neither"), (2, "reply is empty"), (3, "'reply' is missing"), (4, "None, neither")):
        assert any(f":{line}" in part and what in part for part in str(raised.value).split("; ")), (line, what)
    with pytest.raises(DataError, match="none of the columns label"):
        read_thumbs(table(tmp_path / "none.jsonl", [{"prompt": "p", "reply": "r"}]))
    with pytest.raises(DataError, match="no column 'mood'"):
        read_thumbs(table(tmp_path / "none.jsonl", [{"prompt": "p", "reply": "r"}]), label="mood")


def test_no_rows_at_all_are_refused():
    with pytest.raises(DataError, match="no rows to train on"):
        choices_of(letters, [], **ANY)
    with pytest.raises(DataError, match="none of 1 rows can teach"):
        choices_of(letters, [Preference("Hi", "a", "a")], **{**ANY, "drop_unsound": True})

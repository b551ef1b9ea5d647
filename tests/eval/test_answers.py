"""Answers made elsewhere: every row keeps its place, whatever is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.answers import UNGRADED, read_answers
from groundtone.errors import DataError

GOOD = {"id": "q1", "question": "How long?", "answer": "14 days [1]."}


def rows_of(tmp_path: Path, *rows: object) -> list[object]:
    path = tmp_path / "answers.jsonl"
    path.write_bytes(b"\n".join(row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows))
    return list(read_answers(path))


def test_a_whole_row_is_read(tmp_path):
    gold = {"values": [["14 days", "14"]], "quotes": [["post.md", "Parcels are kept for 14 days."]]}
    full = GOOD | {"contexts": ["bare", {"text": "Parcels.", "source": "post.md"}], "gold": gold, "latency_s": 2}
    (row,) = rows_of(tmp_path, full | {"tokens": {"prompt": 9, "reply": 4}})
    assert [p.source for p in row.contexts] == ["", "post.md"]
    assert row.question.gold.values == (("14 days", "14"),)
    assert row.question.kind == "answerable"
    assert (row.tokens, row.timing, row.error) == ({"prompt": 9, "reply": 4}, {"total": 2.0}, "")


@pytest.mark.parametrize(
    ("gold", "values"),
    [("14 days", (("14 days",),)), (["a", "b"], (("a",), ("b",))), ([["a", "A"]], (("a", "A"),))],
)
def test_gold_may_be_short(tmp_path, gold, values):
    (row,) = rows_of(tmp_path, GOOD | {"gold": gold})
    assert row.question.gold.values == values


def test_without_gold_a_question_is_ungraded_unless_it_is_called_unanswerable(tmp_path):
    plain, told = rows_of(tmp_path, GOOD, GOOD | {"id": "q2", "kind": "unanswerable"})
    assert (plain.question.kind, told.question.kind) == (UNGRADED, "unanswerable")
    assert plain.contexts is None


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (b"{half", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b"[1]", "list, not an object"),
        (b"[" * 5000, "cannot be read"),
        ({"id": "x", "answer": "a"}, "question is None"),
        (GOOD | {"answer": None}, "answer is None"),
        (GOOD | {"answer": 7}, "answer is 7"),
        (GOOD | {"contexts": "text"}, "contexts is 'text'"),
        (GOOD | {"contexts": [{"source": "a"}]}, "a context is"),
        (GOOD | {"gold": []}, "gold is []"),
        (GOOD | {"gold": {"values": [["a"]], "quotes": ["b"]}}, "quotes of gold"),
        (GOOD | {"kind": "nonsense"}, "kind is 'nonsense'"),
        (GOOD | {"kind": "answerable"}, "without gold"),
        (GOOD | {"tokens": {"prompt": -1, "reply": 2}}, "tokens is"),
        (GOOD | {"latency_s": float("nan")}, "latency_s is nan"),
        (GOOD | {"latency_s": 1e308}, "give seconds, below"),
        (GOOD | {"error": "timed out"}, "the row says: timed out"),
    ],
)
def test_a_bad_row_is_an_error_in_its_place(tmp_path, row, says):
    first, bad, last = rows_of(tmp_path, GOOD | {"id": "first"}, row, GOOD | {"id": "last"})
    assert says in bad.error
    assert [first.error, last.error] == ["", ""]


def test_a_second_row_of_an_id_is_an_error_that_names_the_first(tmp_path):
    rows = rows_of(tmp_path, GOOD, GOOD | {"answer": "other"}, GOOD)
    assert [row.error for row in rows] == ["", *["the id 'q1' stands in line 1 already"] * 2]
    assert len({row.question.id for row in rows}) == 3


def test_empty_long_and_foreign_answers_are_no_errors(tmp_path):
    texts = ["", "x" * 50_000, "包裹保存十四天。", "\u0645\u0631\u062d\u0628\u0627"]
    rows = rows_of(tmp_path, *({"question": f"q{i}", "answer": text} for i, text in enumerate(texts)))
    assert [(row.text, row.error) for row in rows] == [(text, "") for text in texts]


def test_a_file_of_nothing_and_no_file_are_named(tmp_path):
    with pytest.raises(DataError, match="holds no row"):
        rows_of(tmp_path, b"", b"  ")
    with pytest.raises(DataError, match="nowhere"):
        read_answers(tmp_path / "nowhere.jsonl")


@given(
    st.lists(st.one_of(st.binary(max_size=30), st.sampled_from([json.dumps(GOOD).encode()])), min_size=1, max_size=8)
)
@settings(max_examples=60, deadline=None)
def test_no_line_is_dropped_whatever_it_holds(tmp_path_factory, lines):
    lines = [line.replace(b"\n", b" ") for line in lines]
    path = tmp_path_factory.mktemp("answers") / "a.jsonl"
    path.write_bytes(b"\n".join(lines))
    wanted = sum(bool(line.removeprefix(b"\xef\xbb\xbf" if i == 0 else b"").strip()) for i, line in enumerate(lines))
    if wanted:
        rows = read_answers(path)
        assert len(rows) == len({row.question.id for row in rows}) == wanted
    else:
        with pytest.raises(DataError):
            read_answers(path)

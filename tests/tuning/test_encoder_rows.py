"""Rows of encoders: every form is read, every mistake names its row, splits do not leak."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundtone.errors import DataError
from tests.tuning.encoder_worlds import text_rows, token_rows
from tuning.checks import LEVELS
from tuning.encoder_rows import RowColumns, TextRow, read_documents, read_text_rows, read_token_rows
from tuning.encoder_rows_checks import checked, findings_of, split_rows
from tuning.encoder_rows_spans import LabelledSpan, from_tags


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def test_labels_of_every_form(tmp_path: Path) -> None:
    plain = read_text_rows(write(tmp_path / "a.jsonl", {"text": "hi", "label": "greet"}, {"text": "bye", "label": 3}))
    assert [row.labels for row in plain.rows] == [("greet",), ("3",)]
    numbered = read_text_rows(write(tmp_path / "b.jsonl", {"text": "hi", "label": 1}), labels=["no", "yes"])
    assert numbered.rows[0].labels == ("yes",)
    several = write(tmp_path / "c.jsonl", {"text": "hi", "labels": ["a", "b", "a"]}, {"text": "oh", "labels": []})
    assert [row.labels for row in read_text_rows(several, multi_label=True).rows] == [("a", "b"), ()]
    table = tmp_path / "d.csv"
    table.write_text("sentence1,sentence2,intent\nhi,there,a | b\n", encoding="utf-8")
    found = read_text_rows(table, multi_label=True)
    assert found.rows[0] == TextRow(f"{table}:2", "hi", "there", ("a", "b"))
    assert f"{table}: label from 'intent'" in found.notes


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"text": " ", "label": "a"}, "text is ' '"),
        ({"text": "x", "label": None}, "label is None"),
        ({"text": "x", "label": "c"}, "'c', which is unknown: the labels are a, b"),
        ({"text": "x", "label": 2}, "there are 2 labels, from 0"),
        ({"text": "x", "label": ["a"]}, "set tuning.encoder.multi_label"),
        ({"text": "x", "label": 1.5}, "label is 1.5"),
    ],
)
def test_a_bad_label_is_named_with_its_row(tmp_path: Path, row: object, what: str) -> None:
    path = write(tmp_path / "rows.jsonl", {"text": "ok", "label": "a"}, row)
    with pytest.raises(DataError, match=r"rows\.jsonl:2") as found:
        read_text_rows(path, labels=["a", "b"])
    assert what in str(found.value)


def test_named_columns_must_exist_and_needed_ones_be_there(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", {"body": "x", "kind": "a"})
    with pytest.raises(DataError, match=r"no column for text among body, kind; name it: tuning\.columns\.text"):
        read_text_rows(path)
    with pytest.raises(DataError, match=r"tuning\.columns names nope"):
        read_text_rows(path, columns=RowColumns(text="nope", label="kind"))
    assert read_text_rows(path, columns=RowColumns(text="body", label="kind")).rows[0].labels == ("a",)
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(DataError, match="holds no rows"):
        read_documents(tmp_path / "empty.jsonl")


@pytest.mark.parametrize(
    ("spans", "what"),
    [
        ([{"start": 0, "end": 99, "label": "a"}], "outside the text, which has 11 characters"),
        ([{"start": -1, "end": 2, "label": "a"}], "outside the text"),
        ([{"start": 3, "end": 3, "label": "a"}], "or is empty"),
        ([{"start": 0, "end": 5, "label": "a"}, {"start": 4, "end": 8, "label": "b"}], "overlap at character 4"),
        ([{"start": 5, "end": 6, "label": "a"}], "nothing but spaces"),
        ([{"start": "0", "end": 2, "label": "a"}], "must be whole numbers"),
        ("x", "is no JSON"),
        (None, "a list of objects"),
    ],
)
def test_a_bad_span_is_named_with_its_row(tmp_path: Path, spans: object, what: str) -> None:
    path = write(tmp_path / "rows.jsonl", {"text": "hello world", "spans": spans})
    with pytest.raises(DataError, match=r"rows\.jsonl:1") as found:
        read_token_rows(path)
    assert what in str(found.value)


def test_spans_lose_their_outer_spaces_and_keep_their_context(tmp_path: Path) -> None:
    path = write(
        tmp_path / "rows.jsonl",
        {"context": "c", "text": "hello world", "spans": [{"start": 5, "end": 11, "label": "a"}]},
    )
    (row,) = read_token_rows(path).rows
    assert (row.context, row.spans) == ("c", (LabelledSpan(6, 11, "a"),))


@given(st.lists(st.tuples(st.sampled_from(["ab", "c", "dé"]), st.sampled_from(["O", "B-x", "I-x", "B-y"])), min_size=1))
def test_tags_become_the_spans_of_the_joined_text(pairs: list[tuple[str, str]]) -> None:
    tokens, tags = [token for token, _ in pairs], [tag for _, tag in pairs]
    made = from_tags(tokens, tags, [])
    assert not isinstance(made, str)
    text, spans = made
    marked = {at for span in spans for at in range(span.start, span.end) if text[at] != " "}
    starts, at = [], 0
    for token in tokens:
        starts.append(at)
        at += len(token) + 1
    inside = zip(tokens, tags, starts, strict=True)
    assert marked == {s + k for token, tag, s in inside if tag != "O" for k in range(len(token))}
    assert sum(tag[0] == "B" for tag in tags) <= len(spans)


def test_tags_may_be_numbers_and_bad_ones_are_told(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", {"tokens": ["Ann", "Lee", "ran"], "ner_tags": [1, 2, 0]})
    (row,) = read_token_rows(path, labels=["PER"]).rows
    assert row.spans == (LabelledSpan(0, 7, "PER"),)
    with pytest.raises(DataError, match=r"tag 1: .*name tuning\.encoder\.labels"):
        read_token_rows(path)
    with pytest.raises(DataError, match="2 tags for 1 tokens"):
        read_token_rows(write(path, {"tokens": ["a"], "tags": ["O", "O"]}))


def test_contradictions_duplicates_and_rare_labels_are_found() -> None:
    rows = text_rows()
    clash = replace(rows[0], labels=("far",), where="x:1", text=rows[0].text.upper())
    found = {f.check: f for f in findings_of([*rows, clash, rows[1], replace(rows[2], labels=("rare",))], [], few=5)}
    assert found["contradictions"].where[0] == "rows.jsonl:1 = x:1"
    assert found["exact_duplicates"].where == ("rows.jsonl:2 = rows.jsonl:2",)
    assert found["imbalance"].where == ("rare (1 rows)",)
    with pytest.raises(DataError, match=r"equal texts have different labels.*check_levels\.contradictions"):
        checked(tuple(found.values()), levels=LEVELS)
    assert len(checked([found["imbalance"]], levels=LEVELS)) == 1
    assert next(iter(findings_of(rows[:3], rows[2:3], few=1))).check in ("exact_duplicates", "in_heldout")
    spans = token_rows()[0]
    marks = [f.check for f in findings_of([spans, replace(spans, spans=())], [], few=1)]
    assert marks == ["contradictions"]


@given(share=st.floats(0.1, 0.6), seed=st.integers(0, 5))
def test_a_split_keeps_labels_on_both_sides_and_sources_apart(share: float, seed: int) -> None:
    rows = [replace(row, source=row.source[0]) for row in text_rows()]
    rows += [replace(row, source="", text=f"{row.text} {n % 9}") for n, row in enumerate(rows)]
    sides = split_rows(rows, heldout=share, seed=seed)
    assert len(sides.train) + len(sides.heldout) == len(rows)
    assert {row.source for row in sides.train if row.source}.isdisjoint({row.source for row in sides.heldout})
    assert {row.text for row in sides.train if not row.source}.isdisjoint(
        {r.text for r in sides.heldout if not r.source}
    )
    assert {row.labels for row in sides.train} == {("near",), ("far",)}
    assert sides == split_rows(rows, heldout=share, seed=seed)


def test_a_single_source_cannot_be_split() -> None:
    with pytest.raises(DataError, match="can be held out"):
        split_rows([replace(row, source="one") for row in text_rows()], heldout=0.2, seed=0)

"""The sample company's questions rest on its documents: every value in its quote, every quote in its document.

The documents are read by the loaders that serve them, so that gold cannot lie in a file as the index never sees it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from groundtone.text import contains_value, is_table_row, sentence_spans
from retrieval.loaders import load, load_folder

DATA = Path(__file__).resolve().parents[2] / "data"
HANDBOOK = DATA / "handbook"
COUNTS = {"answerable": ("a", 120), "unanswerable": ("u", 60), "two_documents": ("t", 20), "changed": ("c", 20)}
OUTDATED = ("customers/returns-policy-2024.md", "people/travel-expenses-2023.md")
Rows = dict[str, list[dict[str, Any]]]


def fold(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    paths = [path for path in sorted(HANDBOOK.rglob("*")) if path.is_file()]
    return {document.source: document.text for document in (load(path, HANDBOOK) for path in paths)}


@pytest.fixture(scope="module")
def rows() -> Rows:
    found = {}
    for name in COUNTS:
        lines = (DATA / "questions" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        found[name] = [json.loads(line) for line in lines]
    return found


def quoted(rows: Rows) -> list[dict[str, Any]]:
    return [row for name in ("answerable", "two_documents", "changed") for row in rows[name]]


def test_every_file_of_the_handbook_can_be_read(texts: dict[str, str]) -> None:
    assert {type(found).__name__ for found in load_folder(HANDBOOK)} == {"Document"}
    assert 30 <= len(texts) <= 40
    assert {Path(source).suffix for source in texts} == {".md", ".html", ".pdf", ".docx", ".xlsx", ".csv"}


def test_the_counts_and_ids_are_as_promised(rows: Rows) -> None:
    for name, (letter, count) in COUNTS.items():
        assert [row["id"] for row in rows[name]] == [f"{letter}{i:03}" for i in range(1, count + 1)]


def test_no_question_is_asked_twice(rows: Rows) -> None:
    asked = [fold(row["question"]).casefold() for name in COUNTS for row in rows[name]]
    assert len(asked) == len(set(asked))
    assert all(question.endswith(("?", ".")) for question in asked)


def test_every_quote_stands_in_its_document_and_in_no_other(rows: Rows, texts: dict[str, str]) -> None:
    folded = {source: fold(text) for source, text in texts.items()}
    for row in quoted(rows):
        for source, quote in row["quotes"]:
            assert [s for s, text in folded.items() if fold(quote) in text] == [source], (row["id"], quote)


def test_every_quote_is_one_sentence_or_one_table_row(rows: Rows) -> None:
    for row in quoted(rows):
        for _, quote in row["quotes"]:
            one_sentence = len(sentence_spans(quote)) == 1 and quote.endswith((".", "?"))
            assert one_sentence or is_table_row(f"| {quote} |"), (row["id"], quote)


def test_every_value_stands_in_the_quotes(rows: Rows) -> None:
    for row in quoted(rows):
        assert row["values"]
        for group in row["values"]:
            assert any(contains_value(quote, spelling) for _, quote in row["quotes"] for spelling in group), row["id"]


def test_answerable_questions_cover_every_current_document(rows: Rows, texts: dict[str, str]) -> None:
    assert all(len(row["quotes"]) == 1 for row in rows["answerable"])
    covered = {row["quotes"][0][0] for row in rows["answerable"]}
    assert covered == set(texts) - set(OUTDATED)
    in_tables = [row for row in rows["answerable"] if " | " in row["quotes"][0][1]]
    assert 15 <= len(in_tables) <= 30


def test_two_documents_need_both(rows: Rows) -> None:
    for row in rows["two_documents"]:
        (first, one), (second, other) = row["quotes"]
        assert first != second
        for quote in (one, other):
            met = [any(contains_value(quote, spelling) for spelling in group) for group in row["values"]]
            assert not all(met), f"{row['id']}: one quote alone would do"


def test_unanswerable_questions_have_no_gold(rows: Rows) -> None:
    for row in rows["unanswerable"]:
        assert set(row) == {"id", "question", "why"}
        assert row["why"]


def test_changed_quotes_differ_in_the_value_only(rows: Rows) -> None:
    for row in rows["changed"]:
        quote, changed = row["quotes"][0][1], row["changed_quote"]
        for group, new_group in zip(row["values"], row["changed_values"], strict=True):
            old = next(spelling for spelling in group if spelling in quote)
            assert any(changed == quote.replace(old, new) for new in new_group), row["id"]
            assert any(contains_value(changed, new) for new in new_group)
            assert not any(contains_value(changed, spelling) for spelling in group), f"{row['id']}: old value left"
            assert not any(contains_value(quote, new) for new in new_group), f"{row['id']}: new value there already"


def test_the_changed_sentence_is_the_only_place_that_would_have_to_change(rows: Rows, texts: dict[str, str]) -> None:
    """After the edit, no other sentence of the document may hold the old value of the same subject."""
    for row in rows["changed"]:
        source, quote = row["quotes"][0]
        rest = fold(texts[source]).replace(fold(quote), " ")
        subject = " ".join(quote.split()[:4])
        others = [rest[a:b] for a, b in sentence_spans(rest) if subject in rest[a:b]]
        assert not any(contains_value(other, spelling) for other in others for spelling in row["values"][0]), row["id"]


def test_follow_ups_come_after_a_turn_and_rest_on_the_documents(texts: dict[str, str]) -> None:
    lines = (DATA / "questions" / "follow_up.jsonl").read_text(encoding="utf-8").splitlines()
    follow_ups = [json.loads(line) for line in lines]
    assert [row["id"] for row in follow_ups] == [f"f{i:03}" for i in range(1, 33)]
    for row in follow_ups:
        assert [role for role, _ in row["history"]] == ["user", "assistant"]
        (source, quote), said = row["quotes"][0], row["history"][1][1]
        assert fold(quote) in fold(texts[source])
        for group in row["values"]:
            assert any(contains_value(quote, spelling) for spelling in group), row["id"]
            assert not any(contains_value(said, spelling) for spelling in group), f"{row['id']}: said before"

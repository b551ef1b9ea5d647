"""The data sets of the benchmarks: what every one of them keeps, and small cases whose outcome is known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.data_sets import (
    DATA_SETS,
    DOCUMENTS,
    Asked,
    DataSet,
    GivenPassage,
    markdown_table,
    quoted,
    sample,
    sample_company,
    squad2_open,
)
from retrieval.loaders import load


@pytest.fixture(scope="module", params=DATA_SETS)
def data(request: pytest.FixtureRequest, shared: Path) -> DataSet:
    return DATA_SETS[request.param](shared)


def test_ids_are_unique_and_every_relevant_passage_exists(data: DataSet) -> None:
    ids = {passage.id for passage in data.passages}
    assert len(ids) == len(data.passages) > 0
    assert len({question.id for question in data.questions}) == len(data.questions) > 0
    assert all(question.relevant and question.relevant <= ids for question in data.questions)


def test_no_passage_is_there_twice_and_none_is_empty(data: DataSet) -> None:
    assert len({(passage.title, passage.text) for passage in data.passages}) == len(data.passages)
    assert all(passage.text.strip() and passage.title.strip() for passage in data.passages)
    assert all(question.text.strip() and question.cluster for question in data.questions)


def test_quotes_stand_in_a_relevant_passage(data: DataSet) -> None:
    texts = {passage.id: passage for passage in data.passages}
    for question in data.questions:
        relevant = [texts[id] for id in question.relevant]
        for source, quote in question.quotes:
            assert any(passage.source == source and quote in passage.text for passage in relevant), question.id


def test_a_sample_is_the_same_each_time_and_keeps_its_relevant_passages(data: DataSet) -> None:
    few = data.sampled(questions=20, sources=8)
    ids = {passage.id for passage in few.passages}
    assert few == data.sampled(questions=20, sources=8)
    assert len(few.questions) <= 20
    assert all(question.relevant <= ids for question in few.questions)


def test_published_sizes(shared: Path) -> None:
    cranfield = DATA_SETS["cranfield"](shared)
    assert len(cranfield.questions) == 225
    assert len(cranfield.passages) == 1400 - 2  # two documents of the collection have no text
    assert len(squad2_open(shared).questions) == 2106


@pytest.mark.parametrize("name", DOCUMENTS)
def test_real_questions_quote_files_that_exist(name: str, shared: Path) -> None:
    data = DOCUMENTS[name](shared)
    assert data.questions
    assert all((data.folder / source).is_file() for question in data.questions for source, _ in question.quotes)


def test_the_sample_company_needs_nothing_shared() -> None:
    data = sample_company()
    assert data.questions
    assert all((data.folder / source).is_file() for question in data.questions for source, _ in question.quotes)


def test_a_written_passage_is_read_back_with_its_title_alone_in_its_file(tmp_path: Path) -> None:
    passages = (
        GivenPassage("p1", "a.md", 'A "quoted": title', "Effective 2 May 2024 we pay twice."),
        GivenPassage("p2", "a.md", 'A "quoted": title', "| a | b |\n| --- | --- |\n| 1 | 2 |"),
    )
    DataSet("small", passages, ()).write_passages(tmp_path)
    read = {passage.id: load(tmp_path / f"{passage.id}.md", tmp_path) for passage in passages}
    assert all(passage.text in read[passage.id].text for passage in passages)
    assert {doc.meta["title"] for doc in read.values()} == {'A "quoted": title'}
    assert len({doc.meta["effective"] for doc in read.values()}) == 1  # none outdates another one


def test_an_article_holds_its_passages_in_order(tmp_path: Path) -> None:
    passages = (GivenPassage("p1", "a.md", "A", "First."), GivenPassage("p2", "a.md", "A", "Second."))
    DataSet("small", passages, ()).write_articles(tmp_path)
    assert (tmp_path / "a.md").read_text(encoding="utf-8") == "# A\n\nFirst.\n\nSecond.\n"


def test_quoted_keeps_answerable_rows_of_the_corpus_and_survives_a_missing_file(tmp_path: Path) -> None:
    rows = [
        {"id": "h1", "corpus": "one", "question": "Q1?", "quotes": [["a.md", "text"]]},
        {"id": "u1", "corpus": "one", "question": "Q2?", "why": "absent"},
        {"id": "h2", "corpus": "two", "question": "Q3?", "quotes": [["b.md", "text"]]},
    ]
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    assert quoted(path, corpus="one") == (Asked("h1", "Q1?", "a.md", quotes=(("a.md", "text"),)),)
    assert [question.id for question in quoted(path)] == ["h1", "h2"]
    assert quoted(tmp_path / "absent.jsonl") == ()


def test_a_table_keeps_its_shape_when_cells_hold_bars_and_line_breaks() -> None:
    table = markdown_table([["", "2019"], ["a|b", "1\n2"]])
    assert table == "|   | 2019 |\n| --- | --- |\n| a/b | 1 2 |"


def test_sample_keeps_the_order_and_0_means_all() -> None:
    assert sample(range(100), 0) == list(range(100))
    drawn = sample(range(100), 10)
    assert drawn == sorted(drawn)
    assert len(drawn) == 10

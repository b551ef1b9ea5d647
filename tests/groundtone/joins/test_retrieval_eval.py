from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from eval.metrics.retrieval import recall_at, reciprocal_rank
from groundtone.errors import DataError, IntegrityError
from groundtone.joins.retrieval_eval import (
    FINAL,
    RetrievalEval,
    Sought,
    compare,
    evaluate_index,
    read_record,
    read_sought,
    write_record,
)
from groundtone.searching import find, phrasings
from groundtone.types import Answer, Gold, Question, Turn
from retrieval.index import Index
from tests.retrieval.hashing_encoder import HashingEncoder

pytest.importorskip("ir_measures", reason="needs the bench extra")

_PAGES = {
    "tea.md": "Green tea is steeped for three minutes. Black tea takes boiling water.",
    "chess.md": "A bishop moves along diagonals. The knight jumps over other pieces.",
    "bees.md": "Worker bees dance to tell where flowers bloom. The queen lays every egg.",
}
_SOUGHT = [
    Sought("a", "How long is green tea steeped?", (("tea.md", "Green tea is steeped for three minutes."),)),
    Sought("b", "Which piece jumps?", (("chess.md", "The knight jumps over other pieces."),)),
    Sought("c", "Who lays every egg?", (("bees.md", ""),)),
    Sought("d", "Does tea dance?", (("tea.md", "Black tea takes boiling water."), ("bees.md", "Worker bees dance"))),
]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    folder = tmp_path_factory.mktemp("pages")
    for name, text in _PAGES.items():
        (folder / name).write_text(text, encoding="utf-8")
    with Index.open(tmp_path_factory.mktemp("index") / "index.sqlite", encoder=HashingEncoder()) as opened:
        opened.update(folder)
        yield opened


@pytest.fixture(scope="module")
def made(index: Index) -> RetrievalEval:
    return evaluate_index(index, _SOUGHT)


def test_a_source_may_stand_alone_and_a_quote_that_is_no_pair_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_text(json.dumps({"id": "a", "question": "Who lays eggs?", "sources": "bees.md"}))
    assert read_sought(file)[0].gold == (("bees.md", ""),)
    for row in (
        {"question": "Who?", "quotes": [{"source": "bees.md", "text": "The queen lays every egg."}]},
        {"question": " ", "sources": ["bees.md"]},
    ):
        file.write_text(json.dumps(row))
        with pytest.raises(DataError, match=r"questions\.jsonl:1: is no question"):
            read_sought(file)


def test_a_follow_up_is_searched_with_its_history(index: Index, tmp_path: Path) -> None:
    gold = [["bees.md", "The queen lays every egg."]]
    row = {"id": "f", "question": "And how many?", "quotes": gold}
    history = [["user", "Who lays every egg?"], ["assistant", "The queen."]]
    path = tmp_path / "questions.jsonl"
    path.write_text(json.dumps(row) + "\n" + json.dumps({**row, "id": "g", "history": history}), encoding="utf-8")
    sought = read_sought(path)
    assert [item.history for item in sought] == [
        (),
        (Turn("user", "Who lays every egg?"), Turn("assistant", "The queen.")),
    ]
    found = evaluate_index(index, sought).values[FINAL]["RR@10"]
    for item in sought:
        (hits,) = find(index, [phrasings(item.question, item.history)], k=10)
        rank = next(at for at, hit in enumerate(hits, 1) if hit.passage.source == "bees.md")
        assert found[item.id] == pytest.approx(1 / rank)
    assert len(phrasings(sought[1].question, sought[1].history)) == 2


def test_the_library_agrees_with_the_metrics_of_answers(index: Index, made: RetrievalEval) -> None:
    """ir-measures over passages against `eval.metrics.retrieval` over hits: one definition of being found."""
    for sought in _SOUGHT[:2] + _SOUGHT[3:]:
        question = Question(sought.id, sought.question, gold=Gold((("x",),), sought.gold))
        answer = Answer("a", question, "", hits=tuple(index.search(sought.question, k=10)), timing={"search": 1.0})
        values = made.values[FINAL]
        assert values["R@1"][sought.id] == recall_at(1)(question, answer).value
        assert values["R@5"][sought.id] == recall_at(5)(question, answer).value
        assert values["RR@10"][sought.id] == pytest.approx(reciprocal_rank(question, answer).value)


def test_every_stage_is_measured(made: RetrievalEval) -> None:
    assert {FINAL, "lexical", "dense", "fused"} <= set(made.values)
    assert made.values[FINAL] == made.values["fused"]
    for row in made.table().values():
        for estimate in row.values():
            assert estimate.n == len(_SOUGHT)
            assert estimate.mean is not None
            assert 0 <= estimate.mean <= 1


def test_what_is_not_in_the_index_is_missing_and_not_zero(index: Index) -> None:
    gone = Sought("e", "What is a rook?", (("chess.md", "The rook moves straight."),))
    elsewhere = Sought("f", "Where?", (("elsewhere.md", "Here."),))
    found = evaluate_index(index, [*_SOUGHT, gone, elsewhere]).estimate(FINAL, "R@5")
    assert (found.n, found.missing) == (len(_SOUGHT), 2)


def test_the_record_comes_back_as_it_was(made: RetrievalEval, tmp_path: Path) -> None:
    path = tmp_path / "retrieval_eval.json"
    assert read_record(path) is None
    write_record(path, made)
    assert read_record(path) == made
    path.write_text(path.read_text(encoding="utf-8").replace('"schema": 1', '"schema": 7'), encoding="utf-8")
    with pytest.raises(IntegrityError, match="another version"):
        read_record(path)


def test_a_worse_index_is_told_from_noise() -> None:
    ids = [f"q{i}" for i in range(60)]

    def of(name: str, values: list[float]) -> RetrievalEval:
        return RetrievalEval(
            name,
            "same",
            "2026-01-01",
            {FINAL: {"nDCG@10": dict(zip(ids, values, strict=True))}},
            dict(zip(ids, ids, strict=True)),
        )

    good, bad = of("one", [1.0] * 60), of("two", [0.5] * 40 + [1.0] * 20)
    noisy = of("three", [0.9, *[1.0] * 59])
    assert compare(good, bad)[1].startswith("search became worse beyond noise")
    assert compare(bad, good)[1].startswith("search became better beyond noise")
    assert compare(good, noisy)[1].startswith("no difference beyond noise")
    assert compare(good, good)[1].startswith("the index is the same")
    other = replace(bad, questions="other", values={FINAL: {"nDCG@10": {"z": 1.0}}}, clusters={"z": "z"})
    assert "nothing to compare" in compare(good, other)[1]


def test_questions_are_read_with_quotes_or_sources(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "question": "one?", "quotes": [["x.md", "quote"]], "values": [["v"]]},
        {"question": "two?", "sources": ["y.md"]},
        {"id": "u", "question": "unanswerable?", "why": "nowhere"},
    ]
    path = tmp_path / "mine.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    expected = [Sought("a", "one?", (("x.md", "quote"),)), Sought("mine:2", "two?", (("y.md", ""),))]
    assert read_sought(path) == expected
    assert read_sought(tmp_path) == expected


@pytest.mark.parametrize("text", ["{", "[1]", '{"quotes": [["x"]], "question": "q"}', '{"quotes": [["x", "y"]]}'])
def test_a_broken_row_names_its_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_text(f"\n{text}\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"broken\.jsonl:2"):
        read_sought(path)


def test_a_file_without_gold_and_an_id_twice_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "none.jsonl"
    path.write_text('{"question": "q"}\n', encoding="utf-8")
    with pytest.raises(DataError, match="no question with quotes"):
        read_sought(path)
    path.write_text('{"id": "a", "question": "q", "sources": ["x"]}\n' * 2, encoding="utf-8")
    with pytest.raises(DataError, match="stands there twice"):
        read_sought(path)

"""Tasks made of documents, and the report over results of which it is known who is better."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.data_sets import Asked, DataSet, Documents, GivenPassage
from benchmarks.retrieval.corpora import cut, given, whole, with_passages
from benchmarks.retrieval.peers.harness import read_items
from benchmarks.retrieval.report import render
from benchmarks.retrieval.runs import ALL_OURS, OURS, Entry, Run, store_of, turned
from groundtone.errors import DataError
from retrieval.index import Index
from tests.retrieval.hashing_encoder import HashingEncoder

PASSAGES = tuple(GivenPassage(f"p{i}", "a.md", "Title", f"Text number {i}.") for i in range(12))
QUESTIONS = tuple(Asked(f"q{i}", f"Which number is {i}?", f"c{i}", frozenset({f"p{i}"})) for i in range(12))


@pytest.fixture
def documents(tmp_path: Path) -> Documents:
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "leave.md").write_text("# Leave\n\nYou may borrow 240 hours.\n\nAsk early.\n", encoding="utf-8")
    (folder / "pay.md").write_text("# Pay\n\nPay comes twice a month.\n", encoding="utf-8")
    asked = (
        Asked("h1", "How many hours?", "leave.md", quotes=(("leave.md", "borrow 240  hours"),)),
        Asked("h2", "Where?", "pay.md", quotes=(("pay.md", "this is nowhere in it"),)),
    )
    return Documents("small", folder, asked)


def test_peers_get_our_passages_whole_documents_and_only_questions_that_can_be_judged(
    documents: Documents, tmp_path: Path
) -> None:
    task = whole(documents, tmp_path / "work")
    with Index.open(tmp_path / "index.sqlite", encoder=HashingEncoder()) as index:
        index.update(documents.folder)
        same, own = with_passages(task, index)
        ids = {p.id for p in index.passages()}
    assert [q.id for q in same.questions] == [q.id for q in own.questions] == ["h1"]
    assert same.questions[0].relevant <= ids == {item.id for item in read_items(same.folder / "passages.jsonl")}
    whole_texts = {item.id: item.text for item in read_items(own.folder / "passages.jsonl")}
    assert whole_texts.keys() == {"leave.md", "pay.md"}
    assert "Ask early." in whole_texts["leave.md"]
    assert "1 questions left out" in same.note
    assert same.ours_from == own.ours_from == own.title == task.title


def test_a_folder_without_questions_is_refused(documents: Documents, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no answerable questions"):
        whole(replace(documents, questions=()), tmp_path / "work")


def test_given_passages_reach_peers_with_their_title_and_ours_as_files(tmp_path: Path) -> None:
    task = given(DataSet("small", PASSAGES, QUESTIONS), tmp_path, note="a note")
    items = read_items(task.folder / "passages.jsonl")
    assert [item.id for item in items] == sorted((p.stem for p in task.documents.iterdir()), key=lambda s: int(s[1:]))
    assert all(item.text.startswith("Title\n\n") for item in items)


def test_the_report_says_who_is_better_by_how_much_and_over_how_many(tmp_path: Path) -> None:
    task = given(DataSet("small", PASSAGES, QUESTIONS), tmp_path, note="a note")
    good = _run("default", [[q.id.replace("q", "p")] for q in QUESTIONS], build_s=1.0)
    bad = _run("fusion", [["p99", q.id.replace("q", "p")] for q in QUESTIONS], build_s=4.0)
    results = {
        task.title: {**dict.fromkeys(ALL_OURS, good), "Peer 1": bad},
        cut(task).title: {"Peer 1": bad},
    }
    text = render([task, cut(task)], results, {OURS: [1.0, 2.0, 3.0]}, "A machine.")
    assert "on 2 of 2 tables" in text
    assert "4.0 times as fast as the fastest peer (median of 1 tables" in text
    assert "n = 12 questions in 12 clusters; a note." in text
    assert text.count("| Peer 1: fusion | 0.631 [") == 2
    assert "2.0 (1.0 to 3.0)" in text
    better = render([task], {task.title: {OURS: bad, "Peer 1": good}}, {}, "")
    assert "Not shown to be better on: small" in better


def test_every_entry_is_first_once_and_keeps_its_own_store(tmp_path: Path) -> None:
    entries = [Entry(name, ()) for name in ("a b", "c", "d")]
    task = given(DataSet("small", PASSAGES, QUESTIONS), tmp_path, note="")
    assert [turned(entries, turn)[0] for turn in range(3)] == entries
    assert sorted(e.name for e in turned(entries, 7)) == ["a b", "c", "d"]
    assert len({store_of(entry, task) for entry in entries}) == 3


def _run(arm: str, rankings: list[list[str]], *, build_s: float) -> Run:
    result = {
        "rankings": {arm: rankings},
        "texts": [],
        "latencies_s": [0.01] * len(rankings),
        "build_s": build_s,
        "load_s": 1.0,
        "peak_mb": 100.0,
        "pieces": len(rankings),
    }
    return Run([q.id for q in QUESTIONS], result)

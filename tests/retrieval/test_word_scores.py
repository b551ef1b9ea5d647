from __future__ import annotations

import sqlite3
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.index import Index
from retrieval.lexical import index_text, match_expression, query_terms
from retrieval.postings import Postings, read_postings, token_of
from retrieval.schema import TOKENIZE
from retrieval.word_scores import READ_ALL_AFTER, Matches, WordScores, best_of
from tests.retrieval.hashing_encoder import HashingEncoder

_VOCABULARY = ["bike", "bikes", "harbour", "price", "4.90", "e-mail", "港口", "猫", "return", "The", "naïve", "day"]
_lines = st.lists(st.sampled_from(_VOCABULARY), min_size=1, max_size=8).map(" ".join)
_rows = st.lists(st.tuples(_lines, _lines), min_size=1, max_size=25)


class Table:
    """A words table in memory, asked as the store asks its own."""

    def __init__(self, rows: list[tuple[str, str]], *, gone: int = 0) -> None:
        self.db = sqlite3.connect(":memory:", isolation_level=None)
        self.db.execute(f"CREATE VIRTUAL TABLE words USING fts5(heading, text, tokenize = '{TOKENIZE}')")
        cut = [(3 * i + 1, index_text(a), index_text(b)) for i, (a, b) in enumerate(rows)]
        self.db.executemany("INSERT INTO words(rowid, heading, text) VALUES(?, ?, ?)", cut)
        for row, *_ in cut[:gone]:
            self.db.execute("DELETE FROM words WHERE rowid = ?", (row,))
        self.rows = np.array([row for row, *_ in cut[gone:]], dtype=np.int64)
        self.read_at_once = 0
        self.asked: list[str] = []

    def bm25(self, expression: str) -> dict[int, float]:
        found = self.db.execute("SELECT rowid, -bm25(words) FROM words WHERE words MATCH ?", (expression,))
        return dict(found.fetchall())

    def term_scores(self, term: str) -> tuple[np.ndarray, np.ndarray]:
        self.asked.append(term)
        found = self.bm25(term)
        return np.array(list(found), dtype=np.int64), np.array(list(found.values()), dtype=np.float32)

    def postings(self) -> Postings:
        self.read_at_once += 1
        return read_postings(self.db)

    def token_of(self, term: str) -> str | None:
        return token_of(self.db, term)


def _asked(scores: WordScores, table: Table, query: str) -> dict[int, float]:
    found = scores.matches(query_terms(query), table)
    return dict(zip(table.rows[found.passages].tolist(), found.scores.tolist(), strict=True))


@settings(max_examples=80, deadline=None)
@given(_rows, st.lists(_lines, min_size=1, max_size=4), st.integers(0, 3))
def test_the_sum_of_words_is_what_fts5_says_of_all(rows: list[tuple[str, str]], queries: list[str], gone: int) -> None:
    """Word by word and from the whole table, after deletions too."""
    table = Table(rows, gone=min(gone, len(rows) - 1))
    one_by_one = WordScores(table.rows, read_all_after=10**6)
    at_once = WordScores(table.rows, read_all_after=1)
    for query in [*queries, *queries]:
        expected = pytest.approx(table.bm25(match_expression(query)), rel=1e-4)
        assert _asked(one_by_one, table, query) == expected
        assert _asked(at_once, table, query) == expected
    assert table.read_at_once == 1


def test_long_passages_and_frequent_words_are_scored_as_fts5_does() -> None:
    """Lengths above 127 tokens take two bytes in FTS5's table; a word of most rows has the least inverse frequency."""
    rows = [("head", "bike " * n + "day") for n in (1, 60, 130, 400, 20_000)] + [("", "harbour")]
    table = Table(rows)
    scores = WordScores(table.rows, read_all_after=1)
    for query in ("bike", "day harbour", "head bike day", "nobody"):
        assert _asked(scores, table, query) == pytest.approx(table.bm25(match_expression(query)), rel=1e-4)


def test_a_word_is_read_once_and_the_least_used_goes_first() -> None:
    table = Table([("", f"w{n} common") for n in range(30)])
    scores = WordScores(table.rows, read_all_after=10**6, most=150)  # room for two words
    for query in ("w1", "w1", "w2", "w1", "w3", "w1", "w2"):
        scores.matches(query_terms(query), table)
    assert table.asked == ['"w1"', '"w2"', '"w3"', '"w2"']


def test_rows_that_the_snapshot_does_not_know_are_left_out() -> None:
    table = Table([("", "bike"), ("", "bike day"), ("", "day")])
    table.rows = table.rows[:2]
    for read_all_after in (1, 9):
        scores = WordScores(table.rows, read_all_after=read_all_after)
        assert set(_asked(scores, table, "day bike")) == {1, 4}
    nothing = WordScores(np.zeros(0, dtype=np.int64), read_all_after=1)
    assert len(nothing.matches(['"bike"'], table).passages) == 0


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.integers(1, 12), st.randoms())
def test_the_best_are_those_of_a_sorted_list(values: list[int], count: int, random: Random) -> None:
    allowed = np.array([random.random() < 0.7 for _ in values])
    found = Matches(np.arange(len(values)), np.array(values, dtype=np.float32))
    best = best_of(found, count, allowed=allowed)
    expected = sorted((i for i in range(len(values)) if allowed[i]), key=lambda i: (-values[i], i))[:count]
    assert best.passages.tolist() == expected


def test_a_process_that_goes_on_searching_finds_the_same(tmp_path: Path) -> None:
    """Through the index: the first queries word by word, the later ones from the whole table, before and after it."""
    root = tmp_path / "documents"
    root.mkdir()
    for n in range(12):
        (root / f"{n}.md").write_text(f"# Bike {n}\n\nThe e-mail costs 4.90 in harbour {n % 4}.\n\n退货 {n}\n", "utf-8")
    queries = ["harbour 3", "e-mail 4.90", "bikes", "退货", "7"]
    with Index.open(tmp_path / "i.sqlite", encoder=HashingEncoder(), fusion_weight=0.0) as index:
        index.update(root)
        cold = []
        for query in queries:
            with Index.open(tmp_path / "i.sqlite", encoder=HashingEncoder(), fusion_weight=0.0) as fresh:
                cold.append(fresh.search(query, k=5))
        warm = [[index.search(query, k=5) for query in queries] for _ in range(READ_ALL_AFTER)][-1]
        assert [[h.passage.id for h in hits] for hits in warm] == [[h.passage.id for h in hits] for hits in cold]
        (root / "3.md").unlink()
        index.update(root)
        assert "3.md" not in [hit.passage.source for hit in index.search("harbour 3", k=9)]

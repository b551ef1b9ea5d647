from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.index import Index
from retrieval.lexical import index_text, match_expression
from tests.retrieval.hashing_encoder import HashingEncoder


def _table(texts: list[str]) -> sqlite3.Connection:
    db = sqlite3.connect(":memory:")
    db.execute("CREATE VIRTUAL TABLE words USING fts5(text, tokenize = 'porter unicode61 remove_diacritics 2')")
    db.executemany("INSERT INTO words(rowid, text) VALUES(?, ?)", [(i, index_text(t)) for i, t in enumerate(texts)])
    return db


def _scores(db: sqlite3.Connection, expression: str) -> dict[int, float]:
    return dict(db.execute("SELECT rowid, -bm25(words) FROM words WHERE words MATCH ?", (expression,)).fetchall())


TEXTS = [
    "自行车可以在三十天内退货。",
    "仓库在港口旁边。",
    "自転車は三十日以内に返品できます。",
    "倉庫は港の隣にあります。ﾊﾞｲｸも。",
    "จักรยานคืนได้ภายในสามสิบวัน",
    "โกดังอยู่ข้างท่าเรือ",
    "창고는 항구 옆에 있습니다.",
    "हिन्दी में किताब",
    "كتاب جديد",
    "The bike is kept in the naïve harbour.",
]


@pytest.mark.parametrize(
    ("query", "row"),
    [
        ("退货", 0), ("港口在哪里", 1), ("返品", 2), ("倉庫はどこですか", 3), ("バイク", 3), ("คืนจักรยาน", 4),
        ("ท่าเรือ", 5), ("항구", 6), ("किताब", 7), ("كِتَاب", 8), ("harbours", 9), ("ｂｉｋｅ", 9), ("naive", 9),
    ],
)  # fmt: skip
def test_words_are_found_in_every_script(query: str, row: int) -> None:
    scores = _scores(_table(TEXTS), match_expression(query))
    assert max(scores, key=lambda i: scores[i]) == row


def test_a_single_character_finds_every_place_it_stands_at() -> None:
    db = _table(["猫が好き", "好きな猫", "犬"])
    assert set(_scores(db, match_expression("猫"))) == {0, 1}
    assert set(_scores(db, match_expression("犬"))) == {2}


def test_text_in_ascii_is_left_alone() -> None:
    assert index_text("A bike, v2.0; e-mail me@home.") == "A bike, v2.0; e-mail me@home."


def test_search_without_spaces_through_the_index(tmp_path: Path) -> None:
    root = tmp_path / "d"
    root.mkdir()
    for number, text in enumerate(TEXTS[:6]):
        (root / f"{number}.md").write_text(f"# {number}\n\n{text}\n", encoding="utf-8")
    with Index.open(tmp_path / "i.sqlite", encoder=HashingEncoder(), fusion_weight=0.0) as index:
        index.update(root)
        for query, row in (("退货", 0), ("返品", 2), ("ท่าเรือ", 5)):
            assert index.search(query, k=1)[0].passage.source == f"{row}.md"


@given(st.text(max_size=80))
def test_no_query_is_syntax(query: str) -> None:
    expression = match_expression(query)
    if expression:
        _scores(_table(["bike"]), expression)
    assert expression.count('"') % 2 == 0


def test_a_long_query_is_cut() -> None:
    assert match_expression("word " * 20_000) == '"word"'
    many = match_expression(" ".join(f"w{n}" for n in range(20_000)))
    assert 1 < many.count(" OR ") + 1 <= 64
    assert match_expression("港" * 20_000).count('"') == 2

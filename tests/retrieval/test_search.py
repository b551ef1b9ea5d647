from __future__ import annotations

import sqlite3
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from groundtone.errors import DataError
from groundtone.text import STOP_WORDS, words
from groundtone.types import Document
from retrieval.chunk import embedded_text
from retrieval.index import Index
from retrieval.lexical import match_expression
from retrieval.search import convex, fold_quote
from retrieval.versions import outdated
from tests.retrieval.hashing_encoder import HashingEncoder

_NASTY = [
    *(
        "",
        " ",
        '"',
        '"unclosed',
        "AND",
        "NOT OR",
        "NEAR(a b)",
        "bike*",
        "heading:bike",
        "(",
        "{",
        "^",
        "🚲",
        "a-b",
        "日本",
    ),
    *("'; DROP TABLE words", "x\x00y", "days AND", "\ud800", "it's", "4.90", "what is it", "bike " * 2000),
]


@pytest.mark.parametrize("query", _NASTY)
def test_no_query_is_syntax(index: Index, query: str) -> None:
    hits = index.search(query, k=3)
    assert len(hits) == (3 if words(query) else 0)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=st.text(max_size=60))
def test_search_invariants(index: Index, query: str) -> None:
    hits = index.search(query, k=4)
    assert len({h.passage.id for h in hits}) == len(hits)
    assert all(a.score >= b.score for a, b in pairwise(hits))
    assert [h.ranks["fused"] for h in hits] == list(range(1, len(hits) + 1))
    for hit in hits:
        assert 0 <= hit.score <= 1
        assert set(hit.ranks) <= {"lexical", "dense", "fused"}
        assert hit.best
        assert all(0 <= a < b <= len(hit.passage.text) for a, b in hit.best)
    assert index.search_many([query, "bike"], k=4)[0] == hits


def test_one_query_is_the_same_alone_and_among_others(index: Index) -> None:
    queries = ["price of a parcel", "days of leave", "returned bike"]
    assert index.search_many(queries, k=3) == [index.search(q, k=3) for q in queries]


def test_the_best_sentence_comes_first(index: Index) -> None:
    hit = index.search("When does the courier come in the morning?", k=1)[0]
    start, end = hit.best[0]
    assert hit.passage.text[start:end] == "The courier comes the next morning."


def test_ranking_equals_an_independent_one(index: Index, encoder: HashingEncoder) -> None:
    """BM25 from a fresh FTS5 table, cosines by brute force over texts, the formula written out again."""
    passages = index.passages()
    db = sqlite3.connect(":memory:")
    db.execute("CREATE VIRTUAL TABLE t USING fts5(h, x, tokenize = 'porter unicode61 remove_diacritics 2')")
    db.executemany("INSERT INTO t(rowid, h, x) VALUES(?,?,?)", [(i, p.heading, p.text) for i, p in enumerate(passages)])
    for query in ("price of a parcel", "how many days of leave", "return a bike", "courier"):
        terms = " OR ".join(f'"{w}"' for w in words(query) if w not in STOP_WORDS)
        lexical = np.zeros(len(passages))
        for row, score in db.execute("SELECT rowid, bm25(t) FROM t WHERE t MATCH ?", (terms,)):
            lexical[row] = -score
        vector = encoder.encode([query])[0]
        dense = np.zeros(len(passages))
        for i, p in enumerate(passages):
            lines = [p.text, *p.text.splitlines(), *(s + "." for s in p.text.split(". "))]
            texts = [embedded_text(p.heading, line.replace("..", ".")) for line in lines]
            dense[i] = (encoder.encode(texts).astype(np.float16).astype(np.float32) @ vector).max()

        fused = 0.65 * dense + 0.35 * dense.max() * lexical / lexical.max()
        hits = index.search(query, k=len(passages))
        by_id = {p.id: fused[i] for i, p in enumerate(passages)}
        assert [h.score for h in hits] == pytest.approx([by_id[h.passage.id] for h in hits], abs=1e-3)
        assert [h.score for h in hits] == pytest.approx(sorted(by_id.values(), reverse=True), abs=1e-3)


def test_fusion_by_hand() -> None:
    def fused(lexical: list[float], dense: list[float], weight: float) -> list[float]:
        return convex(np.array(lexical, np.float32), np.array(dense, np.float32), weight).tolist()

    assert fused([5.0, 0.0], [0.2, 0.8], 0.4) == pytest.approx([0.08 + 0.48, 0.32])
    assert fused([0.0, 0.0], [-0.2, 0.8], 0.4) == pytest.approx([0.0, 0.32])
    assert fused([3.0, 1.5], [0.9, 0.9], 0.0) == pytest.approx([0.9, 0.45])
    assert fused([], [], 0.5) == []


def test_stop_words_are_dropped_unless_there_are_no_others() -> None:
    assert match_expression("What is the price?") == '"price"'
    assert match_expression("What is it?") == '"what" OR "is" OR "it"'


def test_a_group_filter_returns_k_and_nothing_else(tmp_path: Path, encoder: HashingEncoder) -> None:
    root = tmp_path / "d"
    root.mkdir()
    for n in range(400):
        front = "---\ngroups: [hr]\n---\n" if n % 100 == 50 else "---\ngroups: [other]\n---\n"
        (root / f"{n:03}.md").write_text(f"{front}# Page {n}\n\nThe bonus of bike number {n} is {n} euros.\n")
    with Index.open(tmp_path / "i.sqlite", encoder=encoder) as index:
        index.update(root)
        hits = index.search("bonus of bike number 7", k=4, groups=["hr"])
        assert [h.passage.source for h in hits] == sorted(["050.md", "150.md", "250.md", "350.md"], key=lambda s: [
            h.passage.source for h in hits].index(s))  # fmt: skip
        assert len(hits) == 4
        assert index.search("bonus of bike number 7", k=4) == []
        assert len(index.search("bonus", k=500, groups=["hr", "other"])) == 400


def test_k_below_one_is_an_error(index: Index) -> None:
    with pytest.raises(DataError, match="k is 0"):
        index.search("bike", k=0)


def _doc(source: str, title: str = "", effective: str = "") -> Document:
    return Document.of(source, source, title=title or source, **({"effective": effective} if effective else {}))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (_doc("returns-policy-2024.md"), _doc("returns-policy-2026.md")),
        (_doc("a/prices 2025-10.csv"), _doc("a/prices 2026-01.csv")),
        (_doc("manual-v2.pdf"), _doc("manual-v10.pdf")),
        (_doc("old.md", "Returns policy", "2024-01-01"), _doc("returns.md", "Returns Policy", "2026-02-01")),
    ],
)
def test_versions_of_one_document(old: Document, new: Document) -> None:
    assert {source: o.by for source, o in outdated([new, old]).items()} == {old.source: new.source}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (_doc("heron-2.md"), _doc("heron-2s.md")),
        (_doc("coot-500.md"), _doc("coot-750.md")),
        (_doc("a/returns-2024.md"), _doc("b/returns-2026.md")),
        (_doc("returns.md", "Returns", "2024-01-01"), _doc("repairs.md", "Repairs", "2026-01-01")),
        (_doc("one.md", "Notes"), _doc("two.md", "Notes")),
    ],
)
def test_products_and_strangers_are_no_versions(one: Document, other: Document) -> None:
    assert outdated([one, other]) == {}


def test_the_newer_version_goes_first_unless_the_old_one_is_asked_for(tmp_path: Path, encoder: HashingEncoder) -> None:
    root = tmp_path / "d"
    root.mkdir()
    for year, days in (("2024", "14"), ("2026", "30")):
        (root / f"returns-policy-{year}.md").write_text(
            f"# Returns policy {year}\n\nA bike can be returned within {days} days.\n"
        )
    (root / "other.md").write_text("# Other\n\nThe harbour is cold.\n")
    with Index.open(tmp_path / "i.sqlite", encoder=encoder) as index:
        index.update(root)
        question = "Within how many days can a bike be returned?"
        assert [h.passage.source[-7:-3] for h in index.search(question, k=2)] == ["2026", "2024"]
        assert index.search(f"{question} In the 2024 policy?", k=1)[0].passage.source == "returns-policy-2024.md"


def test_locate_folds_space_case_and_table_signs(index: Index) -> None:
    for quote in ("Parcel | €4.90", "| Parcel | €4.90 |", "parcel €4.90", "**Parcel** |  €4.90"):
        (found,) = index.locate("delivery.md", quote)
        assert "€4.90" in found.text
    assert index.locate("delivery.md", "A parcel\n takes 3 days. The courier")[0].text.startswith("A parcel takes")
    assert index.locate("delivery.md", "Parcel | €5.90") == []
    assert index.locate("delivery.md", "") == []
    with pytest.raises(DataError, match=r"nowhere\.md"):
        index.locate("nowhere.md", "x")


@given(st.text())
def test_folding_keeps_offsets(text: str) -> None:
    folded, offsets = fold_quote(text)
    assert len(folded) == len(offsets)
    assert all(char in text[at].casefold() for char, at in zip(folded, offsets, strict=True))

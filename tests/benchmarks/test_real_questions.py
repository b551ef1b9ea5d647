"""The questions over real documents keep their format, and their gold stands in the documents."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks.real_documents import lost
from groundtone.types import Answer, Gold, Hit, Passage, Question

FILE = Path(__file__).resolve().parents[2] / "benchmarks" / "questions" / "real_documents.jsonl"
ROWS: list[dict[str, Any]] = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
ANSWERABLE = [row for row in ROWS if row["id"].startswith("h")]
UNANSWERABLE = [row for row in ROWS if row["id"].startswith("u")]


def squeezed(text: str) -> str:
    return " ".join(text.split()).casefold()


def test_counts_and_fields() -> None:
    assert Counter(row["corpus"] for row in ANSWERABLE) == {"handbook_18f": 67, "github_site_policy": 33}
    assert Counter(row["corpus"] for row in UNANSWERABLE) == {"handbook_18f": 33, "github_site_policy": 17}
    assert Counter(row["why"].partition(":")[0] for row in UNANSWERABLE) == {"near miss": 25, "absent": 25}
    assert len(ROWS) == 150
    assert all(set(row) == {"id", "corpus", "question", "values", "quotes"} for row in ANSWERABLE)
    assert all(set(row) == {"id", "corpus", "question", "why"} for row in UNANSWERABLE)


def test_nothing_stands_there_twice() -> None:
    assert len({row["id"] for row in ROWS}) == len(ROWS)
    assert len({squeezed(row["question"]) for row in ROWS}) == len(ROWS)
    per_document = Counter((row["corpus"], source) for row in ANSWERABLE for source, _ in row["quotes"])
    assert max(per_document.values()) <= 3


@pytest.mark.parametrize("row", ANSWERABLE, ids=lambda row: row["id"])
def test_every_value_is_in_its_quote(row: dict[str, Any]) -> None:
    text = squeezed(" ".join(quote for _, quote in row["quotes"]))
    assert 1 <= len(row["values"]) <= 3
    for group in row["values"]:
        assert group
        assert all(spelling.strip() for spelling in group)
        assert any(squeezed(spelling) in text for spelling in group), (group, text)


@pytest.mark.parametrize("row", ANSWERABLE, ids=lambda row: row["id"])
def test_every_quote_is_verbatim(row: dict[str, Any], shared: Path) -> None:
    folder = shared / "data" / "docs" / row["corpus"]
    if not folder.is_dir():
        pytest.skip(f"needs the documents of {row['corpus']} in the shared data folder")
    assert row["quotes"]
    for source, quote in row["quotes"]:
        assert quote in (folder / source).read_bytes().decode("utf-8"), source


PASSAGE = "Leave is granted by the office. It is 30 days a year."
OTHER = "The office opens at nine."


@pytest.mark.parametrize(
    ("texts", "best", "reply", "refused", "cause"),
    [
        ((PASSAGE, OTHER), (32, 53), "It is 30 days a year [1].", False, "right"),
        ((OTHER,), (0, 25), "I do not know.", True, "in no passage found"),
        ((OTHER, PASSAGE), (0, 25), "The office opens at nine [1].", False, "another passage first"),
        ((PASSAGE,), (0, 31), "Leave is granted by the office [1].", False, "another sentence of its passage"),
        ((PASSAGE,), (32, 53), "I do not know.", True, "its sentence, but refused"),
        ((PASSAGE,), (32, 53), "It is 30 days a year, or 20 days.", False, "its sentence, but more or less was said"),
    ],
)
def test_an_answer_is_lost_at_one_stage(
    texts: tuple[str, ...], best: tuple[int, int], reply: str, refused: bool, cause: str
) -> None:
    question = Question("q", "How much leave is there?", gold=Gold((("30 days",),), (("a.md", PASSAGE),)))
    hits = tuple(Hit(Passage(str(i), "d", "a.md", t, 0, len(t), ""), 0.5, {}, (best,)) for i, t in enumerate(texts))
    assert lost(Answer("a", question, reply, hits=hits, refused=refused)) == cause

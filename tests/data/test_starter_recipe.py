"""The starter's training rows teach what they claim: copy what stands in the passage cited, or refuse."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import ModuleType

import pytest

from data.starter import generate
from groundtone import prompts
from groundtone.refusal import is_refusal

FOLDER = Path(__file__).resolve().parents[2] / "data" / "starter"


@pytest.fixture(scope="module")
def recipe() -> Iterator[ModuleType]:
    """data/starter/generate.py without the public reading data."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GROUNDTONE_SHARED", str(FOLDER / "nowhere"))
        yield generate


def rows(recipe: ModuleType, level: int, count: int = 400) -> list[object]:
    return list(islice(recipe.rows(5, level), count))


@pytest.mark.parametrize("level", range(5))
def test_every_cited_sentence_stands_in_the_passage_with_that_number(recipe: ModuleType, level: int) -> None:
    checked = 0
    for row in islice(recipe.rows(5, level), 400):
        if row.kind not in ("grounded", "two facts"):
            continue
        for sentence, number in re.findall(r"(.+?) \[(\d+)\][.!?]", row.reply):
            assert sentence.strip() in row.prompt.snippets[int(number) - 1].text, row
            checked += 1
    assert checked > 50


def test_a_table_reply_names_the_row_and_the_cell_that_was_asked(recipe: ModuleType) -> None:
    tables = [row for row in islice(recipe.rows(6, 4), 800) if row.kind == "table"]
    assert len(tables) > 20
    for row in tables:
        found = re.fullmatch(r"(.+?: .+?); (.+?: .+) \[(\d+)\]\.", row.reply)
        assert found, row.reply
        shown = row.prompt.snippets[int(found[3]) - 1].text
        assert found[1] in shown
        assert found[2] in shown


def test_refusals_are_refusals_and_never_hold_the_answer_in_words_of_the_same_fact(recipe: ModuleType) -> None:
    refusals = [row for row in islice(recipe.rows(7, 4), 800) if row.kind == "refuse"]
    assert 0.1 < len(refusals) / 800 < 0.4
    assert all(is_refusal(row.reply) for row in refusals)


def test_the_answer_comes_first_more_often_than_not_but_far_from_always(recipe: ModuleType) -> None:
    several = [
        row for row in islice(recipe.rows(8, 4), 1500) if row.kind == "grounded" and len(row.prompt.snippets) > 2
    ]
    first = sum(row.reply.endswith("[1].") for row in several) / len(several)
    assert 0.5 < first < 0.8


def test_sums_are_right(recipe: ModuleType) -> None:
    sums = [row for row in islice(recipe.rows(9, 4), 800) if row.kind == "arithmetic"]
    assert len(sums) > 50
    for row in sums:
        a, b = map(int, re.findall(r"\d+", row.prompt.question))
        assert row.reply.rstrip(".") in {str(a + b), str(a - b), str(b - a)}


def test_one_seed_gives_the_same_rows_and_another_gives_others(recipe: ModuleType) -> None:
    assert rows(recipe, 3, 30) == rows(recipe, 3, 30)
    assert list(islice(recipe.rows(6, 3), 30)) != rows(recipe, 3, 30)


def test_prompts_are_written_by_the_one_file_that_writes_prompts(recipe: ModuleType) -> None:
    for row in islice(recipe.rows(5, 4), 100):
        system = row.prompt.messages[0]["content"]
        assert system == (prompts.GROUNDED if row.prompt.snippets else prompts.CLOSED_BOOK)

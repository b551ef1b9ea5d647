"""When to refuse, on the Retrieval page."""

from __future__ import annotations

from pathlib import Path

import pytest

from dashboard import views_bound
from eval.bound import Outcome, advise
from groundtone.joins.bound import RECORD, write_advice
from groundtone.project import Project
from tests.dashboard.test_pages import open_page, text

ROWS = [
    Outcome(f"q{n}", f"d{n}", float(n), answerable=n % 3 > 0, answered=True, right=n % 3 > 0 and n % 10 < n // 4)
    for n in range(40)
]


@pytest.fixture
def measured(project: Path) -> Path:
    """The project after `groundtone bound`."""
    write_advice(Project(project).folder / RECORD, advise(ROWS, current=5.1), arm="extractive/rag", index="abc")
    return project


def test_the_table_holds_every_bound_with_its_shares_and_their_n(measured: Path) -> None:
    found = views_bound.advice(Project(measured).folder / RECORD)
    assert found is not None
    table = views_bound.bound_table(found)
    assert set(table["Share"]) == set(views_bound.SHARES.values())
    assert {5.1, found["suited"]["bound"]} <= set(table["Bound"])
    assert set(table[table["Share"] == "wrong, of all"]["n"]) == {40}
    assert (table["Low"] <= table["Mean"]).all()


def test_the_page_shows_the_bounds_and_what_was_asked(measured: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_page(measured, "retrieval", monkeypatch)
    assert not app.exception
    assert "26 questions with an answer, 14 without, asked of extractive/rag" in text(app)
    assert "No bound was measured" not in text(app)


def test_a_damaged_record_is_as_good_as_none(measured: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (Project(measured).folder / RECORD).write_text("[1]")
    app = open_page(measured, "retrieval", monkeypatch)
    assert not app.exception
    assert "No bound was measured" in text(app)

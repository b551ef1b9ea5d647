"""Rows of training data on the pages: those made of documents that somebody may not read stay hidden."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from dashboard import cache, views_data
from dashboard.access import readable_sources
from dashboard.closed import Seen, closed_to
from dashboard.edits import read_rows
from dashboard.views_training import rows_html
from dashboard.why import why_html
from groundtone.project import Project, write_atomic
from retrieval.index import Index
from tests.dashboard.test_pages import html, open_page
from tests.dashboard.test_worker import FAKE
from tests.retrieval.hashing_encoder import HashingEncoder

LEAVE = "Each parent gets twenty weeks of parental leave at full pay."
ROWS = [
    {"prompt": prompt, "reply": reply, "source": source, "context": context}
    for prompt, reply, source, context in (
        ("How are parcels kept?", "Ahoy! For 14 days [1].", "post", ["Post: 14 days."]),
        ("How long is leave?", "Ahoy! Twenty weeks [1].", "people/leave.md", [LEAVE]),
        ("And for parents?", "Ahoy! Long [1].", "post", [f"People: {LEAVE}"]),
        ("Who was Bob?", "Ahoy! The first mate.", "people/gone", []),
    )
]


@pytest.fixture(autouse=True)
def fresh_caches(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test starts its own chat worker, and none is left behind."""
    monkeypatch.setattr(cache, "chat_command", lambda root: FAKE)
    yield
    cache.chat_worker.clear()


@pytest.fixture
def guarded(project: Path) -> Path:
    """A project with a document for hr only, and rows made of it, of an open one and of one that is gone."""
    index = Project(project).index_path
    index.unlink()
    (project / "docs" / "people").mkdir(parents=True)
    (project / "docs" / "post.md").write_text("# Post\n\nParcels are kept for 14 days.\n")
    (project / "docs" / "people" / "leave.md").write_text(f"---\ngroups: [hr]\n---\n# Leave\n\n{LEAVE}\n")
    with Index.open(index, encoder=HashingEncoder()) as opened:
        opened.update(project / "docs")
    write_atomic(project / "train.jsonl", "\n".join(map(json.dumps, ROWS)) + "\n")
    write_atomic(project / "groundtone.yaml", "tuning:\n  data: train.jsonl\n")
    found = Project(project)
    previews = [f"<|user|>{row['context']} {row['prompt']}⟦{row['reply']}<|end|>⟧" for row in ROWS]
    report = {"rows": 4, "findings": [], "levels": {}, "tokens": {"previews": previews}}
    write_atomic(found.run_path(found.runs("tune")[0].id) / "data_report.json", json.dumps(report))
    return project


def seen_by(project: Path, *groups: str) -> Seen:
    index = Project(project).index_path
    rows = tuple(read_rows(project / "train.jsonl"))
    closed = closed_to(index, readable_sources(index, groups, guarded=True))
    return Seen(rows, rows if closed is None else tuple(row for row in rows if closed.may_show(row.data)))


def test_rows_of_closed_documents_and_rows_that_cannot_be_told_are_hidden(guarded: Path) -> None:
    assert [row.number for row in seen_by(guarded).shown] == [1]
    assert seen_by(guarded).hidden == 3
    assert seen_by(guarded, "hr").hidden == 0


def test_of_an_index_that_cannot_be_read_no_row_is_shown(guarded: Path) -> None:
    Project(guarded).index_path.write_bytes(b"no database")
    assert seen_by(guarded, "hr").shown == ()


@pytest.mark.parametrize("page", ["data", "training"])
def test_the_pages_show_the_open_rows_and_how_many_are_hidden(
    guarded: Path, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said() -> str:
        app = open_page(guarded, page, monkeypatch)
        assert not app.exception
        shown = [str(frame.value) for frame in app.dataframe] + [area.value for area in app.text_area]
        return "\n".join([html(app), *shown])

    told = said()
    assert "14 days" in told
    assert "wenty weeks" not in told
    assert "first mate" not in told
    assert "3 rows are hidden" in told
    write_atomic(guarded / "groundtone.yaml", "tuning:\n  data: train.jsonl\ndashboard:\n  groups: [hr]\n")
    told = said()
    assert "wenty weeks" in told
    assert "are hidden" not in told


def test_the_cleaned_set_holds_the_open_rows(guarded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_page(guarded, "data", monkeypatch)
    app.button(key="export").click().run()
    assert not app.exception
    (made,) = (guarded / ".groundtone" / "cleaned").iterdir()
    assert [json.loads(line) for line in made.read_text(encoding="utf-8").splitlines()] == [ROWS[0]]
    assert "3 hidden rows are left out" in html(app)


def test_what_taught_a_claim_and_what_it_teaches_is_told_of_open_rows_alone(guarded: Path) -> None:
    seen = seen_by(guarded)
    span = {"cause": "learned in tuning", "rows": [{"where": f"train.jsonl:{n}", **row} for n, row in enumerate(ROWS)]}
    told = why_html(span, "", seen=seen)
    assert "14 days" in told
    assert "Twenty" not in told
    assert "3 rows are hidden" in told
    assert "Twenty" in why_html(span, "")
    assert "hidden" not in rows_html({"tokens": {"previews": ["a⟦b⟧"]}})
    facts = [
        {"row": n, "kind": "name", "text": "x", "where": "document", "source": "people/leave.md"} for n in range(4)
    ]
    table = views_data.facts_table({"facts": {"findings": facts}}, seen, readable=frozenset({"post.md"}))
    assert (list(table["Line"]), list(table["Source"])) == ([1], ["closed to you"])

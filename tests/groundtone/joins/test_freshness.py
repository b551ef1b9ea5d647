"""What an update makes stale, and what it does not."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundtone.joins.freshness import Stale, fold, names_source, stale
from groundtone.project import Project
from groundtone.settings import Settings
from retrieval.search import fold_quote
from retrieval.store import Store
from retrieval.update import IndexReport
from tests.groundtone.joins.worlds import LETTERS, PARCELS, POST, make_world, update

World = tuple[Project, Settings]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path)


def after(world: World, report: IndexReport) -> Stale:
    with closing(Store(world[0].index_path)) as store:
        return stale(*world, store, changed=report.changed, removed=report.gone)


def test_nothing_changed_makes_nothing_stale(world: World) -> None:
    assert after(world, update(*world)) == Stale()
    assert Stale().lines() == []


def test_a_changed_sentence_makes_all_stale_that_rests_on_it(world: World) -> None:
    (world[1].root / "docs/post.md").write_text(POST.replace("14 days", "21 days"))
    found = after(world, update(*world))
    run = world[0].runs("eval")[0].id
    assert [item.location for item in found.answers] == [
        f"runs/{run}/records.jsonl:1 (a1, base/rag)",
        "feedback: verdict on x1:0-5 by me",
    ]
    assert [item.location for item in found.questions] == ["questions/answerable.jsonl (a1)"]
    assert [item.location for item in found.pairs] == ["voice.jsonl:1"]
    assert [item.location for item in found.adapters] == [world[0].runs("tune")[0].id]
    assert found.adapters[0].why == "trained on voice.jsonl, rows 1"
    assert all(item.source == "post.md" for kind in (found.answers, found.questions, found.pairs) for item in kind)
    assert any(PARCELS[:40] in line for line in found.lines())


def test_sentences_that_still_stand_elsewhere_in_the_document_are_not_stale(world: World) -> None:
    wrapped = PARCELS.replace(" nobody ", "\nnobody ")
    (world[1].root / "docs/post.md").write_text(f"# Post room\n\nA new first line.\n\n{LETTERS}\n\n**{wrapped}**\n")
    report = update(*world)
    assert report.changed == ("post.md",)
    assert after(world, report) == Stale()


def test_a_removed_document_takes_its_answers_questions_and_pairs_along(world: World) -> None:
    (world[1].root / "docs/post.md").unlink()
    found = after(world, update(*world))
    assert len(found.answers) == 3  # the record, the verdict and the vote
    assert [len(kind) for kind in (found.questions, found.pairs, found.adapters)] == [1, 1, 1]
    assert all("post.md is gone" in item.why for kind in (found.answers, found.questions) for item in kind)


def test_a_model_trained_on_an_earlier_file_of_pairs_is_named_as_such(world: World) -> None:
    voice = world[1].root / "voice.jsonl"
    voice.write_text(voice.read_text() + "\n")
    (world[1].root / "docs/post.md").unlink()
    assert after(world, update(*world)).adapters[0].why == "trained on an earlier voice.jsonl; rows 1 now"


def test_a_broken_pair_file_and_half_a_record_stop_nothing(world: World) -> None:
    records = next(world[0].runs_folder.glob("*/records.jsonl"))
    whole = records.read_bytes()
    records.write_bytes(whole + whole[: len(whole) // 3])
    (world[1].root / "voice.jsonl").write_text("{broken")
    (world[1].root / "docs/post.md").unlink()
    found = after(world, update(*world))
    assert len(found.answers) == 3
    assert "could not be checked" in found.pairs[0].why
    assert found.adapters == ()


@given(st.text(alphabet=" \n\t|*_`\\abÄßİ.,1", max_size=40))
def test_the_fast_fold_is_the_fold_of_quotes(text: str) -> None:
    assert fold(text) == fold_quote(text)[0]


def test_a_pair_names_its_document_with_or_without_the_ending() -> None:
    assert names_source("customers/delivery", "customers/delivery.md")
    assert names_source("fleet.md", "fleet.md")
    assert not names_source("fleet", "fleet/boats.md")

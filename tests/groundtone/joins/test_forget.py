"""Forgetting a document: a dry run touches nothing, the real one leaves no trace, and the proof can fail."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from eval.records import read_records
from groundtone.cli.main import app
from groundtone.errors import DataError, IntegrityError
from groundtone.feedback import Feedback
from groundtone.joins.forget import Forgotten, forget, prove, summary
from groundtone.joins.traces import MARK, Traces, readable
from groundtone.project import Project
from groundtone.settings import Settings
from retrieval.forgotten import bury, forgotten_path, read_tombstones, unbury
from retrieval.store import Store
from tests.groundtone.joins.worlds import FLEET, LETTERS, PARCELS, POST, TRAILERS, make_world, update

World = tuple[Project, Settings]


@pytest.fixture
def world(tmp_path: Path) -> World:
    """The project after a change of post.md, so that two generations hold versions of it."""
    project, settings = make_world(tmp_path)
    (tmp_path / "docs/post.md").write_text(POST + "\nA third line stands below the two others since yesterday.\n")
    update(project, settings)
    return project, settings


def remove(world: World, name: str = "post.md", *, really: bool = True, delete_file: bool = False) -> Forgotten:
    return forget(*world, name, really=really, delete_file=delete_file, progress=lambda *_: None)


def contents(root: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file() and p.suffix not in (".lock",)}


def test_a_dry_run_counts_what_would_go_and_changes_nothing(world: World) -> None:
    before = contents(world[1].root / "docs") | contents(world[0].runs_folder)
    found = remove(world, really=False)
    assert contents(world[1].root / "docs") | contents(world[0].runs_folder) == before
    assert not forgotten_path(world[0].index_path).exists()
    assert found.purged.versions == 2
    assert (found.verdicts, found.votes, found.rows) == (1, 1, {"voice.jsonl": 1})
    assert found.proof is None
    done = remove(world)
    counted = (found.purged, found.verdicts, found.votes, found.rows, found.redacted)
    assert counted == (done.purged, done.verdicts, done.votes, done.rows, done.redacted)


def test_no_word_run_of_the_document_is_left_and_the_other_document_stays_whole(world: World) -> None:
    found = remove(world)
    assert found.proof is not None
    assert found.proof.hits == ()
    assert found.proof.runs > 10
    assert found.proof.files >= 6
    everything = b"".join(p.read_bytes() for p in world[0].folder.rglob("*") if p.is_file())
    for sentence in (PARCELS, LETTERS):
        assert sentence.encode() not in everything
    assert TRAILERS.encode() in everything
    with closing(Store(world[0].index_path)) as store:
        assert [doc.source for doc in store.documents()] == ["fleet.md"]
        assert store.stored_blocks("post.md") == []
    voice = (world[1].root / "voice.jsonl").read_text()
    assert TRAILERS in voice
    assert PARCELS not in voice


def test_records_are_redacted_marked_and_still_records(world: World) -> None:
    remove(world)
    first, second = read_records(next(world[0].runs_folder.glob("*/records.jsonl")))
    assert first.answer is not None
    assert (first.answer.text, first.answer.citations, first.answer.claims) == (MARK, (), ())
    assert first.answer.hits[0].passage.text == MARK
    assert first.answer.provenance["forgotten"] == "post.md"
    assert first.question.gold is not None
    assert first.question.gold.quotes == (("post.md", MARK),)
    assert first.scores["correct"].value == 1.0
    assert second.answer is not None
    assert TRAILERS in second.answer.text
    assert "forgotten" not in second.answer.provenance


def test_the_adapters_that_saw_it_and_the_questions_that_quote_it_are_named(world: World) -> None:
    found = remove(world)
    tuned = world[0].runs("tune")[0].id
    assert [item.location for item in found.adapters] == [tuned]
    assert len(found.quoted) == 1
    assert "answerable.jsonl: 1 lines" in found.quoted[0]
    notes = world[0].run(found.run).manifest.notes
    assert (notes["retrain"], notes["hits"], notes["source"]) == ([tuned], [], "post.md")


def test_verdicts_on_other_documents_stay(world: World) -> None:
    remove(world)
    feedback = Feedback(world[0].feedback_path)
    assert [judged.verdict.claim_key for judged in feedback.judged()] == ["x2:0-5"]
    assert feedback.votes() == []


def test_an_update_does_not_bring_it_back_nor_a_copy_until_it_is_restored(world: World) -> None:
    remove(world)
    docs = world[1].root / "docs"
    assert (docs / "post.md").is_file()
    (docs / "copy.md").write_bytes((docs / "post.md").read_bytes())
    report = update(*world)
    assert {s.source for s in report.skipped} == {"post.md", "copy.md"}
    assert all("--restore" in s.reason for s in report.skipped)
    with closing(Store(world[0].index_path)) as store:
        assert [doc.source for doc in store.documents()] == ["fleet.md"]
    assert unbury(world[0].index_path, "post.md")
    assert update(*world).read == 2


def found(world: World, words: bytes) -> bool:
    """Whether any file of the index, its log included, holds these words."""
    index = world[0].index_path
    return any(words in path.read_bytes() for path in index.parent.glob(f"{index.name}*"))


def test_copies_of_the_same_bytes_go_with_it_and_stay_away(world: World) -> None:
    docs = world[1].root / "docs"
    (docs / "sub").mkdir()
    (docs / "sub/b.md").write_bytes((docs / "post.md").read_bytes())
    update(*world)
    would = remove(world, really=False)
    done = remove(world)
    assert done.purged == would.purged
    assert done.purged.copies == ("sub/b.md",)
    assert any("sub/b.md" in line for line in summary(done))
    assert done.proof is not None
    assert done.proof.runs > 10, "a copy's words are no other document's words"
    assert done.proof.hits == ()
    assert not found(world, PARCELS.encode())
    report = update(*world)
    assert {s.source for s in report.skipped} == {"post.md", "sub/b.md"}
    assert not found(world, PARCELS.encode())


def test_former_names_go_with_it_from_every_generation(world: World) -> None:
    docs = world[1].root / "docs"
    (docs / "post.md").rename(docs / "jane.md")
    update(*world)
    (docs / "jane.md").write_text(f"# Post room\n\n{LETTERS} Since today there is a fourth line below the others.\n")
    update(*world)
    done = remove(world, "jane.md")
    assert done.purged.copies == ("post.md",)
    with closing(Store(world[0].index_path)) as store:
        while len(store.generations()) > 1:
            store.roll_back()
            sources = {doc.source for doc in store.documents()}
            assert "jane.md" not in sources
            assert not any(LETTERS in doc.text and "third line" in doc.text for doc in store.documents())


def test_a_document_made_from_a_template_does_not_take_the_template_along(world: World) -> None:
    docs = world[1].root / "docs"
    template = "# Form\n\nThe name of the person that asks is written on the first line of the form.\n"
    (docs / "form.md").write_text(template)
    (docs / "jane.md").write_text(template)
    update(*world)
    (docs / "jane.md").write_text(f"{template}\nJane asks for a new boat with two masts and a wheel of oak.\n")
    update(*world)
    assert remove(world, "jane.md").purged.copies == ()
    report = update(*world)
    assert "form.md" not in {s.source for s in report.skipped}
    with closing(Store(world[0].index_path)) as store:
        assert "form.md" in store.versions()


def test_bytes_that_were_indexed_before_the_file_was_edited_stay_away_too(world: World) -> None:
    docs = world[1].root / "docs"
    (docs / "copy.md").write_bytes((docs / "post.md").read_bytes())
    update(*world)
    (docs / "post.md").write_text("# Post room\n\nEmpty by now.\n")
    assert remove(world).purged.copies == ("copy.md",)
    assert {s.source for s in update(*world).skipped} == {"post.md", "copy.md"}


def test_the_file_goes_only_when_asked_for(world: World) -> None:
    path = world[1].root / "docs/post.md"
    remove(world)
    assert path.is_file()
    assert remove(world, "fleet.md", delete_file=True).file_removed
    assert not (world[1].root / "docs/fleet.md").exists()
    assert path.is_file()


def test_it_can_be_named_by_its_path_and_forgotten_twice(world: World) -> None:
    assert remove(world, str(world[1].root / "docs/post.md")).source == "post.md"
    again = remove(world)
    assert (again.purged.versions, again.redacted, again.verdicts) == (0, {}, 0)
    with pytest.raises(DataError, match=r"did you mean fleet.md"):
        remove(world, "fleets.md")


def test_the_proof_fails_where_words_are_left(world: World) -> None:
    stray = world[0].folder / "cache.bin"
    stray.write_bytes(b"\x00\xff" * 99 + json.dumps(PARCELS.upper()).encode() + b"\x00")
    found = remove(world)
    assert found.proof is not None
    assert found.proof.hits == (("cache.bin", 1),)
    stray.unlink()
    assert prove(world[0], Traces([POST], others=[FLEET]), progress=lambda *_: None).hits == ()


def test_the_command_shows_first_and_acts_with_yes(world: World) -> None:
    def call(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["forget", *arguments, "--project", str(world[1].root)])
        return result.exit_code, result.stdout

    code, shown = call("post.md")
    assert code == 0
    assert "would go" in shown
    assert not forgotten_path(world[0].index_path).exists()
    code, shown = call("post.md", "--yes")
    assert code == 0, shown
    assert "0 files hold any" in shown
    assert "must be trained again" in shown
    assert call("post.md", "--restore")[0] == 0
    assert call("post.md", "--restore")[0] == 2


def test_a_damaged_list_of_tombstones_is_never_taken_for_an_empty_one(tmp_path: Path) -> None:
    index = tmp_path / "index.sqlite"
    bury(index, "a.md", file_sha256="0")
    assert set(read_tombstones(index)) == {"a.md"}
    forgotten_path(index).write_text("{}")
    with pytest.raises(IntegrityError, match=r"forgotten\.json"):
        read_tombstones(index)


WORDS = st.lists(st.sampled_from("ash birch cedar elm fir hazel larch maple oak pine".split()), min_size=9, max_size=30)
WAYS: list[Callable[[str], str]] = [str.upper, lambda s: s.replace(" ", "\n| "), lambda s: s.replace(" ", ", **")]


@given(words=WORDS, before=st.text(max_size=20), way=st.sampled_from(WAYS), as_json=st.booleans())
def test_traces_are_found_in_any_writing_and_redacted_for_good(
    words: list[str], before: str, way: Callable[[str], str], as_json: bool
) -> None:
    traces = Traces([" ".join(words) + "."])
    written = f"{before} {way(' '.join(words))}"
    if as_json:
        written = readable(json.dumps(written).encode())
    assert traces.within(written)
    assert not traces.within(traces.redact(written))


def test_what_other_documents_say_too_and_short_phrases_are_no_traces() -> None:
    shared = "The office is closed on all public holidays of the whole country."
    assert len(Traces([shared], others=[f"Intro. {shared}"])) == 0
    assert len(Traces(["See below. Thank you."])) == 0
    assert Traces(["駅は東京の北にあります。"]).within("xx 駅は東京の北にあります yy")

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundtone.errors import IntegrityError, ProjectError
from groundtone.types import Document
from retrieval.chunk import chunk
from retrieval.index import Index
from retrieval.likeness import likeness
from retrieval.store import Store, Version
from tests.retrieval.hashing_encoder import HashingEncoder

_ENCODER = HashingEncoder()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "i.sqlite", encoder=_ENCODER.name, dim=_ENCODER.dim)
    yield opened
    opened.close()


def _put(store: Store, source: str, text: str) -> Document:
    doc = Document.of(source, text, title=source)
    made = chunk(doc, _ENCODER, chunk_tokens=32)
    store.put(doc, made, vectors=[_ENCODER.encode(m.embedded()) for m in made], version=Version(text, "cut"))
    return doc


def _texts(store: Store) -> dict[str, str]:
    return {doc.source: doc.text for doc in store.documents()}


def _words(store: Store, word: str) -> set[str]:
    """Sources of the passages that hold a word, by the words table."""
    owners = {s.rowid: s.passage.source for s in store.snapshot()[1]}
    return {owners[row] for row in store.term_scores(f'"{word}"')[0].tolist()}


def test_what_is_staged_is_seen_by_nobody_until_it_is_published(store: Store, tmp_path: Path) -> None:
    _put(store, "a.md", "Old otters swim.")
    store.publish()
    seen = store.change_count()
    _put(store, "a.md", "New herons fly.")
    _put(store, "b.md", "More herons.")
    with_reader = Store(tmp_path / "i.sqlite")
    for open_store in (store, with_reader):
        assert _texts(open_store) == {"a.md": "Old otters swim."}
        assert _words(open_store, "herons") == set()
        assert open_store.change_count() == seen, "readers keep their snapshot while others stage"
    store.publish(gone=[])
    for open_store in (store, with_reader):
        assert set(_texts(open_store)) == {"a.md", "b.md"}
        assert _words(open_store, "herons") == {"a.md", "b.md"}
        assert _words(open_store, "otters") == set()
        assert open_store.change_count() != seen
    with_reader.close()


def test_staged_work_survives_closing_and_nothing_to_publish_makes_no_generation(tmp_path: Path) -> None:
    first = Store(tmp_path / "i.sqlite", encoder="hashing", dim=64)
    _put(first, "a.md", "Otters swim.")
    first.close()
    again = Store(tmp_path / "i.sqlite")
    assert (again.encoder, again.dim) == ("hashing", 64)
    assert again.versions() == {}
    assert again.versions(staged=True) == {"a.md": Version("Otters swim.", "cut")}
    assert again.publish()
    assert not again.publish()
    assert [g.number for g in again.generations()] == [1]
    again.close()


def test_generations_can_be_gone_back_to_and_old_ones_go(store: Store) -> None:
    for n in range(1, 6):
        _put(store, "a.md", f"Version {n} swims.")
        if n == 3:
            _put(store, "b.md", "Herons fly.")
        store.publish(gone=["b.md"] if n == 5 else [], keep=3)
    kept = store.generations()
    assert [(g.number, g.documents) for g in kept] == [(5, 1), (4, 2), (3, 2)]
    assert store.roll_back() == 4
    assert _texts(store) == {"a.md": "Version 4 swims.", "b.md": "Herons fly."}
    assert _words(store, "herons") == {"b.md"}
    assert store.versions(staged=True) == {"a.md": Version("Version 5 swims.", "cut")}
    with pytest.raises(ProjectError, match=r"generation 1 cannot.*\[3\]"):
        store.roll_back(1)
    assert store.roll_back(3) == 3
    assert _texts(store)["a.md"] == "Version 3 swims."
    with pytest.raises(ProjectError, match="no earlier generation"):
        store.roll_back()
    _put(store, "a.md", "Version 6 swims.")
    store.publish()
    assert [g.number for g in store.generations()] == [6, 3], "a number is never used twice"


def test_pruned_documents_leave_the_tables(store: Store, tmp_path: Path) -> None:
    _put(store, "a.md", "Otters swim.")
    store.publish(keep=1)
    _put(store, "a.md", "Herons fly.")
    store.publish(keep=1)
    db = sqlite3.connect(tmp_path / "i.sqlite")
    assert db.execute("SELECT text FROM documents").fetchall() == [("Herons fly.",)]
    assert db.execute("SELECT count(*) FROM passages").fetchone() == (1,)
    db.close()


_steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from("abc"), st.integers(0, 3)),
        st.tuples(st.just("publish"), st.sets(st.sampled_from("abc")), st.integers(1, 4)),
        st.tuples(st.just("roll back"), st.just(""), st.integers(1, 6)),
        st.tuples(st.just("purge"), st.sampled_from("abc"), st.just(0)),
    ),
    max_size=16,
)


@settings(max_examples=40, deadline=None)
@given(_steps)
def test_any_history_agrees_with_a_plain_model(tmp_path_factory: pytest.TempPathFactory, steps: list) -> None:
    """The model: a list of whole states. Words, passages and documents always are those of the last one."""
    store = Store(tmp_path_factory.mktemp("s") / "i.sqlite", encoder="hashing", dim=64)
    states: dict[int, dict[str, str]] = {}
    staged: dict[str, str] = {}
    for kind, what, number in steps:
        current = states[max(states)] if states else {}
        if kind == "put":
            staged[what] = _put(store, what, f"Text {number} of word{what}.").text
        elif kind == "publish":
            gone = [s for s in what if s in current and s not in staged]
            if store.publish(gone=gone, keep=number):
                new = {s: t for s, t in current.items() if s not in gone} | staged
                states[store.generations()[0].number] = new
                staged = {}
            states = {n: states[n] for n in sorted(states)[-number:]}
        elif kind == "roll back" and number in sorted(states)[:-1]:
            store.roll_back(number)
            staged = {source: version.file_sha256 for source, version in store.versions(staged=True).items()}
            states = {n: state for n, state in states.items() if n <= number}
        elif kind == "purge":
            store.purge(what)
            staged.pop(what, None)
            for state in states.values():
                state.pop(what, None)
        expected = states[max(states)] if states else {}
        documents, passages = store.snapshot()
        assert {d.source: d.text for d in documents} == expected
        assert {p.passage.source for p in passages} == set(expected)
        assert {g.number: g.documents for g in store.generations()} == {n: len(s) for n, s in states.items()}
        for source in "abc":
            assert _words(store, f"word{source}") == ({source} & set(expected))
    path = store.path
    store.close()
    Store(path).close()  # what opening checks holds as well


def test_purged_text_is_nowhere_in_the_files(store: Store, tmp_path: Path) -> None:
    kept = _put(store, "kept.md", "The otters swim.")
    for n in range(4):
        _put(store, "secret.md", f"The zanzibarine passphrase number {n}. " + "More of it follows here. " * 9)
        store.publish()
    store.publish(gone=["secret.md"])
    path = tmp_path / "i.sqlite"
    needle = b"zanzibarin"  # the stem, as the words table holds it
    assert any(needle in Path(f"{path}{end}").read_bytes().lower() for end in ("", "-wal")), "kept for going back"
    purged = store.purge("secret.md")
    assert (purged.versions, purged.passages > 4, purged.vectors > purged.passages) == (2, True, True)
    for end in ("", "-wal"):
        assert needle not in Path(f"{path}{end}").read_bytes().lower()
    assert store.documents() == [kept]
    assert store.purge("secret.md").versions == 0


@pytest.mark.parametrize(
    ("damage", "names"),
    [
        ("UPDATE documents SET text = replace(text, '30', '90') WHERE source = 'b.md'", "b.md"),
        ("UPDATE documents SET meta = '{}' WHERE source = 'a.md'", "a.md"),
        ("UPDATE passages SET start = start + 1 WHERE rowid = 1", "a.md"),
        ("UPDATE passages SET heading = 'x' WHERE rowid = 1", "a.md"),
        ("UPDATE passages SET vectors = zeroblob(length(vectors)) WHERE rowid = 1", "a.md"),
        ("DELETE FROM passages WHERE rowid = 1; DELETE FROM words WHERE rowid = 1; "
         "UPDATE documents SET passages = passages - 1 WHERE source = 'a.md'", "a.md"),
    ],
)  # fmt: skip
def test_damage_inside_a_sound_file_is_found_when_it_is_loaded(store: Store, damage: str, names: str) -> None:
    _put(store, "a.md", "Otters swim in the river. They dive.")
    _put(store, "b.md", "There are 30 herons.")
    store.publish()
    store.close()
    db = sqlite3.connect(store.path)
    db.executescript(damage)
    db.close()
    damaged = Store(store.path)
    with pytest.raises(IntegrityError, match=rf"{names} does not match.*delete .* and run: groundtone index"):
        damaged.snapshot()
    damaged.close()


def test_a_changed_text_is_not_cited(store: Store) -> None:
    doc = _put(store, "b.md", "There are 30 herons.")
    store.publish()
    with sqlite3.connect(store.path) as db:
        db.execute("UPDATE documents SET text = replace(text, '30', '90')")
    with pytest.raises(IntegrityError, match=r"b\.md does not match"):
        store.document(doc.id)


def test_neighbours_are_the_passages_beside_it(store: Store) -> None:
    _put(store, "a.md", "# A\n\n" + " ".join(f"Sentence number {n} stands here." for n in range(20)))
    _put(store, "b.md", "Alone.")
    store.publish()
    passages = [s.passage for s in store.snapshot()[1]]
    mine = [p for p in passages if p.source == "a.md"]
    assert len(mine) > 3
    for before, at, after in zip([None, *mine], mine, [*mine[1:], None], strict=False):
        beside = store.neighbours(at.id)
        assert (beside.previous, beside.next) == (before, after)
    alone = store.neighbours(passages[-1].id)
    assert (alone.previous, alone.next) == (None, None)
    assert store.neighbours("unknown") == alone


def test_a_block_is_found_by_the_hash_of_what_was_embedded(store: Store) -> None:
    _put(store, "a.md", "Otters swim.")
    ((made, key, vectors),) = store.stored_blocks("a.md")
    assert np.array_equal(store.vectors([key, b"unknown"])[key], vectors)
    assert np.allclose(vectors, _ENCODER.encode(made.embedded()), atol=1e-3)
    assert len(store.vectors([b"unknown"])) == 0


def test_one_vector_per_passage_is_enough(store: Store) -> None:
    doc = Document.of("a.md", "Otters swim. Herons fly.", title="A")
    made = chunk(doc, _ENCODER)
    store.put(doc, made, vectors=[_ENCODER.encode(m.embedded()[:1]) for m in made], version=Version("x", "cut"))
    store.publish()
    (stored,) = store.snapshot()[1]
    assert (stored.vectors.shape, len(stored.sentences)) == ((1, 64), 2)


def test_an_index_that_is_not_there_is_not_made_by_looking(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="no index at"):
        Store(tmp_path / "none.sqlite")
    assert not (tmp_path / "none.sqlite").exists()


def test_an_index_of_the_first_schema_says_how_to_rebuild(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "i.sqlite")
    db.executescript(
        f"PRAGMA application_id = {0x47544958}; CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT);"
        "INSERT INTO meta VALUES('schema', '1')"
    )
    db.close()
    with pytest.raises(IntegrityError, match=r"schema 1, this version reads 2; delete .* groundtone index"):
        Store(tmp_path / "i.sqlite", encoder="hashing", dim=64)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("# Leave\n\nYou have **30** days.", "Leave\n=====\n\nYou have 30\ndays.\n", True),
        ("---\ntitle: x\n---\nLeave", "Leave", True),
        ("You have 30 days.", "You have 31 days.", False),
        ("It costs €5.", "It costs $5.", False),
        ("At -5 °C.", "At 5 °C.", False),
        ("A rise of 5 %.", "A rise of 5.", False),
        ("10.5 days", "105 days", False),
        ("Section 1. 5 days", "Section 15 days", False),
    ],
)
def test_documents_say_the_same_or_not(one: str, other: str, same: bool) -> None:
    assert (likeness(one) == likeness(other)) == same


def test_only_the_newest_index_is_read_by_searches(index: Index, folder: Path) -> None:
    (folder / "delivery.md").write_text("# Delivery\n\nBy boat only.\n")
    index.update(folder)
    assert not any("courier" in hit.passage.text for hit in index.search("courier", k=9))

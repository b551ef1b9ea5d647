"""What went wrong when LangChain's FAISS store with its `index()` was tried, each turned into what must hold here."""

from __future__ import annotations

import os
import pickle
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from groundtone.errors import IntegrityError
from retrieval.index import Index
from retrieval.store import Store
from tests.retrieval.hashing_encoder import HashingEncoder

ROOT = Path(__file__).resolve().parents[2]


def _found(index: Index, query: str, *, k: int = 9) -> list[str]:
    return [hit.passage.text for hit in index.search(query, k=k)]


def test_indexing_twice_makes_no_duplicates_and_a_copy_is_named(index: Index, folder: Path) -> None:
    before = index.passages()
    assert index.update(folder, full=True).read == 0
    assert index.passages() == before
    (folder / "copy.txt").write_text((folder / "returns.txt").read_text())
    assert index.update(folder).duplicates == (("copy.txt", "returns.txt"),)


def test_an_access_filter_that_keeps_one_percent_still_returns_k(tmp_path: Path, encoder: HashingEncoder) -> None:
    root = tmp_path / "documents"
    root.mkdir()
    for n in range(500):
        mark = "---\ngroups: [board]\n---\n" if n % 100 == 0 else "---\ngroups: [others]\n---\n"
        (root / f"{n}.md").write_text(f"{mark}# Page {n}\n\nThe otter number {n} swims in river {n % 7}.\n")
    with Index.open(tmp_path / "i.sqlite", encoder=encoder) as index:
        index.update(root)
        for n in range(0, 50, 5):
            hits = index.search(f"otter number {n} in river {n % 7}", k=5, groups=["board"])
            assert len(hits) == 5
            assert all(int(Path(hit.passage.source).stem) % 100 == 0 for hit in hits)


_DIES = """
import os, signal, sys
from pathlib import Path
from retrieval.index import Index
from tests.retrieval.hashing_encoder import HashingEncoder
index = Index.open(Path(sys.argv[1]), encoder=HashingEncoder())
def die(stage, done, total):
    if done == 2:
        os.kill(os.getpid(), signal.SIGKILL)
index.update(Path(sys.argv[2]), progress=die)
"""


def test_a_crash_before_the_end_leaves_no_record_of_work_that_is_not_there(
    tmp_path: Path, folder: Path, encoder: HashingEncoder
) -> None:
    path = tmp_path / "i.sqlite"
    command = [sys.executable, "-c", _DIES, str(path), str(folder)]
    died = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
    assert died.returncode == -signal.SIGKILL
    with Index.open(path, encoder=encoder) as index:
        assert (index.documents(), index.passages(), _found(index, "parcel")) == ([], [], [])
        report = index.update(folder)
        assert (report.unchanged, report.read) == (0, 3), "nothing is 'skipped' over an empty index"
        assert any("Parcel" in text for text in _found(index, "parcel price"))


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
def test_a_torn_file_is_refused(tmp_path: Path, folder: Path, encoder: HashingEncoder, kept: float) -> None:
    path = tmp_path / "i.sqlite"
    with Index.open(path, encoder=encoder) as index:
        index.update(folder)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(IntegrityError, match="groundtone index"), Index.open(path, encoder=encoder) as index:
        index.search("parcel", k=1)


def test_a_save_torn_inside_sound_pages_is_refused(tmp_path: Path, folder: Path, encoder: HashingEncoder) -> None:
    path = tmp_path / "i.sqlite"
    with Index.open(path, encoder=encoder) as index:
        index.update(folder)
    with sqlite3.connect(path) as db:
        db.execute("UPDATE passages SET vectors = zeroblob(length(vectors)) WHERE rowid = 2")
    with pytest.raises(IntegrityError, match="checksum"), Index.open(path, encoder=encoder) as index:
        index.search("parcel", k=1)


def test_nothing_is_unpickled(
    tmp_path: Path, folder: Path, encoder: HashingEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> object:
        raise AssertionError("unpickled")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    path = tmp_path / "i.sqlite"
    with Index.open(path, encoder=encoder) as index:
        index.update(folder)
    with Index.open(path, encoder=encoder) as index:
        assert _found(index, "parcel")
    for file in tmp_path.glob("i.sqlite*"):
        assert not file.read_bytes().startswith(b"\x80"), "a pickle begins so"
    assert path.read_bytes().startswith(b"SQLite format 3\x00")


def test_a_changed_file_leaves_none_of_its_old_passages(index: Index, folder: Path) -> None:
    (folder / "returns.txt").write_text("Returns\n\nA bike can be returned within 99 days of delivery.\n")
    index.update(folder)
    texts = [p.text for p in index.passages() if p.source == "returns.txt"]
    assert texts == ["Returns", "A bike can be returned within 99 days of delivery."] or all(
        "30" not in t for t in texts
    )
    assert not any("returned within 30 days" in text for text in _found(index, "bike returned within 30 days"))


def test_a_deleted_file_is_gone_from_words_and_vectors(tmp_path: Path, index: Index, folder: Path) -> None:
    (folder / "delivery.md").unlink()
    assert index.update(folder).gone == ("delivery.md",)
    assert not any("ourier" in text for text in _found(index, "courier price of a parcel"))
    store = Store(tmp_path / "index.sqlite")
    assert len(store.term_scores('"courier"')[0]) == 0
    assert "courier" not in store.postings().numbers
    store.close()


def test_a_store_that_was_emptied_is_filled_again(tmp_path: Path, folder: Path, encoder: HashingEncoder) -> None:
    path = tmp_path / "i.sqlite"
    with Index.open(path, encoder=encoder) as index:
        index.update(folder)
    with Index.open(path, encoder=encoder, rebuild=True) as index:
        report = index.update(folder)
        assert (report.read, report.unchanged) == (3, 0), "what was indexed is recorded in the store itself"
        assert _found(index, "parcel")

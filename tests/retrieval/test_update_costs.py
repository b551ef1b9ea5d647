"""What an update does not do again, and what it says of files that were read in part."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from groundtone.errors import DocumentError, ProjectError
from groundtone.types import Document
from retrieval.locking import writer_lock
from retrieval.store import Store
from retrieval.update import IndexReport, update_store
from tests.retrieval.hashing_encoder import HashingEncoder

Update = Callable[..., IndexReport]


@pytest.fixture
def update(store: Store, encoder: HashingEncoder, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Update:
    monkeypatch.setattr("retrieval.update._RACY_NS", 0)
    return lambda **options: update_store(store, encoder, folder, **options)


@pytest.fixture
def slow(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Has files called scan.txt fail after longer than a moment; returns the names of those that were read."""
    read: list[str] = []
    monkeypatch.setattr("retrieval.update._SLOW_S", 0.01)
    (folder / "scan.txt").write_text("x")

    def load(path: Path, root: Path, *, max_file_mb: int) -> Document:
        read.append(path.name)
        if path.name == "scan.txt":
            time.sleep(0.02)
            raise DocumentError("scan.txt: reading took more than the limit")
        return Document.of(path.relative_to(root).as_posix(), path.read_text())

    monkeypatch.setattr("retrieval.reading.load", load)
    return read


def test_a_file_that_takes_long_to_fail_is_not_tried_again_in_vain(
    update: Update, folder: Path, slow: list[str]
) -> None:
    assert [f.reason for f in update().failed] == ["reading took more than the limit"]
    slow.clear()
    (failure,) = update().failed
    assert (slow, failure.source) == ([], "scan.txt")
    assert "not tried again until it changes, or with --full" in failure.reason
    assert len(update(max_seconds=120).failed) == len(slow) == 1, "another limit"
    assert len(update(max_seconds=120, full=True).failed) == 1
    (folder / "scan.txt").write_text("xy")
    update(max_seconds=120)
    assert slow == ["scan.txt"] * 3
    (folder / "scan.txt").unlink()
    assert update().failed == ()


def test_a_file_above_the_limit_is_not_read_for_its_hash(
    update: Update, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "dump.csv").write_bytes(b"a,b\n" * 300_000)
    monkeypatch.setattr(
        "retrieval.update.sha256_file", lambda path: pytest.fail("read") if path.stem == "dump" else "1"
    )
    (failure,) = update(max_file_mb=1).failed
    assert "above the limit of 1 MB" in failure.reason


def test_what_a_file_was_read_without_is_told(update: Update, folder: Path) -> None:
    (folder / "mail.eml").write_text(
        "From: a@b.c\nSubject: Plan\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=X\n\n"
        "--X\nContent-Type: text/plain\n\nSee the plan.\n"
        "--X\nContent-Type: image/png\nContent-Disposition: attachment; filename=plan.png\n\nx\n--X--\n"
    )
    (told,) = update().partial
    assert (told.source, told.reason) == (
        "mail.eml",
        "read without: attachment plan.png: files of kind '.png' are not read",
    )
    assert update().partial == ()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_the_lock_is_held_on_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / "i.sqlite.lock").symlink_to("/dev/full")
    with (
        writer_lock(tmp_path / "i.sqlite"),
        pytest.raises(ProjectError, match="is being written"),
        writer_lock(tmp_path / "i.sqlite", wait_s=0),
    ):
        raise AssertionError("two writers at once")

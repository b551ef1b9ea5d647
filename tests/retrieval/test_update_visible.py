"""What an update must take out of sight, and what it must leave there."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from groundtone.errors import DocumentError
from groundtone.files import sha256_file
from retrieval.forgotten import bury, read_tombstones
from retrieval.store import Store
from retrieval.update import IndexReport, update_store
from tests.retrieval.hashing_encoder import HashingEncoder

Update = Callable[..., IndexReport]


@pytest.fixture
def update(store: Store, encoder: HashingEncoder, folder: Path) -> Update:
    return lambda **options: update_store(store, encoder, folder, **options)


@pytest.fixture
def unlisted(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes folders of that name fail to list, as a share does that is away for a moment."""
    scandir = os.scandir

    def fail(name: str) -> None:
        def failing(path: Path) -> object:
            if Path(path).name == name:
                raise PermissionError(13, "Permission denied", str(path))
            return scandir(path)

        monkeypatch.setattr("retrieval.loaders.os.scandir", failing)

    return fail


@pytest.mark.parametrize("length", [1, 200_000], ids=["read here", "read in the worker"])
def test_a_document_that_no_longer_tells_its_readers_goes_and_comes_back_mended(
    store: Store, update: Update, folder: Path, length: int
) -> None:
    path, text = folder / "people" / "leave.md", "# Leave\n\n" + "Everyone has 30 days. " * length
    update()
    path.write_text(f"---\ntitle: Leave: days\ngroups: [hr]\n---\n{text}")
    report = update()
    assert "people/leave.md" not in store.versions()
    assert (report.gone, report.removed) == (("people/leave.md",), 1)
    (failure,) = report.failed
    assert not failure.skipped
    assert "shown to nobody" in failure.reason
    assert "stays in the index" not in failure.reason
    assert len(update().failed) == 1, "it is told again"
    path.write_text(f"---\ntitle: Leave\ngroups: [hr]\n---\n{text}")
    update()
    assert store.document_at("people/leave.md").meta["groups"] == ["hr"]  # type: ignore[union-attr]


PAY = "# Pay\n\nBand seven earns 91000 euros a year.\n"


def test_going_back_shows_no_version_of_a_document_that_is_refused(store: Store, update: Update, folder: Path) -> None:
    path = folder / "people" / "pay.md"
    path.write_text(PAY)
    update()
    (folder / "returns.txt").write_text("Returns\n\nWithin 20 days.\n")
    path.write_text(f"---\ntitle: Pay: bands\ngroups: [hr]\n---\n{PAY}")
    update()
    assert [g.documents for g in store.generations()] == [3, 3]
    store.roll_back()
    assert "people/pay.md" not in store.versions()
    assert "30 days" in store.document_at("returns.txt").text  # type: ignore[union-attr]
    path.write_text(f"---\ntitle: Pay\ngroups: [hr]\n---\n{PAY}")
    update()
    assert store.document_at("people/pay.md").meta["groups"] == ["hr"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        ("", "groups: [hr]", "now"),
        ("groups: [hr, board]", "groups: [hr]", "now"),
        ("groups: [hr]", "groups: [hr, board]", "then"),
        ("groups: [hr]", "", "then"),
    ],
)
def test_going_back_gives_nobody_the_right_to_read(
    store: Store, update: Update, folder: Path, before: str, after: str, shown: str
) -> None:
    path = folder / "people" / "pay.md"
    for number, (readers, when) in enumerate(((before, "then"), (after, "now"), (after, "later"))):
        path.write_text(f"---\ntitle: Pay\n{readers}\n---\n# Pay\n\nBand seven earns 91000 euros {when}.\n")
        (folder / "returns.txt").write_text(f"Returns\n\nWithin {number} days.\n")
        update()
    first = store.generations()[-1].number
    assert store.roll_back(first) == first
    text = store.document_at("people/pay.md").text  # type: ignore[union-attr]
    assert text.endswith("then.\n" if shown == "then" else "later.\n")
    assert "Within 0 days" in store.document_at("returns.txt").text  # type: ignore[union-attr]
    assert [g.documents for g in store.generations()] == [4]
    report = update()
    assert (report.read, report.embedded) == (2 if shown == "then" else 1, 0)
    assert store.document_at("people/pay.md").text.endswith("later.\n")  # type: ignore[union-attr]
    assert update().unchanged == 4


def test_a_file_that_cannot_be_read_for_another_reason_stays(store: Store, update: Update, folder: Path) -> None:
    update()
    (folder / "returns.txt").write_bytes(b"")
    (failure,) = update().failed
    assert "stays in the index" in failure.reason
    assert "returns.txt" in store.versions()


def test_a_copy_of_a_forgotten_document_goes_though_its_file_was_not_touched(
    store: Store, update: Update, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.update._RACY_NS", 0)
    (folder / "people" / "copy.txt").write_bytes((folder / "returns.txt").read_bytes())
    update()
    bury(store.path, "returns.txt", file_sha256=sha256_file(folder / "returns.txt"))
    store.purge("returns.txt")
    report = update()
    assert set(store.versions()) == {"delivery.md", "people/leave.md"}
    assert {skipped.source for skipped in report.skipped} == {"returns.txt", "people/copy.txt"}


def test_tombstones_keep_earlier_bytes_out_too(store: Store, update: Update, folder: Path) -> None:
    earlier = sha256_file(folder / "returns.txt")
    bury(store.path, "gone.txt", file_sha256="1", earlier=[earlier, ""])
    assert read_tombstones(store.path)["gone.txt"].hashes == {"1", earlier}
    bury(store.path, "gone.txt", file_sha256="2")
    assert read_tombstones(store.path)["gone.txt"].hashes == {"1", "2", earlier}
    assert [skipped.source for skipped in update().skipped] == ["returns.txt"]


def test_documents_of_a_folder_that_cannot_be_listed_stay(
    store: Store, update: Update, folder: Path, unlisted: Callable[[str], None]
) -> None:
    (folder / "people-2.md").write_text("# People\n\nNobody is here.\n")
    update()
    (folder / "people-2.md").unlink()
    unlisted("people")
    report = update()
    assert report.gone == ("people-2.md",), "a name that only begins like the folder's"
    assert "people/leave.md" in store.versions()
    (failure,) = report.failed
    assert (failure.source, failure.folder, failure.skipped) == ("people", True, False)
    assert "stays" in failure.reason


def test_a_root_that_cannot_be_listed_or_holds_hidden_files_alone_removes_nothing(
    store: Store, update: Update, folder: Path, unlisted: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    update()
    before = store.versions()
    for path in [p for p in folder.rglob("*") if p.is_file()]:
        path.unlink()
    (folder / ".DS_Store").write_text("x")
    with pytest.raises(DocumentError, match="is empty"):
        update()
    unlisted(folder.name)
    with pytest.raises(DocumentError, match="cannot be read"):
        update()
    monkeypatch.chdir(folder.parent)
    with pytest.raises(DocumentError, match=re.escape(folder.name)):
        update_store(store, HashingEncoder(), Path(folder.name))
    assert store.versions() == before


def test_forgotten_files_are_told_apart_in_linear_time(
    store: Store, update: Update, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each listed file is asked for its name some times, not once per other file."""
    for number in range(200):
        (folder / f"{number}.md").write_text(f"# {number}\n\nText {number} is here.\n")
    update()
    hashed = 0
    hash_of = type(folder).__hash__

    def counting(self: Path) -> int:
        nonlocal hashed
        hashed += 1
        return hash_of(self)

    monkeypatch.setattr(type(folder), "__hash__", counting)
    update()
    assert hashed < 20 * 200

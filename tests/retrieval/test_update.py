from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from groundtone.errors import DocumentError, GroundtoneError, ProjectError
from retrieval.locking import writer_lock
from retrieval.store import Store
from retrieval.update import IndexReport, update_store
from retrieval.watch import watch
from tests.retrieval.hashing_encoder import HashingEncoder

Update = Callable[..., IndexReport]
_LONG_AGO = time.time() - 100_000


@pytest.fixture
def update(store: Store, encoder: HashingEncoder, folder: Path) -> Update:
    """An update of the three documents; forgets what the encoder was given before."""

    def run(**options: object) -> IndexReport:
        encoder.encoded.clear()
        return update_store(store, encoder, folder, **options)  # type: ignore[arg-type]

    return run


def _page(changed: int | None = None) -> str:
    parts = [f"## Part {n}\n\nSentence one of {n}. Sentence two of {n}." for n in range(8)]
    if changed is not None:
        parts[changed] = parts[changed].replace("Sentence two", "A new sentence two")
    return "# Page\n\n" + "\n\n".join(parts) + "\n"


def test_only_what_changed_in_a_changed_file_is_embedded(
    store: Store, update: Update, folder: Path, encoder: HashingEncoder
) -> None:
    (folder / "page.md").write_text(_page())
    update()
    (folder / "page.md").write_text(_page(changed=3))
    report = update()
    assert (report.read, report.changed, report.embedded, report.reused) == (1, ("page.md",), 1, 7)
    assert sorted(encoder.encoded) == [
        "Page > Part 3: A new sentence two of 3.",
        "Page > Part 3: Sentence one of 3. A new sentence two of 3.",
    ]
    for stored in store.snapshot()[1]:
        texts = [f"{stored.passage.heading}: {stored.passage.text[a:b]}" for a, b in stored.sentences]
        if stored.passage.source == "page.md":
            assert np.allclose(stored.vectors[1:], encoder.encode(texts), atol=1e-3), "each text has its own vector"


def test_a_renamed_or_copied_file_embeds_nothing(update: Update, folder: Path, encoder: HashingEncoder) -> None:
    (folder / "page.md").write_text(_page())
    update()
    (folder / "page.md").rename(folder / "renamed.md")
    (folder / "copy.md").write_text(_page())
    report = update()
    assert (report.read, report.embedded, report.reused, encoder.encoded) == (2, 0, 16, [])
    assert report.gone == ("page.md",)
    assert report.renamed in ((("page.md", "renamed.md"),), (("page.md", "copy.md"),))
    assert report.duplicates == (("copy.md", "renamed.md"),)


def test_a_text_that_came_back_embeds_nothing(update: Update, folder: Path, encoder: HashingEncoder) -> None:
    before = (folder / "returns.txt").read_text()
    update()
    (folder / "returns.txt").write_text("Returns\n\nNever.\n")
    assert update().embedded == 1
    (folder / "returns.txt").write_text(before)
    assert (update().embedded, encoder.encoded) == (0, [])


def test_sentence_vectors_can_be_switched_off_and_on(store: Store, update: Update, encoder: HashingEncoder) -> None:
    update()
    report = update(sentence_vectors=False)
    assert (report.read, report.unchanged, encoder.encoded) == (3, 0, []), "the passages' own vectors are known"
    assert {len(s.vectors) for s in store.snapshot()[1]} == {1}
    assert update(sentence_vectors=False).unchanged == 3
    update()
    assert all(len(s.vectors) == 1 + len(s.sentences) for s in store.snapshot()[1])


def test_another_encoder_reuses_nothing(tmp_path: Path, folder: Path) -> None:
    other = HashingEncoder(name="other")
    store = Store(tmp_path / "other.sqlite", encoder="other", dim=64)
    report = update_store(store, other, folder)
    assert report.embedded == report.passages == len(store.snapshot()[1])
    store.close()


def test_many_small_files_are_encoded_together(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch, update: Update, encoder: HashingEncoder
) -> None:
    calls: list[int] = []
    encode = encoder.encode
    monkeypatch.setattr(encoder, "encode", lambda texts: (calls.append(len(texts)), encode(texts))[1])
    for n in range(30):
        (folder / f"{n}.md").write_text(f"# File {n}\n\nOnly sentence of {n}.")
    report = update()
    assert report.read == 33
    assert len(calls) == 1
    assert calls[0] == len(set(encoder.encoded)), "a passage of one sentence is encoded once"


def _age(folder: Path) -> None:
    """Set all modification times back; the times of the last change of state stay those of now."""
    for path in folder.rglob("*.*"):
        os.utime(path, (_LONG_AGO, _LONG_AGO))


@pytest.fixture
def no_racy_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if some seconds had passed since the files were written."""
    monkeypatch.setattr("retrieval.update._RACY_NS", 0)


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files whose bytes were read to be compared."""
    from retrieval import update as module

    seen: list[str] = []
    hash_of = module.sha256_file
    monkeypatch.setattr(module, "sha256_file", lambda path: (seen.append(path.name), hash_of(path))[1])
    return seen


def test_a_file_that_was_not_touched_is_not_read(
    no_racy_files: None, hashed: list[str], update: Update, folder: Path
) -> None:
    update()
    hashed.clear()
    assert update().unchanged == 3
    assert hashed == []
    assert update(full=True).unchanged == 3
    assert sorted(hashed) == ["delivery.md", "leave.md", "returns.txt"]
    hashed.clear()
    _age(folder)
    assert update().unchanged == 3
    assert len(hashed) == 3, "touched: compared"
    assert (update().unchanged, len(hashed)) == (3, 3), "and its new times are known now"


def test_a_change_that_keeps_size_and_modification_time_is_seen(
    no_racy_files: None, update: Update, folder: Path, store: Store
) -> None:
    path = folder / "returns.txt"
    _age(folder)
    update()
    path.write_text(path.read_text().replace("30 days", "14 days"))
    _age(folder)
    assert update().changed == ("returns.txt",)
    assert any("14 days" in doc.text for doc in store.documents())


def test_a_file_written_a_moment_ago_is_compared_by_its_bytes(hashed: list[str], update: Update) -> None:
    update()
    hashed.clear()
    assert update().unchanged == 3
    assert len(hashed) == 3, "another write within the clock's grain would leave size and time as they are"


def test_a_file_that_vanishes_while_it_is_read_is_gone_not_failed(
    update: Update, folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from retrieval import update as module

    update()
    hash_of = module.sha256_file

    def vanish(path: Path) -> str:
        if path.name == "returns.txt":
            path.unlink()
        return hash_of(path)

    monkeypatch.setattr(module, "sha256_file", vanish)
    report = update()
    assert (report.gone, report.failed, report.unchanged) == (("returns.txt",), (), 2)
    assert "returns.txt" not in store.versions()


def test_a_stopped_update_shows_nothing_and_goes_on_where_it_was(
    store: Store, update: Update, folder: Path, encoder: HashingEncoder
) -> None:
    update()
    before = store.snapshot()[0]
    for path in folder.rglob("*.*"):
        path.write_text(f"# New\n\nNew text of {path.name}.\n")

    def stop(stage: str, done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        update(progress=stop)
    assert store.snapshot()[0] == before
    assert len(store.versions(staged=True)) == 2
    report = update()
    assert (report.read, report.embedded) == (3, 1)
    assert all("New text" in doc.text for doc in store.documents())
    assert store.versions(staged=True) == {}


def test_what_was_staged_for_a_file_that_went_is_not_published(store: Store, update: Update, folder: Path) -> None:
    def stop(stage: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        update(progress=stop)
    (staged,) = store.versions(staged=True)
    (folder / staged).unlink()
    report = update()
    assert staged not in store.versions()
    assert (report.read, report.removed, store.versions(staged=True)) == (2, 0, {})


def test_after_going_back_an_update_goes_forward_without_encoding(
    store: Store, update: Update, folder: Path, encoder: HashingEncoder
) -> None:
    update()
    (folder / "returns.txt").unlink()
    (folder / "new.md").write_text("# Kettle\n\nThe kettle is descaled on Mondays.\n")
    after = update()
    state = store.snapshot()[0]
    store.roll_back()
    assert "returns.txt" in store.versions()
    assert "new.md" not in store.versions()
    again = update()
    assert (store.snapshot()[0], encoder.encoded) == (state, [])
    assert again.generation > after.generation


def test_generations_kept_follow_the_option(store: Store, update: Update, folder: Path) -> None:
    for n in range(4):
        (folder / "returns.txt").write_text(f"Returns\n\nWithin {n} days.\n")
        update(keep_generations=2)
    assert [g.number for g in store.generations()] == [4, 3]


def test_an_update_that_finds_nothing_new_makes_no_generation(store: Store, update: Update) -> None:
    assert [update().generation, update().generation, update(full=True).generation] == [1, 1, 1]
    assert store.change_count() == 1


def _hold(path: Path, held: multiprocessing.synchronize.Event, free: multiprocessing.synchronize.Event) -> None:
    with writer_lock(path):
        held.set()
        free.wait(60)


@pytest.fixture
def other_writer(store: Store) -> Iterator[Callable[[], None]]:
    """Another process that writes the index; called, it ends."""
    context = multiprocessing.get_context("spawn")
    held, free = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(store.path, held, free))
    process.start()
    assert held.wait(60)
    yield free.set
    free.set()
    process.join()


def test_of_two_updates_at_once_one_waits_and_says_so(
    store: Store, update: Update, other_writer: Callable[[], None]
) -> None:
    said: list[str] = []

    def progress(stage: str, done: int, total: int) -> None:
        said.append(stage)
        other_writer()

    assert update(progress=progress).read == 3
    assert said[0].startswith("waiting for process ")
    assert said[1:] == ["index"] * 3


def test_going_back_and_purging_do_not_wait(store: Store, other_writer: Callable[[], None]) -> None:
    with pytest.raises(ProjectError, match=r"being written by process \d+"):
        store.roll_back()
    with pytest.raises(ProjectError, match="being written"):
        store.purge("a.md")


def test_the_lock_of_a_process_that_died_is_free(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held, free = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(tmp_path / "i.sqlite", held, free))
    process.start()
    assert held.wait(60)
    process.kill()
    process.join()
    with writer_lock(tmp_path / "i.sqlite", wait_s=5):
        assert (tmp_path / "i.sqlite.lock").read_text() == str(os.getpid())


def _watching(
    folder: Path, update: Callable[[], IndexReport], **options: float
) -> tuple[list[object], Callable[[], None]]:
    """Watch in a thread: what was reported, and how to end it."""
    heard: list[object] = []
    stop = threading.Event()
    thread = threading.Thread(
        target=watch,
        args=(folder, update),
        kwargs={
            "report": heard.append,
            "failed": heard.append,
            "stop": stop,
            "interval_s": 0.01,
            "settle_s": 0.01,
            **options,
        },
    )
    thread.start()

    def end() -> None:
        stop.set()
        thread.join()

    return heard, end


def _until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def test_watching_updates_at_once_and_after_each_change(update: Update, folder: Path) -> None:
    heard, end = _watching(folder, update)
    try:
        assert _until(lambda: len(heard) == 1)
        (folder / "new.md").write_text("# New\n\nText.\n")
        assert _until(lambda: len(heard) == 2)
        (folder / "new.md").unlink()
        assert _until(lambda: len(heard) == 3)
    finally:
        end()
    reports = [report for report in heard if isinstance(report, IndexReport)]
    assert [(r.read, r.removed) for r in reports] == [(3, 0), (1, 0), (0, 1)]


def test_watching_survives_errors_and_tries_again(folder: Path) -> None:
    outcomes = iter([DocumentError("first"), OSError("second"), IndexReport(1, 0, 0, 1)])

    def update() -> IndexReport:
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    heard, end = _watching(folder, update, retry_s=0.02)
    try:
        assert _until(lambda: len(heard) == 3)
    finally:
        end()
    assert [type(h) for h in heard] == [DocumentError, OSError, IndexReport]


def test_watching_a_folder_that_is_gone_says_so_and_goes_on_when_it_is_back(update: Update, folder: Path) -> None:
    away = folder.with_name("away")
    folder.rename(away)
    heard, end = _watching(folder, update)
    try:
        assert _until(lambda: len(heard) == 1)
        away.rename(folder)
        assert _until(lambda: len(heard) == 2)
    finally:
        end()
    assert isinstance(heard[0], GroundtoneError)
    assert isinstance(heard[1], IndexReport)

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from groundtone.errors import DataError, DocumentError, IntegrityError, ProjectError
from retrieval.config import RetrievalConfig
from retrieval.index import Index
from tests.retrieval.hashing_encoder import HashingEncoder

ROOT = Path(__file__).resolve().parent.parent.parent


def _sources(index: Index, query: str) -> list[str]:
    return [hit.passage.source for hit in index.search(query, k=3)]


def test_an_update_reads_only_what_changed(index: Index, folder: Path, encoder: HashingEncoder) -> None:
    encoder.encoded.clear()
    before = index.content_hash()
    report = index.update(folder)
    assert (report.read, report.unchanged, report.removed) == (0, 3, 0)
    assert encoder.encoded == []
    assert index.content_hash() == before

    (folder / "returns.txt").write_text("Returns\n\nA bike can be returned within 99 days of delivery.\n")
    (folder / "people" / "leave.md").unlink()
    (folder / "new.md").write_text("# Kettle\n\nThe kettle is descaled on Mondays.\n")
    report = index.update(folder)
    assert (report.read, report.unchanged, report.removed) == (2, 1, 1)
    assert index.documents() == ["delivery.md", "new.md", "returns.txt"]
    assert index.content_hash() != before
    assert "99 days" in index.search("returned bike days", k=1)[0].passage.text
    assert _sources(index, "kettle Mondays")[0] == "new.md"
    assert "people/leave.md" not in _sources(index, "days of leave")


def test_an_updated_index_equals_a_fresh_one(
    tmp_path: Path, index: Index, folder: Path, encoder: HashingEncoder
) -> None:
    (folder / "delivery.md").write_text("# Delivery\n\nBy boat only.\n")
    index.update(folder)
    with Index.open(tmp_path / "fresh.sqlite", encoder=encoder) as fresh:
        fresh.update(folder)
        assert fresh.passages() == index.passages()
        assert fresh.content_hash() == index.content_hash()
        for query in ("boat delivery", "days of leave", "bike"):
            assert fresh.search(query, k=9) == index.search(query, k=9)


def test_another_chunk_size_cuts_everything_again(index: Index, folder: Path) -> None:
    before = index.content_hash()
    assert index.update(folder, chunk_tokens=32).read == 3
    assert index.content_hash() != before
    assert index.update(folder, chunk_tokens=32).unchanged == 3


def test_passages_stand_in_their_documents(index: Index) -> None:
    for passage in index.passages():
        assert index.document(passage.doc_id).text[passage.start : passage.end] == passage.text
    with pytest.raises(DataError, match="no document"):
        index.document("gone")


def test_a_failed_file_is_reported_and_its_earlier_version_stays(index: Index, folder: Path) -> None:
    (folder / "delivery.md").write_bytes(b"")
    (folder / "bad.pdf").write_bytes(b"%PDF-1.7 broken")
    report = index.update(folder)
    reasons = {f.source: f.reason for f in report.failed}
    assert set(reasons) == {"delivery.md", "bad.pdf"}
    assert "stays in the index" in reasons["delivery.md"]
    assert _sources(index, "courier price")[0] == "delivery.md"
    assert report.unchanged == 2


def test_a_missing_folder_removes_nothing(index: Index, folder: Path) -> None:
    with pytest.raises(DocumentError, match="does not exist"):
        index.update(folder / "gone")
    assert len(index.documents()) == 3


def test_progress_counts_every_file(index: Index, folder: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    index.update(folder, progress=lambda *call: calls.append(call))
    assert calls == [("index", n, 3) for n in (1, 2, 3)]


def test_ctrl_c_leaves_what_was_done(tmp_path: Path, folder: Path, encoder: HashingEncoder) -> None:
    def stop(stage: str, done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with Index.open(tmp_path / "i.sqlite", encoder=encoder) as index:
        with pytest.raises(KeyboardInterrupt):
            index.update(folder, progress=stop)
        assert index.documents() == [], "nobody sees a part of an update"
        encoder.encoded.clear()
        index.update(folder)
        assert len(index.documents()) == 3
        assert not any("Parcel" in text for text in encoder.encoded), "what was done before was not done again"
        assert index.search("parcel", k=1)


_KILLED = """
import sys, time
from pathlib import Path
from retrieval.index import Index
from tests.retrieval.hashing_encoder import HashingEncoder
index = Index.open(Path(sys.argv[1]), encoder=HashingEncoder())
for round in range(10_000):
    for n in range(8):
        Path(sys.argv[2], f"{n}.md").write_text(f"# Page {n}\\n\\n" + f"Round {round} of page {n}. " * 40)
    index.update(Path(sys.argv[2]))
    print(round, flush=True)
"""


_TOGETHER = """
import sys
from pathlib import Path
from retrieval.index import Index
from tests.retrieval.hashing_encoder import HashingEncoder
with Index.open(Path(sys.argv[1]), encoder=HashingEncoder()) as index:
    print("ready", flush=True)
    sys.stdin.readline()
    report = index.update(Path(sys.argv[2]))
    print(report.read, len(report.failed), flush=True)
"""


def test_of_two_processes_that_index_one_folder_one_does_the_work(tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "i.sqlite"
    children = [
        subprocess.Popen(
            [sys.executable, "-c", _TOGETHER, str(path), str(folder)], cwd=ROOT, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for _ in range(2)
    ]  # fmt: skip
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    said = sorted(child.communicate(timeout=120)[0].strip() for child in children)
    assert said == ["0 0", "3 0"]
    with Index.open(path, encoder=HashingEncoder()) as index:
        assert len(index.documents()) == 3
        assert index.update(folder).read == 0


@pytest.mark.parametrize("delay_s", [0.02, 0.11])
def test_kill_in_the_middle_of_an_update_leaves_whole_documents(tmp_path: Path, delay_s: float) -> None:
    path, root = tmp_path / "i.sqlite", tmp_path / "d"
    root.mkdir()
    child = subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(path), str(root)], cwd=ROOT, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert child.stdout is not None
    child.stdout.readline()
    time.sleep(delay_s)
    child.send_signal(signal.SIGKILL)
    child.wait()
    with Index.open(path, encoder=HashingEncoder()) as index:
        assert len(index.documents()) == 8
        for passage in index.passages():
            rounds = {s.split()[1] for s in passage.text.split(". ") if s.startswith("Round")}
            assert len(rounds) == 1, "a document is of one version"
            assert index.document(passage.doc_id).text[passage.start : passage.end] == passage.text
        assert len(index.search("round of page 3", k=5)) == 5
        for n in range(8):
            (root / f"{n}.md").write_text(f"# Page {n}\n\nAt rest.")
        assert index.update(root).passages == 8


def test_a_reader_sees_what_another_connection_committed(tmp_path: Path, index: Index, folder: Path) -> None:
    with Index.open(tmp_path / "index.sqlite", encoder=HashingEncoder()) as reader:
        assert _sources(reader, "parcel courier")[0] == "delivery.md"
        (folder / "delivery.md").unlink()
        index.update(folder)
        assert "delivery.md" not in _sources(reader, "parcel courier")


def test_threads_may_search_while_another_updates(index: Index, folder: Path) -> None:
    failures: list[BaseException] = []

    def search() -> None:
        try:
            for _ in range(40):
                for hit in index.search("days of leave for a bike", k=5):
                    assert hit.passage.text
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for n in range(10):
        (folder / "people" / "leave.md").write_text(f"# Leave\n\nEveryone has {n} days of leave per year.\n")
        index.update(folder)
    for thread in threads:
        thread.join()
    assert failures == []


def test_an_index_of_another_encoder_is_refused_and_can_be_rebuilt(tmp_path: Path, index: Index, folder: Path) -> None:
    index.close()
    other = HashingEncoder(name="other")
    with pytest.raises(ProjectError, match=r"'hashing'.*'other'.*groundtone index"):
        Index.open(tmp_path / "index.sqlite", encoder=other)
    with Index.open(tmp_path / "index.sqlite", encoder=other, rebuild=True) as rebuilt:
        assert rebuilt.search("bike", k=1) == []
        assert rebuilt.update(folder).read == 3


def test_damaged_and_foreign_files_are_refused(tmp_path: Path, folder: Path, encoder: HashingEncoder) -> None:
    path = tmp_path / "i.sqlite"
    with Index.open(path, encoder=encoder) as index:
        index.update(folder)
    whole = path.read_bytes()

    def opens(data: bytes) -> None:
        path.write_bytes(data)
        Index.open(path, encoder=encoder)

    for broken in (
        b"no database at all " * 100,
        whole[: len(whole) // 2],
        whole[:4096] + b"\xff" * (len(whole) - 4096),
    ):
        with pytest.raises(IntegrityError, match="groundtone index"):
            opens(broken)

    path.write_bytes(whole)
    db = sqlite3.connect(path)
    db.execute("UPDATE passages SET vectors = substr(vectors, 3) WHERE rowid = 1")
    db.commit()
    db.close()
    with pytest.raises(IntegrityError, match="1 passages lack vectors"):
        Index.open(path, encoder=encoder)

    path.write_bytes(whole)
    db = sqlite3.connect(path)
    db.execute("UPDATE meta SET value = '99' WHERE key = 'schema'")
    db.commit()
    db.close()
    with pytest.raises(IntegrityError, match="schema 99"):
        Index.open(path, encoder=encoder)

    foreign = tmp_path / "foreign.sqlite"
    db = sqlite3.connect(foreign)
    db.execute("CREATE TABLE t(x)")
    db.commit()
    db.close()
    with pytest.raises(IntegrityError, match="no index"):
        Index.open(foreign, encoder=encoder)


def test_langchain_retriever_returns_passages_verbatim(index: Index) -> None:
    from retrieval.langchain import GroundtoneRetriever

    hits = index.search("price of a parcel", k=2)
    documents = GroundtoneRetriever(index=index, k=2).invoke("price of a parcel")
    assert [d.page_content for d in documents] == [h.passage.text for h in hits]
    assert documents[0].metadata["source"] == "delivery.md"
    assert documents[0].metadata["score"] == hits[0].score


def test_langchain_awaits_with_k_groups_and_conditions_too(index: Index) -> None:
    from retrieval.langchain import GroundtoneRetriever

    asked = GroundtoneRetriever(index=index, k=2)
    documents = asyncio.run(asked.ainvoke("days of leave", k=1, groups=("hr",), where={"source": "people/*"}))
    assert [d.metadata["source"] for d in documents] == ["people/leave.md"]


def test_the_defaults_of_the_config_are_those_of_the_code() -> None:
    from retrieval.chunk import CHUNK_TOKENS
    from retrieval.loaders import MAX_FILE_MB
    from retrieval.search import FUSION_WEIGHT

    config = RetrievalConfig()
    assert (config.chunk_tokens, config.max_file_mb, config.fusion_weight) == (CHUNK_TOKENS, MAX_FILE_MB, FUSION_WEIGHT)

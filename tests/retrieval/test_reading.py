from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from groundtone.errors import DocumentError, ReadersError
from retrieval.loaders import load
from retrieval.reading import Reader

pytestmark = pytest.mark.skipif(os.name != "posix", reason="limits of memory exist on POSIX systems only")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.html").write_text("<html><body><h1>Leave</h1><p>Everyone has 30 days.</p></body></html>")
    (tmp_path / "b.json").write_text('{"title": "Prices", "otter": 3900}')
    (tmp_path / "c.md").write_text("---\ngroups: [hr]\n---\n# Pay\n\nBand 3 is 4,000 euros.")
    (tmp_path / "d.html").write_text("<html></html>")
    return tmp_path


def test_the_worker_reads_as_the_parent_does(folder: Path) -> None:
    with Reader() as read:
        for name in ("a.html", "b.json", "c.md"):
            assert read(folder / name, folder) == load(folder / name, folder)
        with pytest.raises(DocumentError) as theirs:
            read(folder / "d.html", folder)
    with pytest.raises(DocumentError) as ours:
        load(folder / "d.html", folder)
    assert str(theirs.value) == str(ours.value)


def test_a_document_without_known_readers_is_told_apart_by_the_worker_too(folder: Path) -> None:
    (folder / "large.md").write_text("---\ngroups: [hr\n---\n# Pay\n\n" + "Band 3 is 4,000 euros. " * 100_000)
    with Reader() as read:
        with pytest.raises(ReadersError, match=r"^large\.md: .*groups.*shown to nobody"):
            read(folder / "large.md", folder)
        assert read._worker is not None
        with pytest.raises(DocumentError) as other:
            read(folder / "d.html", folder)
    assert not isinstance(other.value, ReadersError)


def test_plain_text_starts_no_worker(folder: Path) -> None:
    with Reader() as read:
        assert read(folder / "c.md", folder).meta["groups"] == ["hr"]
        assert read._worker is None


def test_a_file_that_takes_too_long_is_reported_and_the_rest_is_read(folder: Path) -> None:
    (folder / "slow.html").write_text("<p>word</p>" * 400_000)
    with Reader(max_seconds=4) as read:
        with pytest.raises(DocumentError, match=r"^slow\.html: .*4 s.*max_seconds"):
            read(folder / "slow.html", folder)
        assert "30 days" in read(folder / "a.html", folder).text


def test_a_file_that_needs_too_much_memory_is_reported_and_the_rest_is_read(folder: Path) -> None:
    (folder / "large.html").write_text("<p>word</p>" * 90_000)
    with Reader(max_memory_mb=100) as read:
        with pytest.raises(DocumentError, match=r"^large\.html: .*100 MB.*max_memory_mb"):
            read(folder / "large.html", folder)
        assert "30 days" in read(folder / "a.html", folder).text


def test_a_worker_that_dies_while_it_reads_costs_one_file(folder: Path) -> None:
    (folder / "slow.html").write_text("<p>word</p>" * 400_000)
    with Reader() as read:
        read(folder / "a.html", folder)
        assert read._worker is not None
        first = read._worker.pid
        timer = threading.Timer(0.5, os.kill, (first, signal.SIGKILL))
        timer.start()
        with pytest.raises(DocumentError, match=r"^slow\.html: its reader crashed \(signal SIGKILL\)"):
            read(folder / "slow.html", folder)
        timer.join()
        assert "3900" in read(folder / "b.json", folder).text
        assert read._worker is not None
        assert read._worker.pid != first


def test_a_worker_that_died_between_two_files_is_started_anew(folder: Path) -> None:
    with Reader() as read:
        read(folder / "a.html", folder)
        assert read._worker is not None
        os.kill(read._worker.pid, signal.SIGKILL)
        read._worker.wait()
        assert "3900" in read(folder / "b.json", folder).text


def test_too_little_memory_to_start_is_named(folder: Path) -> None:
    with Reader(max_memory_mb=5) as read, pytest.raises(DocumentError, match=r"5 MB.*max_memory_mb"):
        read(folder / "a.html", folder)


def test_names_that_are_no_unicode_reach_the_worker(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.html")
    (tmp_path / name).write_text("<p>Words.</p>")
    with Reader() as read, pytest.raises(DocumentError):
        read(tmp_path / "none.html", tmp_path)
    with Reader() as read:
        assert read(tmp_path / name, tmp_path).text == "Words.\n"


def test_the_worker_ends_with_its_reader_and_with_its_parent(folder: Path) -> None:
    with Reader() as read:
        read(folder / "a.html", folder)
        assert read._worker is not None
        worker = read._worker
    assert worker.poll() is not None
    code = (
        "import os, sys; from pathlib import Path; from retrieval.reading import Reader\n"
        f"read = Reader(); root = Path({str(folder)!r}); read(root / 'a.html', root)\n"
        "print(read._worker.pid, flush=True); os._exit(9)"
    )
    orphan = int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).stdout)
    _wait_until_gone(orphan)
    assert not _alive(orphan)


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def _wait_until_gone(pid: int) -> None:
    for _ in range(200):
        if not _alive(pid):
            return
        time.sleep(0.05)


def test_reading_imports_no_parser() -> None:
    code = (
        "import sys, retrieval.reading\n"
        "heavy = {'bs4', 'lxml', 'mammoth', 'pptx', 'openpyxl', 'olefile', 'pypdfium2', 'pdfplumber', 'markitdown', "
        "'markdownify', 'numpy', 'striprtf'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.slow
def test_a_pdf_of_2000_pages_is_read_with_its_pages(tmp_path: Path) -> None:
    from reportlab.pdfgen.canvas import Canvas

    out = io.BytesIO()
    canvas = Canvas(out)
    for page in range(1, 2001):
        for line in range(40):
            canvas.drawString(72, 780 - 16 * line, f"Rule {page}.{line} says that bike number {line} is kept clean.")
        canvas.showPage()
    canvas.save()
    (tmp_path / "long.pdf").write_bytes(out.getvalue())
    with Reader() as read:
        doc = read(tmp_path / "long.pdf", tmp_path)
    assert len(doc.meta["pages"]) == 2000
    assert doc.text[doc.meta["pages"][1999] :].startswith("Rule 2000.0 ")
    with Reader(max_seconds=0.5) as read, pytest.raises(DocumentError, match=r"limit of 0\.5 s"):
        read(tmp_path / "long.pdf", tmp_path)

"""Hostile, broken and odd files: each gives a reason, or a document with its words in it."""

from __future__ import annotations

import io
import json
import os
import struct
import sys
import zipfile
from pathlib import Path

import pytest

from groundtone.errors import DocumentError
from groundtone.types import Document
from retrieval.formats import packed
from retrieval.loaders import FailedFile, load, load_folder, walk
from tests.retrieval.test_loaders_formats import CONTAINER, ODT, PACKAGE, zipped

_PACKED = [".docx", ".pptx", ".xlsx", ".odt", ".epub"]
_LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]><lolz>&c;</lolz>'
)


def _load(tmp_path: Path, name: str, data: bytes | str) -> Document:
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return load(path, tmp_path)


def _word() -> bytes:
    from docx import Document as Word

    out = io.BytesIO()
    word = Word()
    word.add_paragraph("The deposit is 100 euros.")
    word.save(out)
    return out.getvalue()


@pytest.fixture(scope="module")
def bomb() -> bytes:
    out = io.BytesIO()
    megabyte = b" " * 1_000_000
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as made, made.open("x.xml", "w") as member:
        for _ in range(packed.MAX_INFLATED_MB + 1):
            member.write(megabyte)
    return out.getvalue()


@pytest.mark.parametrize("suffix", _PACKED)
def test_a_zip_that_inflates_too_much_is_refused_before_it_is_parsed(tmp_path: Path, bomb: bytes, suffix: str) -> None:
    assert len(bomb) < 3_000_000
    seen, limit = packed.MAX_INFLATED_MB + 1, packed.MAX_INFLATED_MB
    with pytest.raises(DocumentError, match=rf"inflates to {seen} MB.* {limit} MB"):
        _load(tmp_path, f"bomb{suffix}", bomb)


def test_a_zip_that_lies_about_its_sizes_is_refused(tmp_path: Path) -> None:
    data = bytearray(zipped({"content.xml": " " * 5_000_000}))
    for mark, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):  # where the two headers declare the size
        struct.pack_into("<I", data, data.index(mark) + offset, 10)
    with pytest.raises(DocumentError, match="broken"):
        _load(tmp_path, "liar.odt", bytes(data))


def test_a_zip_of_very_many_members_is_refused(tmp_path: Path) -> None:
    many: dict[str, str | bytes] = {f"{n}.txt": "" for n in range(packed.MAX_MEMBERS + 1)}
    with pytest.raises(DocumentError, match=f"limit of {packed.MAX_MEMBERS}"):
        _load(tmp_path, "many.docx", zipped(many))


@pytest.mark.parametrize(
    ("suffix", "members"),
    [
        (".odt", {"content.xml": _LAUGHS}),
        (".epub", {"META-INF/container.xml": _LAUGHS}),
        (".docx", {"word/document.xml": _LAUGHS}),
        (".pptx", {"[Content_Types].xml": _LAUGHS}),
        (".xlsx", {"[Content_Types].xml": _LAUGHS}),
    ],
)
def test_xml_that_declares_entities_is_refused(tmp_path: Path, suffix: str, members: dict[str, str | bytes]) -> None:
    with pytest.raises(DocumentError, match="declares XML entities"):
        _load(tmp_path, f"a{suffix}", zipped(members))


def test_a_pdf_whose_pages_vary_says_which_hold_no_text(tmp_path: Path) -> None:
    from reportlab.pdfgen.canvas import Canvas

    out = io.BytesIO()
    canvas = Canvas(out)
    canvas.drawString(72, 700, "The deposit is 100 euros.")
    canvas.showPage()
    canvas.rect(72, 72, 100, 100)
    canvas.showPage()
    canvas.save()
    doc = _load(tmp_path, "half.pdf", out.getvalue())
    assert doc.meta["left_out"] == ["page 2 of 2: no text; if it is a scan, run it through OCR"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8"])
def test_entities_are_refused_in_any_encoding(encoding: str) -> None:
    laughs = _LAUGHS.replace('"1.0"?', f'"1.0" encoding="{encoding}"?')
    with pytest.raises(DocumentError, match="no readable XML"):
        packed.parse(laughs.encode(encoding), "content.xml")


@pytest.mark.parametrize("suffix", [".odt", ".epub", ".docx"])
def test_cut_short_files_are_reported(tmp_path: Path, suffix: str) -> None:
    whole = {
        ".odt": zipped({"content.xml": ODT}),
        ".epub": zipped({"META-INF/container.xml": CONTAINER, "OEBPS/book.opf": PACKAGE}),
        ".docx": _word(),
    }[suffix]
    for share in (0.1, 0.5, 0.9):
        with pytest.raises(DocumentError, match="broken"):
            _load(tmp_path, f"cut{suffix}", whole[: int(share * len(whole))])


@pytest.mark.parametrize(
    "suffix", [".txt", ".md", ".pdf", ".pptx", ".csv", ".json", ".html", ".eml", ".msg", ".rtf", ".odt"]
)
def test_a_word_file_under_another_name_says_what_it_is(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(DocumentError, match=rf"^a\{suffix}: .*(?:Office file, not|broken|not \.|no part)"):
        _load(tmp_path, f"a{suffix}", _word())


def test_a_suffix_in_capitals_is_the_same_kind(tmp_path: Path) -> None:
    assert "deposit" in _load(tmp_path, "A.DOCX", _word()).text


def _words_or_reason(tmp_path: Path, name: str, data: str) -> str:
    try:
        return _load(tmp_path, name, data).text
    except DocumentError as error:
        return str(error)


def test_html_nested_beyond_reason_gives_its_words_or_a_reason(tmp_path: Path) -> None:
    deep = "<div>" * 5_000 + "The deposit is 100 euros." + "</div>" * 5_000
    found = _words_or_reason(tmp_path, "deep.html", f"<html><body>{deep}</body></html>")
    assert "deposit" in found or "nested too deeply" in found


@pytest.mark.parametrize("depth", [500, 100_000])
def test_json_nested_beyond_reason_gives_its_words_or_a_reason(tmp_path: Path, depth: int) -> None:
    found = _words_or_reason(tmp_path, "deep.json", "[" * depth + '"deposit"' + "]" * depth)
    assert "deposit" in found or "nested too deeply" in found


def test_lone_surrogates_in_json_do_not_reach_the_store(tmp_path: Path) -> None:
    doc = _load(tmp_path, "a.json", '{"note": "good \\ud800 bike \\u0000 😀"}')
    assert doc.text.encode("utf-8").decode() == doc.text
    assert "😀" in doc.text
    assert "\x00" not in doc.text


def test_a_file_of_200_mb_is_refused_without_being_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "big.txt"
    with path.open("wb") as file:
        file.write(b"word ")
        file.truncate(200_000_000)
    before = _read_bytes()
    with pytest.raises(DocumentError, match=r"200 MB is above the limit of 50 MB.*max_file_mb"):
        load(path, tmp_path)
    assert _read_bytes() - before < 1_000_000


def _read_bytes() -> int:
    """Bytes that this process has read so far; 0 where the system does not count them."""
    counts = Path("/proc/self/io")
    return int(counts.read_text().split("rchar:")[1].split()[0]) if counts.exists() else 0


def test_a_file_that_vanishes_while_the_folder_is_read_is_reported(tmp_path: Path) -> None:
    for name in ("a.md", "b.md", "c.md"):
        (tmp_path / name).write_text(f"# {name}\n\nText.")
    found = []
    for one in load_folder(tmp_path):
        found.append(one)
        (tmp_path / "b.md").unlink(missing_ok=True)
    assert [d.source for d in found if isinstance(d, Document)] == ["a.md", "c.md"]
    assert [d.reason for d in found if isinstance(d, FailedFile)] == [
        "it went away while the folder was read; run the command again"
    ]


def test_a_folder_that_vanishes_while_it_is_walked_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("Text.")
    (tmp_path / "b").mkdir()
    found = []
    for one in walk(tmp_path):
        found.append(one)
        if one == tmp_path / "a.md":
            (tmp_path / "b").rmdir()
    assert found[0] == tmp_path / "a.md"
    assert all(isinstance(one, FailedFile) for one in found[1:])


def test_symbolic_links_never_loop_and_never_leave_the_folder(tmp_path: Path) -> None:
    root, outside = tmp_path / "docs", tmp_path / "secret"
    root.mkdir()
    outside.mkdir()
    (outside / "key.md").write_text("# Secret")
    (root / "good.md").write_text("# Good")
    (root / "self.md").symlink_to(root / "self.md")
    (root / "ping.md").symlink_to(root / "pong.md")
    (root / "pong.md").symlink_to(root / "ping.md")
    (root / "gone.md").symlink_to(root / "nothing.md")
    (root / "up").symlink_to(tmp_path)
    (root / "out").symlink_to(outside)
    (root / "twin.md").symlink_to(root / "good.md")
    found = list(load_folder(root))
    assert [d.source for d in found if isinstance(d, Document)] == ["good.md", "twin.md"]
    reasons = {d.source: d.reason for d in found if isinstance(d, FailedFile)}
    assert {name for name, why in reasons.items() if "circle" in why} == {"self.md", "ping.md", "pong.md", "gone.md"}
    assert {name for name, why in reasons.items() if "out of the folder" in why} == {"up", "out"}


@pytest.mark.parametrize(
    "name",
    ["Öl", "O\u0308l", "🚲 Räder", "דו״ח", "契約書", "عقد", "a\u202egnp", "ѕрасе  two", "x" * 200, "'; DROP", "%s{0}"],
)
def test_names_in_any_script_are_kept(tmp_path: Path, name: str) -> None:
    doc = _load(tmp_path, f"{name}.md", "Words of a text that goes on.\nAnd on.")
    assert doc.source == f"{name}.md"
    assert doc.meta["title"]


@pytest.mark.skipif(sys.platform == "darwin" or os.name == "nt", reason="its file names are Unicode always")
def test_a_name_that_is_no_unicode_is_reported(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/caf\xe9.md", "w") as file:
        file.write("# Text")
    (report,) = load_folder(tmp_path)
    assert isinstance(report, FailedFile)
    assert "not valid Unicode" in report.reason
    assert report.source.encode("utf-8")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_named_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.md")
    with pytest.raises(DocumentError, match="not a plain file"):
        load(tmp_path / "pipe.md", tmp_path)


def test_binary_under_a_text_name_is_no_document(tmp_path: Path) -> None:
    for name in ("a.txt", "a.md", "a.csv", "a.json"):
        with pytest.raises(DocumentError, match=r"binary|content is"):
            _load(tmp_path, name, b"\x7fELF\x02\x01\x01" + bytes(range(256)) * 40)


def test_a_csv_with_one_endless_cell_is_read_or_refused(tmp_path: Path) -> None:
    data = 'a,b\n"' + "x" * 300_000
    with pytest.raises(DocumentError, match="no readable CSV"):
        _load(tmp_path, "a.csv", data)


def test_mail_headers_beyond_repair_do_no_harm(tmp_path: Path) -> None:
    headers = (
        b"From: =?utf-8?q?=zz?= <@@>\nTo: \xff\xfe;;,,<\nSubject: =?x-none?b?!!!?= =?utf-8?b?4pyT?=\nDate: yesterday\n"
    )
    doc = _load(tmp_path, "a.eml", headers + b"Content-Type: text/plain; charset=nonsense\n\nThe body stays.\n")
    assert "The body stays." in doc.text
    assert "date" not in doc.meta


def test_a_password_on_an_odt_is_named(tmp_path: Path) -> None:
    manifest = "<manifest><encryption-data/></manifest>"
    with pytest.raises(DocumentError, match="password"):
        _load(tmp_path, "a.odt", zipped({"META-INF/manifest.xml": manifest, "content.xml": "\x01\x02"}))


def test_a_copy_protected_book_is_named(tmp_path: Path) -> None:
    locked = '<e xmlns:c="http://www.w3.org/2001/04/xmlenc#"><c:CipherReference URI="OEBPS/b.xhtml"/></e>'
    book = {"META-INF/container.xml": CONTAINER, "OEBPS/book.opf": PACKAGE, "META-INF/encryption.xml": locked}
    with pytest.raises(DocumentError, match="copy protection"):
        _load(tmp_path, "a.epub", zipped({**book, "OEBPS/b.xhtml": b"\x00\x01"}))


def test_jsonl_with_ten_thousand_records_keeps_them_all(tmp_path: Path) -> None:
    lines = "\n".join(json.dumps({"id": f"r{n}", "n": n}) for n in range(10_000))
    text = _load(tmp_path, "a.jsonl", lines).text
    assert text.count("\n## r") + text.startswith("## r") == 10_000

from __future__ import annotations

import io
from pathlib import Path

import pytest

from groundtone.errors import DocumentError
from groundtone.types import Document
from retrieval.formats.encodings import decode
from retrieval.loaders import LOADERS, FailedFile, load, load_folder, walk
from retrieval.pdf import mark_headings
from retrieval.reading import Reader
from retrieval.wraps import unwrap


def _load(tmp_path: Path, name: str, data: bytes | str) -> Document:
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return load(path, tmp_path)


def _pdf(pages: list[list[str]], *, password: str = "", title: str = "") -> bytes:
    from reportlab.lib.pdfencrypt import StandardEncryption
    from reportlab.pdfgen.canvas import Canvas

    out = io.BytesIO()
    canvas = Canvas(out, encrypt=StandardEncryption(password) if password else None)
    if title:
        canvas.setTitle(title)
    for lines in pages:
        for at, line in enumerate(lines):
            canvas.drawString(72, 760 - 16 * at, line)
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def test_source_is_relative_and_id_follows_the_text(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    first = _load(tmp_path, "a/b.md", "# T\n\nOne.")
    assert first.source == "a/b.md"
    assert first == Document.of("a/b.md", "# T\n\nOne.", title="T")
    assert _load(tmp_path, "a/b.md", "# T\n\nTwo.").id != first.id


def test_line_ends_do_not_matter(tmp_path: Path) -> None:
    texts = {_load(tmp_path, "a.md", text).text for text in ("A.\n\nB.\n", "A.\r\n\r\nB.\r\n", "A.\r\rB.\r")}
    assert texts == {"A.\n\nB.\n"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_any_usual_encoding_gives_the_same_text(encoding: str) -> None:
    text = "L'été, un café à 3,50 € reste ouvert jusqu'à minuit. Où est-ce ?\n" * 3
    assert decode(text.encode(encoding)).text == text


def test_cyrillic_and_japanese_are_not_taken_for_western() -> None:
    for text, encoding in (
        ("Возврат товара возможен в течение 30 дней", "cp1251"),
        ("返品は30日以内に可能です。", "cp932"),
    ):
        assert decode(text.encode(encoding)).text == text


@pytest.mark.parametrize("suffix", sorted(LOADERS))
def test_an_empty_or_broken_file_of_each_kind_is_an_error_with_a_reason(tmp_path: Path, suffix: str) -> None:
    noise = bytes(range(256)) * 8
    for data in (b"", noise, b"   \n"):
        with pytest.raises(DocumentError, match=rf"^f\{suffix}: .*;") as caught:
            _load(tmp_path, f"f{suffix}", data)
        assert str(caught.value).count(f"f{suffix}") == 1


def test_a_pdf_that_is_cut_short_does_not_become_an_empty_document(tmp_path: Path) -> None:
    whole = _pdf([["The deposit is 100 euros."]])
    for share in (0.2, 0.5, 0.8):
        try:
            doc = _load(tmp_path, "cut.pdf", whole[: int(share * len(whole))])
        except DocumentError:
            continue
        assert "deposit" in doc.text


def test_a_protected_pdf_names_the_password(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="password"):
        _load(tmp_path, "locked.pdf", _pdf([["Secret."]], password="otter"))


def test_a_scan_names_ocr(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="OCR"):
        _load(tmp_path, "scan.pdf", _pdf([[], []]))


def test_pdf_pages_titles_and_wraps(tmp_path: Path) -> None:
    wrapped = [
        "A bike that was rented for a week can be returned to either",
        "store until closing time. It need not be clean.",
    ]
    doc = _load(tmp_path, "terms.pdf", _pdf([wrapped, ["Second page."]], title="Rental terms"))
    assert doc.meta["title"] == "Rental terms"
    assert "returned to either store until closing time." in doc.text
    first, second = doc.meta["pages"]
    assert doc.text[first:second].rstrip().endswith("clean.")
    assert "#" not in doc.text
    assert doc.text[second:] == "Second page."


def test_headings_of_a_pdf_are_marked() -> None:
    page = (
        "Rental terms\n\nThese terms belong to every rental.\n1. Locks\n\nA parked bike is locked with both locks.\n"
        "Total 7\n\nTax 2"
    )
    marked = mark_headings(page)
    assert [line for line in marked.split("\n") if line.startswith("## ")] == ["## Rental terms", "## 1. Locks"]
    assert marked.replace("## ", "") == page


def test_running_headers_and_page_numbers_of_a_pdf_go(tmp_path: Path) -> None:
    pages = [["Otterwheel handbook", f"Rule number {n} is kind.", f"Page {n} of 4"] for n in range(1, 5)]
    text = _load(tmp_path, "h.pdf", _pdf(pages)).text
    assert "Page" not in text
    assert "handbook" not in text
    assert all(f"Rule number {n}" in text for n in range(1, 5))


def test_only_the_page_number_may_differ_between_running_lines_of_a_pdf(tmp_path: Path) -> None:
    bottoms = ["Seite {} von 4", "- {} -", "{} | Page", "ACME 2026, p\u00e1gina {}"]
    for number, bottom in enumerate(bottoms):
        pages = [
            [f"Article {n}", f"Rule number {n} is kind to otters.", bottom.format(n)] for n in range(1, 5)
        ]  # fmt: skip
        text = _load(tmp_path, f"{number}.pdf", _pdf(pages)).text
        assert [f"Article {n}" in text for n in range(1, 5)] == [True] * 4
        assert not any(bottom.format(n) in text for n in range(1, 5)), bottom
    totals = [[f"Invoice for {name}", f"Total due: {1200 + n}.50 euros"] for n, name in enumerate("abcd")]
    text = _load(tmp_path, "totals.pdf", _pdf(totals)).text
    assert [f"Total due: {1200 + n}.50 euros" in text for n in range(4)] == [True] * 4


def test_html_keeps_content_and_drops_furniture(tmp_path: Path) -> None:
    page = """<html><head><title>Site - Delivery</title><meta name="date" content="2026-03-01"></head><body>
    <header>Site header</header><nav>Menu</nav><div class="cookie-banner">We use cookies</div><script>var x = 1</script>
    <main><header><h1>Delivery</h1></header><p>Parcels take <b>3 days</b>.</p>
    <table><tr><th>Method</th><th>Price</th></tr><tr><td>Parcel</td><td>€4.90</td></tr></table></main>
    <footer>Imprint</footer></body></html>"""
    doc = _load(tmp_path, "d.html", page)
    assert doc.meta == {"title": "Delivery", "effective": "2026-03-01"}
    assert "| Parcel | €4.90 |" in doc.text
    assert "3 days" in doc.text
    for furniture in ("Site header", "Menu", "cookies", "var x", "Imprint"):
        assert furniture not in doc.text


def test_word_and_excel_tables_become_markdown(tmp_path: Path) -> None:
    from docx import Document as Word
    from openpyxl import Workbook

    word = Word()
    word.add_heading("Leave", 1)
    word.add_paragraph("Everyone has 30 days.")
    word.save(str(tmp_path / "w.docx"))
    doc = load(tmp_path / "w.docx", tmp_path)
    assert doc.text.startswith("# Leave")
    assert doc.meta["title"] == "Leave"

    book = Workbook()
    assert book.active is not None
    for row in (["Bike", "Price", "Note"], ["Otter", 3900, None], ["Heron | 2", 4900, "new"]):
        book.active.append(row)
    book.save(tmp_path / "x.xlsx")
    text = load(tmp_path / "x.xlsx", tmp_path).text
    assert "| Otter | 3900 |" in text
    assert "NaN" not in text


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_csv_becomes_a_table_whatever_separates_it(tmp_path: Path, separator: str) -> None:
    rows = [["Bike", "Price", "Note"], ["Otter", "3900", '"a | b"'], ["Heron", "4900", '"two\nlines"']]
    text = _load(tmp_path, "p.csv", "\n".join(separator.join(row) for row in rows)).text
    assert text.splitlines() == [
        "| Bike | Price | Note |", "| --- | --- | --- |", "| Otter | 3900 | a \\| b |", "| Heron | 4900 | two lines |",
    ]  # fmt: skip


def test_doubled_quotes_far_down_a_csv_keep_its_columns(tmp_path: Path) -> None:
    rows = ["id,comment", *(f'{n},"Order {n} came late, but complete"' for n in range(400))]
    rows += ['900,"She said ""refund me, please"" and left"', '901, "late, again"']
    lines = _load(tmp_path, "a.csv", "\n".join(rows)).text.splitlines()
    assert lines[0] == "| id | comment |"
    assert lines[-2:] == ['| 900 | She said "refund me, please" and left |', "| 901 | late, again |"]


def test_front_matter_gives_title_date_and_groups(tmp_path: Path) -> None:
    doc = _load(tmp_path, "a.md", "---\ntitle: Pay bands\ndate: 2026-02-01\ngroups: [hr, board]\n---\n# Other\n\nText.")
    assert doc.meta == {"title": "Pay bands", "effective": "2026-02-01", "groups": ["board", "hr"]}


@pytest.mark.parametrize("front", ["groups: [hr", "groups: 7", "groups: []", "groups:\n  - 1"])
def test_groups_that_cannot_be_understood_never_make_a_document_public(tmp_path: Path, front: str) -> None:
    with pytest.raises(DocumentError, match="groups"):
        _load(tmp_path, "a.md", f"---\n{front}\n---\nText.")


@pytest.mark.parametrize(
    ("line", "date"),
    [
        ("Effective from 1 April 2026. Owner: Dario.", "2026-04-01"),
        ("Effective: 2026-04-01", "2026-04-01"),
        ("This page is valid from April 1st, 2026 on.", "2026-04-01"),
        ("Last updated on 1 Apr 2026", "2026-04-01"),
        ("Effective from 31 February 2026.", None),
        ("The shop was opened on 1 April 2026.", None),
    ],
)
def test_effective_dates(tmp_path: Path, line: str, date: str | None) -> None:
    assert _load(tmp_path, "a.md", f"# T\n\n{line}\n").meta.get("effective") == date


def test_too_large_a_file_names_the_setting(tmp_path: Path) -> None:
    path = tmp_path / "big.txt"
    path.write_text("word " * 300_000)
    with pytest.raises(DocumentError, match="max_file_mb"):
        load(path, tmp_path, max_file_mb=1)


def test_a_folder_reports_every_file_exactly_once(tmp_path: Path) -> None:
    root = tmp_path / "docs"
    root.mkdir()
    outside = tmp_path / "outside.md"
    outside.write_text("# Not ours")
    (root / "good.md").write_text("# Good\n\nText.")
    (root / "empty.md").write_text("")
    (root / "photo.jpg").write_bytes(b"x")
    (root / ".hidden.md").write_text("# Hidden")
    (root / "link.md").symlink_to(outside)
    (root / "loop").symlink_to(root)
    found = list(load_folder(root))
    documents = [d.source for d in found if isinstance(d, Document)]
    left_out = {d.source: d.skipped for d in found if isinstance(d, FailedFile)}
    assert documents == ["good.md"]
    assert left_out == {"empty.md": False, "photo.jpg": True, ".hidden.md": True, "link.md": True, "loop": True}


def test_a_missing_or_empty_folder_is_a_clear_error(tmp_path: Path) -> None:
    for folder, what in (
        (tmp_path, "is empty"),
        (tmp_path / "none", "does not exist"),
        (Path(__file__), "not a folder"),
    ):
        with pytest.raises(DocumentError, match=what):
            list(load_folder(folder))


def test_plain_text_sentences_survive_the_page_width() -> None:
    text = (
        "Opening hours\nThe workshop was moved to the quay, where the door opens at\neight on all days but Sunday. "
        "On Sunday it is shut.\nBring the key.\n\nOrder number: 7\nWe are glad of any visit that is told early, at\n"
        "Otter Street 4\n- a list of things that is as long as the other lines are\n- another\n"
    )
    assert unwrap(text).split("\n") == [
        "Opening hours",
        "",
        "The workshop was moved to the quay, where the door opens at eight on all days but Sunday. "
        "On Sunday it is shut.",
        "Bring the key.",
        "",
        "Order number: 7",
        "",
        "We are glad of any visit that is told early, at Otter Street 4",
        "- a list of things that is as long as the other lines are",
        "- another",
        "",
    ]


def test_tables_get_their_outer_pipes(tmp_path: Path) -> None:
    doc = _load(tmp_path, "t.md", "# T\n\nBike | Price\n---|---:\nOtter | 3900\nHeron | 4900 |\n\nOr a | b.\n")
    assert "| Bike | Price |\n| ---|---: |\n| Otter | 3900 |\n| Heron | 4900 |\n\nOr a | b.\n" in doc.text


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_real_file_gives_words_or_a_reason(shared: Path) -> None:
    """Broken, foreign and odd files that other loaders are tested on: the outcomes that docs/formats.md lists."""
    root = shared / "data/docs/loader_files"
    documents, reasons = {}, {}
    with Reader() as read:
        for found in walk(root):
            if isinstance(found, FailedFile):
                assert found.skipped
                continue
            try:
                document = read(found, root)
                documents[document.source.rsplit("/", 1)[1]] = document
            except DocumentError as error:
                reasons[found.name] = str(error)
    assert len(documents) > 120
    assert all(any(c.isalnum() for c in d.text) and d.meta["title"] for d in documents.values())
    assert all("\r" not in d.text and "\x00" not in d.text for d in documents.values())
    assert "password" in reasons["password.pdf"]
    assert "password" in reasons["password_protected.xlsx"]
    assert "encrypted" in reasons["fake-encrypted.eml"]
    assert "OCR" in reasons["single_table.pdf"]
    assert all(";" in reason for reason in reasons.values())


def test_further_front_matter_is_kept_as_words_and_never_replaces_what_we_found(tmp_path: Path) -> None:
    front = "title: Leave\ntype: policy\nowner: 7\ntags: [hr, pay]\npages: [1]\nsource: evil\nnested: {a: 1}\nempty:\n"
    (tmp_path / "a.md").write_text(f"---\n{front}---\nRest well.\n", encoding="utf-8")
    meta = load(tmp_path / "a.md", tmp_path).meta
    assert {key: meta[key] for key in ("title", "type", "owner", "tags")} == {
        "title": "Leave", "type": "policy", "owner": "7", "tags": ["hr", "pay"],
    }  # fmt: skip
    assert not {"pages", "source", "nested", "empty"} & set(meta)

"""What each format keeps: structure, tables, titles, dates, pages, attachments."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundtone.errors import DocumentError
from groundtone.types import Document
from retrieval.formats.records import read_json, read_jsonl
from retrieval.loaders import load
from retrieval.markup import html_to_markdown
from retrieval.outline import outline

CONTAINER = """<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>
<rootfile full-path="OEBPS/book.opf"/></rootfiles></container>"""
PACKAGE = """<package xmlns="http://www.idpf.org/2007/opf"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/">
<dc:title>Bike care</dc:title><dc:date>2026-02-03</dc:date></metadata><manifest>
<item id="b" href="b.xhtml"/><item id="a" href="a%20one.xhtml"/><item id="c" href="gone.xhtml"/></manifest>
<spine><itemref idref="a"/><itemref idref="b"/><itemref idref="c"/></spine></package>"""
ODT = """<office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"
 xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"
 xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0"><office:body><office:text>
<text:h text:outline-level="2">Leave</text:h><text:p>Everyone<text:s/>has <text:span>30 days</text:span>.</text:p>
<text:list><text:list-item><text:p>Ask</text:p><text:list><text:list-item><text:p>early</text:p></text:list-item>
</text:list></text:list-item></text:list>
<table:table><table:table-row><table:table-cell><text:p>Bike</text:p></table:table-cell><table:table-cell>
<text:p>Price</text:p></table:table-cell></table:table-row><table:table-row><table:table-cell><text:p>Otter</text:p>
</table:table-cell><table:table-cell><text:p>3900</text:p></table:table-cell></table:table-row></table:table>
<text:tracked-changes><text:p>deleted</text:p></text:tracked-changes></office:text></office:body>
</office:document-content>"""


def zipped(members: dict[str, str | bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    return out.getvalue()


def _load(tmp_path: Path, name: str, data: bytes | str) -> Document:
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return load(path, tmp_path)


def test_odt_keeps_headings_lists_and_tables(tmp_path: Path) -> None:
    doc = _load(tmp_path, "a.odt", zipped({"content.xml": ODT}))
    assert doc.text == (
        "## Leave\n\nEveryone has 30 days.\n\n- Ask\n  - early\n\n| Bike | Price |\n| --- | --- |\n| Otter | 3900 |\n"
    )


def test_epub_follows_the_spine_and_names_what_is_missing(tmp_path: Path) -> None:
    book = zipped(
        {
            "META-INF/container.xml": CONTAINER,
            "OEBPS/book.opf": PACKAGE,
            "OEBPS/b.xhtml": "<html><head><title/></head><body><h1>Two</h1><p>Oil it.</p></body></html>",
            "OEBPS/a one.xhtml": "<html><body><h1>One</h1><p>Wash it, see <a href='b.xhtml'>two</a>.</p></body></html>",
        }
    )
    doc = _load(tmp_path, "b.epub", book)
    assert doc.text == "# One\n\nWash it, see two.\n\n# Two\n\nOil it."
    assert doc.meta["title"] == "Bike care"
    assert doc.meta["date"] == "2026-02-03"
    assert doc.meta["left_out"] == ["chapter OEBPS/gone.xhtml: not in the file"]


def test_pptx_gives_a_page_per_slide_with_tables_and_notes(tmp_path: Path) -> None:
    from pptx import Presentation
    from pptx.util import Cm

    deck = Presentation()
    first = deck.slides.add_slide(deck.slide_layouts[1])
    first.shapes.title.text = "Rental"
    first.placeholders[1].text_frame.text = "A day costs 30 euros."
    first.notes_slide.notes_text_frame.text = "Mention the deposit."
    second = deck.slides.add_slide(deck.slide_layouts[5])
    second.shapes.title.text = "Prices"
    table = second.shapes.add_table(2, 2, Cm(1), Cm(5), Cm(8), Cm(2)).table
    for at, text in enumerate(["Bike", "Price", "Otter", "3900"]):
        table.cell(at // 2, at % 2).text = text
    deck.save(str(tmp_path / "d.pptx"))
    doc = load(tmp_path / "d.pptx", tmp_path)
    one, two = doc.meta["pages"]
    assert doc.text[one:two].strip() == "## Rental\n\nA day costs 30 euros.\n\nNotes: Mention the deposit."
    assert doc.text[two:] == "## Prices\n\n| Bike | Price |\n| --- | --- |\n| Otter | 3900 |"
    section = next(s for s in outline(doc.text, "") if s.columns)
    assert section.columns == ("Bike", "Price")
    assert section.path[-1] == "Prices"


def test_xlsx_shows_values_as_people_see_them(tmp_path: Path) -> None:
    from datetime import date

    from openpyxl import Workbook

    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "Prices"
    for row in (
        ["Bike prices"],
        ["Bike", "Price", "Discount", "From", "Sold"],
        ["Otter", 3900, 0.125, date(2026, 4, 1), True],
        [],
        ["Shop", "City"],
        ["Quay", "Millgate"],
    ):
        sheet.append(row)
    sheet["B3"].number_format = '#,##0.00 "€"'
    sheet["C3"].number_format = "0.0%"
    book.save(tmp_path / "x.xlsx")
    assert load(tmp_path / "x.xlsx", tmp_path).text == (
        "## Prices\n\nBike prices\n\n| Bike | Price | Discount | From | Sold |\n| --- | --- | --- | --- | --- |\n"
        "| Otter | €3900 | 12.5% | 2026-04-01 | TRUE |\n\n| Shop | City |\n| --- | --- |\n| Quay | Millgate |\n"
    )


def test_rtf_keeps_letters_and_tables(tmp_path: Path) -> None:
    source = (
        r"{\rtf1\ansi\ansicpg1252{\info{\title Caf\'e9}}{\fonttbl{\f0 Arial;}}\f0 Caf\'e9 opens.\par "
        r"\trowd A\cell B\cell\row \trowd 1\cell 2\cell\row \pard End.\par}"
    )
    doc = _load(tmp_path, "a.rtf", source)
    assert "Café opens." in doc.text
    assert "| A | B |\n| --- | --- |\n| 1 | 2 |" in doc.text


def _table(*rows: str) -> str:
    return "<table>" + "".join(f"<tr>{row}</tr>" for row in rows) + "</table>"


def _mail(**headers: str) -> EmailMessage:
    mail = EmailMessage()
    for name, value in headers.items():
        mail[name] = value
    return mail


def test_a_mail_is_read_with_its_attachments(tmp_path: Path) -> None:
    inner = _mail(Subject="Old prices", From="Ben <ben@example.com>")
    inner.set_content("They were lower.")
    mail = _mail(Subject="Prices für 2026", From="Ann <ann@example.com>", To="Ben <ben@example.com>",
                 Date="Tue, 03 Feb 2026 10:00:00 +0100")  # fmt: skip
    mail.set_content("See the table.")
    mail.add_attachment("Bike,Price\nOtter,3900\n", subtype="csv", filename="prices.csv")
    mail.add_attachment(b"\x89PNG", maintype="image", subtype="png", filename="photo.png")
    mail.add_attachment(b"%PDF-1.7 broken", maintype="application", subtype="pdf", filename="broken.pdf")
    mail.add_attachment(inner)
    doc = _load(tmp_path, "m.eml", mail.as_bytes())
    assert doc.text.startswith(
        "# Prices für 2026\n\n- From: Ann <ann@example.com>\n- To: Ben <ben@example.com>\n"
        "- Date: 2026-02-03 10:00+01:00"
    )
    assert "## Attachment prices.csv\n\n| Bike | Price |" in doc.text
    assert "### Old prices" in doc.text
    assert "They were lower." in doc.text
    assert doc.meta["title"] == "Prices für 2026"
    assert doc.meta["date"] == "2026-02-03"
    assert doc.meta["from"] == "Ann <ann@example.com>"
    left_out = " / ".join(doc.meta["left_out"])
    assert "photo.png" in left_out
    assert "broken.pdf" in left_out


def test_a_mail_whose_plain_text_says_less_is_read_from_its_html(tmp_path: Path) -> None:
    mail = _mail(Subject="News", From="a@example.com")
    mail.set_content("Open it in a browser.")
    rich = _table("<th>Day</th><th>Hours</th>", "<td>Monday and Tuesday</td><td>8 to 17 in winter</td>")
    mail.add_alternative(f"<p>Our opening hours have changed as of now.</p>{rich}", subtype="html")
    assert "| Monday and Tuesday | 8 to 17 in winter |" in _load(tmp_path, "m.eml", mail.as_bytes()).text


def test_mails_nested_without_end_stop_at_the_limit(tmp_path: Path) -> None:
    mail = _mail(Subject="Deep", From="a@example.com")
    mail.set_content("Bottom.")
    for depth in range(8):
        outer = _mail(Subject=f"Level {depth}", From="a@example.com")
        outer.set_content("Above.")
        outer.add_attachment(mail)
        mail = outer
    doc = _load(tmp_path, "deep.eml", mail.as_bytes())
    assert "Bottom." not in doc.text
    assert any("deep" in what for what in doc.meta["left_out"])


def test_json_records_become_sections() -> None:
    records = [{"title": "Otter", "price": {"net": 3900}, "tags": ["a", "b"], "none": None}, {"x": "long " * 60}]
    expected = (
        "## Otter\n\n- title: Otter\n- price.net: 3900\n- tags: a, b\n\n## Record 2\n\nx:\n\n" + ("long " * 60).strip()
    )
    assert read_json(json.dumps(records).encode()).text == expected
    assert read_jsonl("\n".join(json.dumps(r) for r in records).encode()).text == expected
    assert read_json("\n".join(json.dumps(r) for r in records).encode()).text == expected
    with pytest.raises(DocumentError, match="line 2 is no JSON"):
        read_jsonl(b'{"a": 1}\n{"a": \n')


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=12,
    )
)
def test_every_number_in_a_json_file_is_in_its_text(value: object) -> None:
    def numbers(v: object) -> list[str]:
        if isinstance(v, dict | list):
            return [n for inner in (v.values() if isinstance(v, dict) else v) for n in numbers(inner)]
        return [str(v)] if isinstance(v, int) and not isinstance(v, bool) else []

    text = read_json(json.dumps(value).encode()).text
    assert all(number in text for number in numbers(value))


def test_tables_in_html_become_rectangles() -> None:
    spanning = _table("<th>City</th><th>Shop</th>", "<td rowspan=2>Millgate</td><td>Quay</td>", "<td>Hill</td>")
    assert html_to_markdown(spanning) == "| City | Shop |\n| --- | --- |\n| Millgate | Quay |\n| Millgate | Hill |\n"
    layout = f"<table><tr><td>Menu of the page</td><td>{spanning}</td></tr></table>"
    assert "| Millgate | Hill |" in html_to_markdown(layout)
    inner = _table("<td>x</td><td>y</td>")
    nested = _table("<th>A</th><th>B</th><th>C</th>", f"<td>1</td><td>{inner}</td><td>3</td>")
    assert "| 1 | x, y | 3 |" in html_to_markdown(nested)


@pytest.mark.parametrize("span", ["0", "-1", "99999999999", "x", "65000"])
def test_absurd_spans_do_no_harm(span: str) -> None:
    text = html_to_markdown(f"<table><tr><td rowspan={span} colspan={span}>A</td></tr><tr><td>B</td></tr></table>")
    assert "A" in text
    assert "B" in text
    assert len(text) < 5000


def _pdf(draw: Callable[[Any], None]) -> bytes:
    from reportlab.pdfgen.canvas import Canvas

    out = io.BytesIO()
    canvas = Canvas(out)
    draw(canvas)
    canvas.showPage()
    canvas.save()
    return out.getvalue()


def test_a_pdf_tells_headings_by_their_size_and_wraps_by_the_width_of_its_column(tmp_path: Path) -> None:
    def draw(canvas: Any) -> None:
        canvas.setFont("Helvetica-Bold", 20)
        canvas.drawString(72, 780, "Rental terms")
        canvas.setFont("Helvetica-Bold", 11)
        canvas.drawString(72, 740, "Locks")
        canvas.setFont("Helvetica", 11)
        for at, line in enumerate(
            [
                "A parked bike is locked with both of",
                "its locks, also at night and on days",
                "of rest.",
                "Keys cost more.",
            ]
        ):
            canvas.drawString(72, 720 - 14 * at, line)
        canvas.drawString(72, 640, "• One list item")
        canvas.drawString(72, 626, "• Another item")

    text = _load(tmp_path, "r.pdf", _pdf(draw)).text
    assert text == (
        "# Rental terms\n\n## Locks\n\n"
        "A parked bike is locked with both of its locks, also at night and on days of rest.\nKeys cost more.\n\n"
        "- One list item\n- Another item"
    )


@pytest.mark.parametrize("ruled", [True, False])
def test_tables_in_a_pdf_become_markdown(tmp_path: Path, ruled: bool) -> None:
    rows = [["Bike", "Price", "Weight"], ["Otter", "3900", "24 kg"], ["Heron", "4900", "22 kg"]]

    def draw(canvas: Any) -> None:
        canvas.drawString(72, 780, "The prices hold until the end of the year.")
        for down, row in enumerate(rows):
            for across, cell in enumerate(row):
                canvas.drawString(80 + 120 * across, 700 - 20 * down, cell)
                if ruled:
                    canvas.rect(72 + 120 * across, 694 - 20 * down, 120, 20)
        canvas.drawString(72, 560, "All prices hold tax.")

    text = _load(tmp_path, "t.pdf", _pdf(draw)).text
    table = "| Bike | Price | Weight |\n| --- | --- | --- |\n| Otter | 3900 | 24 kg |\n| Heron | 4900 | 22 kg |"
    assert text == f"The prices hold until the end of the year.\n\n{table}\n\nAll prices hold tax."

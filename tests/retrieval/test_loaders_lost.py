"""Text, figures and readers that a format's parser would lose in silence."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from defusedxml.ElementTree import fromstring
from openpyxl import Workbook
from pptx import Presentation
from pptx.chart.data import CategoryChartData, XyChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.util import Inches

from groundtone.errors import ReadersError
from groundtone.types import Document
from retrieval.formats.charts import diagram
from retrieval.loaders import FailedFile, load, walk

BOX = (Inches(1), Inches(1), Inches(5), Inches(4))


def read(root: Path, name: str, data: str | bytes) -> Document:
    (root / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    return load(root / name, root)


def deck(*charts: tuple[XL_CHART_TYPE, CategoryChartData | XyChartData]) -> bytes:
    slides = Presentation()
    for kind, values in charts:
        slides.slides.add_slide(slides.slide_layouts[5]).shapes.add_chart(kind, *BOX, values)
    out = io.BytesIO()
    slides.save(out)
    return out.getvalue()


def rewritten(data: bytes, old: bytes, new: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as packed, zipfile.ZipFile(out, "w") as again:
        for name in packed.namelist():
            again.writestr(name, packed.read(name).replace(old, new))
    return out.getvalue()


def sales() -> CategoryChartData:
    values = CategoryChartData()
    values.categories = ["007", "Heron"]
    values.add_series("Sold", (1234567, 98765432.5))
    return values


def test_charts_keep_every_digit_and_every_kind_is_read(tmp_path: Path) -> None:
    points = XyChartData()
    points.add_series("Load").add_data_point(1.5, 20)
    data = deck((XL_CHART_TYPE.PIE, sales()), (XL_CHART_TYPE.XY_SCATTER, points))
    for file in (data, rewritten(data, b"c:pieChart", b"c:pie3DChart")):  # which python-pptx does not know
        text = read(tmp_path, "sales.pptx", file).text
        assert "| 007 | 1234567 |" in text
        assert "| Heron | 98765432.5 |" in text
        assert "| 1.5 | 20 |" in text


def test_the_texts_of_a_diagram_are_a_list() -> None:
    data = (
        '<d:dataModel xmlns:d="http://schemas.openxmlformats.org/drawingml/2006/diagram" '
        'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"><d:ptLst><d:pt><d:t><a:p>'
        "<a:r><a:t>Ask </a:t></a:r><a:r><a:t>first</a:t></a:r></a:p></d:t></d:pt><d:pt/><d:pt><d:t><a:p>"
        "<a:r><a:t>Then order</a:t></a:r></a:p></d:t></d:pt></d:ptLst></d:dataModel>"
    )
    frame = fromstring(
        '<f><d:relIds xmlns:d="http://schemas.openxmlformats.org/drawingml/2006/diagram" '
        'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships" r:dm="rId3"/></f>'
    )
    part = SimpleNamespace(related_part=lambda name: SimpleNamespace(blob={"rId3": data.encode()}[name]))
    assert list(diagram(SimpleNamespace(element=frame, part=part))) == ["- Ask first\n- Then order"]
    assert list(diagram(SimpleNamespace(element=fromstring("<f/>"), part=part))) == []


def workbook(*rows: list[object]) -> bytes:
    book = Workbook()
    for row in rows:
        book.active.append(row)  # type: ignore[union-attr]
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def test_sheets_keep_long_numbers_and_tell_of_formulas_without_a_value(tmp_path: Path) -> None:
    doc = read(tmp_path, "a.xlsx", workbook(["Account", "Sum"], [1234567890123456, 0.1 + 0.2], [10**17, "=B2*2"]))
    assert "| 1234567890123456 | 0.3 |" in doc.text
    assert "| 100000000000000000 |" in doc.text
    assert doc.meta["left_out"] == ["1 formulas without a value; open it in its program and save it again"]
    assert "left_out" not in read(tmp_path, "b.xlsx", workbook(["Sum"], [3])).meta


def test_a_card_beside_the_text_is_not_the_page(tmp_path: Path) -> None:
    card = '<article class="card"><h3>Related</h3><p>The menu.</p></article>'
    page = f"<body><h1>Leave</h1><p>{'Everyone has thirty days of leave. ' * 5}</p>{card}</body>"
    assert "thirty days" in read(tmp_path, "a.html", page).text
    page = f"<body><div>Share this</div><article><p>{'Everyone has thirty days of leave. ' * 5}</p></article></body>"
    assert "Share this" not in read(tmp_path, "b.html", page).text


@pytest.mark.parametrize("name", ["a.html", "declares.html", "a.csv"])
def test_a_front_matter_above_a_page_or_a_table_limits_its_readers(tmp_path: Path, name: str) -> None:
    head = '<head><meta charset="utf-8"></head>' if name == "declares.html" else ""
    body = f"<html>{head}<body><p>Anna earns 20.</p></body></html>" if name.endswith("html") else "name,pay\nAnna,20\n"
    doc = read(tmp_path, name, f"---\r\ntitle: Löhne\r\ngroups: [hr]\r\n---\r\n{body}")
    assert (doc.meta["groups"], doc.meta["title"]) == (["hr"], "Löhne")
    assert "20" in doc.text
    with pytest.raises(ReadersError, match="shown to nobody"):
        read(tmp_path, name, f"---\ngroups: [hr\n---\n{body}")


@pytest.mark.parametrize(
    "text",
    [
        "title: Pay\n\ngroups: [hr]\n\nAnna earns 20.",
        "–-\n\ngroups: [hr]\n\n—\n\nAnna earns 20.",
        '+++\ntitle = "Pay"\ngroups = ["hr"]\n+++\n\nAnna earns 20.',
        "---\ngroups: hr, board\n---\n\nAnna earns 20.",
    ],
    ids=["without rules", "rules made long dashes", "TOML", "two names in one"],
)
def test_groups_that_are_not_understood_make_nothing_public(tmp_path: Path, text: str) -> None:
    with pytest.raises(ReadersError, match="shown to nobody"):
        read(tmp_path, "pay.md", text)


def test_texts_that_speak_of_groups_are_texts(tmp_path: Path) -> None:
    for text in ("Group: Marketing\nDate: today\n\nWe met.", "# Config\n\nWrite this:\n\ngroups: [hr]\n"):
        assert "groups" not in read(tmp_path, "a.md", text).meta


def test_folders_of_programs_and_of_what_was_deleted_are_left_out(tmp_path: Path) -> None:
    for place in ("node_modules/pad", "$RECYCLE.BIN", "a/@eaDir", "kept"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "read.md").write_text("# Text\n\nIt is here.\n")
    found = list(walk(tmp_path))
    assert [path.parent.name for path in found if isinstance(path, Path)] == ["kept"]
    left_out = {entry.source for entry in found if isinstance(entry, FailedFile)}
    assert left_out == {"node_modules", "$RECYCLE.BIN", "a/@eaDir"}

"""Writes the sample company's PDF, DOCX and XLSX documents from the texts in data/sources/.

Each source is one YAML file: path (below data/handbook/), title, created (the date in the file's metadata) and body.
The body is a small Markdown: "# " and "## " headings, paragraphs, pipe tables, and "---" for a new page in a PDF; in an
XLSX each "## " heading starts a sheet. The same source gives the same text, and with the same libraries the same bytes.

    python data/build_documents.py            write the files
    python data/build_documents.py --check    exit with 1 when a file's text is not what its source would give
"""

from __future__ import annotations

import argparse
import datetime
import io
import re
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import yaml

DATA = Path(__file__).resolve().parent
AUTHOR = "Otterwheel"


@dataclass(frozen=True, slots=True)
class Block:
    """One piece of a body: kind is "title", "heading", "paragraph", "table" or "page"; a table has only rows."""

    kind: str
    text: str = ""
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """One document to write; `path` is relative to the handbook."""

    path: str
    title: str
    created: datetime.date
    blocks: tuple[Block, ...]


def read_sources(folder: Path = DATA / "sources") -> list[Source]:
    """Every source, by file name."""
    sources = []
    for file in sorted(folder.glob("*.yaml")):
        raw = yaml.safe_load(file.read_text(encoding="utf-8"))
        sources.append(Source(raw["path"], raw["title"], raw["created"], parse_body(raw["body"])))
    return sources


def parse_body(body: str) -> tuple[Block, ...]:
    """The blocks of a body; blank lines part them, and the line breaks inside a paragraph are folded."""
    blocks = []
    for piece in re.split(r"\n\s*\n", body.strip()):
        lines = [line.strip() for line in piece.splitlines()]
        if lines[0].startswith("|"):
            rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]
            blocks.append(Block("table", rows=(rows[0], *rows[2:])))  # the second row is the rule under the header
        elif lines[0] == "---":
            blocks.append(Block("page"))
        elif lines[0].startswith("## "):
            blocks.append(Block("heading", lines[0][3:]))
        elif lines[0].startswith("# "):
            blocks.append(Block("title", lines[0][2:]))
        else:
            blocks.append(Block("paragraph", " ".join(lines)))
    return tuple(blocks)


def pdf(source: Source) -> bytes:
    """A4 pages with the page number at the foot. Helvetica needs no font file, and its encoding holds the € sign."""
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.lib.units import mm
    from reportlab.pdfgen.canvas import Canvas
    from reportlab.platypus import (
        BaseDocTemplate,
        Flowable,
        Frame,
        PageBreak,
        PageTemplate,
        Paragraph,
        Table,
        TableStyle,
    )

    body = ParagraphStyle("body", fontName="Helvetica", fontSize=10.5, leading=15, spaceAfter=7)
    styles = {
        "title": ParagraphStyle("title", fontName="Helvetica-Bold", fontSize=20, leading=26, spaceAfter=10),
        "heading": ParagraphStyle(
            "heading", fontName="Helvetica-Bold", fontSize=13, leading=18, spaceBefore=8, spaceAfter=4
        ),
        "paragraph": body,
    }
    grid = TableStyle([("GRID", (0, 0), (-1, -1), 0.4, "#999999"), ("FONTNAME", (0, 0), (-1, 0), "Helvetica-Bold")])

    def flowable(block: Block) -> Flowable:
        if block.kind == "page":
            return PageBreak()
        if block.kind == "table":
            return Table([list(row) for row in block.rows], hAlign="LEFT", style=grid, spaceBefore=4, spaceAfter=8)
        return Paragraph(escape(block.text), styles[block.kind])

    def foot(canvas: Canvas, document: BaseDocTemplate) -> None:
        canvas.setFont("Helvetica", 8)
        canvas.drawString(25 * mm, 12 * mm, f"{AUTHOR} · {source.title} · page {document.page}")

    out = io.BytesIO()
    document = BaseDocTemplate(out, pagesize=A4, title=source.title, author=AUTHOR, invariant=1)
    frame = Frame(25 * mm, 22 * mm, A4[0] - 50 * mm, A4[1] - 44 * mm)
    document.addPageTemplates(PageTemplate(frames=[frame], onPageEnd=foot))  # drawn last, so that it is read last
    document.build([flowable(block) for block in source.blocks])
    return out.getvalue()


def docx(source: Source) -> bytes:
    """A Word document with real heading styles and a real table."""
    import docx as word
    from docx.oxml import OxmlElement

    document = word.Document()
    core = document.core_properties
    core.title, core.author, core.last_modified_by = source.title, AUTHOR, AUTHOR
    core.created = core.modified = datetime.datetime.combine(source.created, datetime.time(9))
    for block in source.blocks:
        if block.kind == "table":
            table = document.add_table(rows=0, cols=len(block.rows[0]), style="Table Grid")
            for row in block.rows:
                for cell, text in zip(table.add_row().cells, row, strict=True):
                    cell.text = text
            header = table.rows[0]._tr.get_or_add_trPr()  # python-docx has no call for "repeat as header row"
            header.append(OxmlElement("w:tblHeader"))
        elif block.kind == "paragraph":
            document.add_paragraph(block.text)
        else:
            document.add_heading(block.text, level=1 if block.kind == "title" else 2)
    out = io.BytesIO()
    document.save(out)
    return _fixed_zip(out.getvalue(), source.created)


def xlsx(source: Source) -> bytes:
    """A workbook of text cells, one sheet per heading."""
    from openpyxl import Workbook
    from openpyxl.styles import Font

    book = Workbook()
    assert book.active is not None
    book.remove(book.active)
    for block in source.blocks:
        if block.kind == "heading":
            sheet = book.create_sheet(block.text)
        for row in block.rows:
            sheet.append(list(row))
        if block.rows:
            for cell in sheet[1]:
                cell.font = Font(bold=True)
    book.properties.title, book.properties.creator = source.title, AUTHOR
    book.properties.created = datetime.datetime.combine(source.created, datetime.time(9))
    out = io.BytesIO()
    book.save(out)
    return _fixed_zip(out.getvalue(), source.created)


def _fixed_zip(data: bytes, created: datetime.date) -> bytes:
    """The same archive without the hour of its making: Office writers stamp each entry and the core properties."""
    stamp = f"{created.isoformat()}T09:00:00Z".encode()
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "docProps/core.xml":
                content = re.sub(rb"(<dcterms:modified[^>]*>)[^<]*", rb"\g<1>" + stamp, content)
            entry = zipfile.ZipInfo(name, date_time=(created.year, created.month, created.day, 9, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            new.writestr(entry, content)
    return out.getvalue()


WRITERS: dict[str, Callable[[Source], bytes]] = {".pdf": pdf, ".docx": docx, ".xlsx": xlsx}


def extract(data: bytes, suffix: str) -> str:
    """The text of a built file, read by the format's plain reader: paragraphs, then one line per table row."""
    if suffix == ".pdf":
        import pypdfium2

        document = pypdfium2.PdfDocument(data)
        return "\n".join(page.get_textpage().get_text_bounded() for page in document)
    if suffix == ".docx":
        import docx as word

        document = word.Document(io.BytesIO(data))
        rows = [" | ".join(cell.text for cell in row.cells) for table in document.tables for row in table.rows]
        return "\n".join([*(p.text for p in document.paragraphs), *rows])
    from openpyxl import load_workbook

    book = load_workbook(io.BytesIO(data), read_only=True)
    lines = []
    for sheet in book.worksheets:
        lines.append(sheet.title)
        lines += [" | ".join(str(cell) for cell in row) for row in sheet.iter_rows(values_only=True)]
    return "\n".join(lines)


def stale(handbook: Path = DATA / "handbook") -> list[str]:
    """The paths whose file is missing or holds another text than its source would give."""
    found = []
    for source in read_sources():
        target = handbook / source.path
        fresh = extract(WRITERS[target.suffix](source), target.suffix)
        if not target.is_file() or extract(target.read_bytes(), target.suffix) != fresh:
            found.append(source.path)
    return found


def main() -> int:
    """The command line: writes every document, or with --check only compares."""
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    if parser.parse_args().check:
        differing = stale()
        for path in differing:
            print(f"{path}: its text is not what data/sources/ would give; run python data/build_documents.py")
        return 1 if differing else 0
    for source in read_sources():
        target = DATA / "handbook" / source.path
        data = WRITERS[target.suffix](source)
        target.write_bytes(data)
        print(f"{source.path}: {len(data)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())

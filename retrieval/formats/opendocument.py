"""OpenDocument text (odt) -> Markdown, from the zip's own XML (OpenDocument 1.3, part 3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from groundtone.errors import DocumentError
from retrieval import markup
from retrieval.formats.extract import Extract, dated, own_title
from retrieval.formats.packed import open_zip, parse, part

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_DC = "{http://purl.org/dc/elements/1.1/}"
_LEFT_OUT = frozenset(
    {f"{_TEXT}tracked-changes", f"{_TEXT}table-of-content", f"{_TEXT}alphabetical-index", f"{_OFFICE}annotation"}
    | {f"{_TEXT}note-citation", f"{_TEXT}sequence-decls", f"{_OFFICE}forms"}
)
_MOST_REPEATS = 100  # spreadsheets inside a text repeat their empty columns to the format's limit


def read_odt(data: bytes) -> Extract:
    """Headings, lists, tables and footnotes (in brackets); contents pages, comments and deleted text go."""
    with open_zip(data, ".odt") as packed:
        if "META-INF/manifest.xml" in packed.namelist() and b"encryption-data" in packed.read("META-INF/manifest.xml"):
            raise DocumentError("it is protected by a password; save a copy without one")
        body = parse(part(packed, "content.xml", ".odt"), "content.xml").find(f"{_OFFICE}body/{_OFFICE}text")
        about = parse(packed.read("meta.xml"), "meta.xml") if "meta.xml" in packed.namelist() else None
    if body is None:
        raise DocumentError("it is an OpenDocument file but no text; save it as .odt, .xlsx or .pptx")
    title = next((own_title(e.text) for e in about.iter(f"{_DC}title")), "") if about is not None else ""
    changed = next((e.text for e in about.iter(f"{_DC}date")), "") if about is not None else ""
    return Extract(markup.tidy("\n\n".join(_blocks(body))), title, meta=dated(changed))


def _blocks(parent: Element) -> Iterator[str]:
    for child in parent:
        if child.tag in _LEFT_OUT:
            continue
        if child.tag == f"{_TEXT}h":
            level = child.get(f"{_TEXT}outline-level", "1")
            yield f"{'#' * min(6, int(level) if level.isdecimal() else 1)} {' '.join(_inline(child).split())}"
        elif child.tag == f"{_TEXT}p":
            text = _inline(child).strip()
            yield f"# {text}" if child.get(f"{_TEXT}style-name") == "Title" and text else text
        elif child.tag == f"{_TEXT}list":
            yield "\n".join(_items(child, 0))
        elif child.tag == f"{_TABLE}table":
            rows = [_cells(row) for row in child.iter(f"{_TABLE}table-row")]
            if any(cell for row in rows for cell in row):
                yield markup.table(rows)
        else:  # sections, frames, indexes: what they hold
            yield from _blocks(child)


def _items(parent: Element, depth: int) -> Iterator[str]:
    for item in parent:
        for child in item:
            if child.tag == f"{_TEXT}list":
                yield from _items(child, depth + 1)
            elif text := " ".join(_inline(child).split()):
                yield f"{'  ' * depth}- {text}"


def _cells(row: Element) -> list[str]:
    cells = []
    for cell in row:
        repeats = cell.get(f"{_TABLE}number-columns-repeated", "1")
        text = " ".join(" ".join(_inline(child).split()) for child in cell)
        cells += [text] * min(_MOST_REPEATS, int(repeats) if repeats.isdecimal() else 1)
    return cells


def _inline(element: Element) -> str:
    """The text of a paragraph and of what stands inside it."""
    out = [element.text or ""]
    for child in element:
        if child.tag == f"{_TEXT}s":
            out.append(" ")
        elif child.tag == f"{_TEXT}tab":
            out.append("\t")
        elif child.tag == f"{_TEXT}line-break":
            out.append("\n")
        elif child.tag == f"{_TEXT}note":
            out.append(f" ({' '.join(_inline(child).split())})")
        elif child.tag not in _LEFT_OUT:
            out.append(_inline(child))
            if child.tag in (f"{_TEXT}p", f"{_TEXT}h"):  # of a text box
                out.append("\n")
        out.append(child.tail or "")
    return "".join(out)

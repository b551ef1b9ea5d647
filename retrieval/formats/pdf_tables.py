"""Ruled tables of a PDF page through pdfplumber, which is slow: only pages that draw lines are given to it."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retrieval import markup

if TYPE_CHECKING:
    from pypdfium2 import PdfPage

_FEWEST_PATHS, _MOST_PATHS = 4, 3000  # fewer draw no table; more draw a picture
_CELL_CHARS, _CELL_LINES = 300, 6  # a larger cell is a box of text, not of a table
_FILLED = 0.5  # share of cells with text in it: below, the lines are a drawing or a form's frame


@dataclass(frozen=True, slots=True)
class Table:
    """A table as Markdown and the box that it fills: left, bottom, right, top in points from the bottom left."""

    text: str
    box: tuple[float, float, float, float]

    def holds(self, x: float, y: float) -> bool:
        """Whether a point lies in it."""
        left, bottom, right, top = self.box
        return left <= x <= right and bottom <= y <= top


def draws_lines(page: PdfPage) -> bool:
    """Whether a page holds enough drawn paths for a ruled table, and lies as its coordinates say."""
    from pypdfium2 import raw

    if page.get_rotation() or page.get_mediabox()[:2] != (0, 0) or page.get_cropbox() != page.get_mediabox():
        return False
    count = raw.FPDFPage_CountObjects(page)
    if count > 10 * _MOST_PATHS:
        return False
    paths = 0
    for at in range(count):
        paths += raw.FPDFPageObj_GetType(raw.FPDFPage_GetObject(page, at)) == raw.FPDF_PAGEOBJ_PATH
    return _FEWEST_PATHS <= paths <= _MOST_PATHS


class TableFinder:
    """Finds tables on pages of one file, which is parsed a second time on first need."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._pdf: Any = None

    def find(self, number: int) -> list[Table]:
        """The tables on a page, counted from 0, of at least two rows and columns; none where the parser gives up."""
        import pdfplumber
        from pdfminer.pdfexceptions import PDFException
        from pdfplumber.utils.exceptions import PdfminerException

        try:
            if self._pdf is None:
                self._pdf = pdfplumber.open(io.BytesIO(self._data))
            page = self._pdf.pages[number]
            height = float(page.height)
            tables = []
            for found in page.find_tables():
                rows = [[cell or "" for cell in row] for row in found.extract()]
                cells = [cell for row in rows for cell in row]
                width = max((len(row) for row in rows), default=0)
                boxes = any(len(cell) > _CELL_CHARS or cell.count("\n") >= _CELL_LINES for cell in cells)
                if len(rows) > 1 and width > 1 and not boxes and sum(map(bool, cells)) >= _FILLED * len(cells):
                    left, top, right, bottom = found.bbox
                    tables.append(Table(markup.table(rows).strip(), (left, height - bottom, right, height - top)))
            page.close()
        except (PDFException, PdfminerException, ValueError, KeyError, TypeError, IndexError, AttributeError):
            return []  # the text itself has been read by the other library
        return tables

"""Tables: csv through the standard library, Excel (xlsx) through openpyxl -> Markdown tables."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from datetime import datetime, time
from typing import Any

from groundtone.errors import DocumentError
from retrieval import markup
from retrieval.formats.encodings import decode, one_line_end
from retrieval.formats.extract import Extract, shown_number
from retrieval.formats.packed import open_zip
from retrieval.formats.word import core_properties
from retrieval.front_matter import groups_of, read_front_matter

_SHEET = re.compile(r"xl/worksheets/[^/]+\.xml$")
_NO_VALUE = re.compile(rb"<f\b[^>]*(?:/>|>[^<]*</f>)\s*(?:<v\s*/>|<v></v>)?\s*</c>")
_CURRENCY = re.compile(r"[$€£¥]")


def read_csv(data: bytes) -> Extract:
    """The table as Markdown: the first row names the columns."""
    decoded = decode(data)
    text = one_line_end(decoded.text)
    front = read_front_matter(text)
    groups_of(front)  # what it cannot understand is refused here: as a table it would be text
    above, text = text[: front.end], text[front.end :]
    try:  # its guess at the quoting is made from the sample alone, and wrong where a doubled quote comes later
        delimiter = csv.Sniffer().sniff(text[:8192], delimiters=",;\t|").delimiter
    except csv.Error:  # one column, or too few rows to tell: commas are the format's name
        delimiter = ","
    lines = io.StringIO(text, newline="")
    try:
        read = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
        rows = [row for row in read if any(c.strip() for c in row)]
    except csv.Error as error:
        raise DocumentError(f"it is no readable CSV ({error}); save it again as CSV with quoted cells") from error
    if not rows:
        raise DocumentError("the table has no rows; fill it or remove it")
    return Extract(above + markup.table(rows), meta=decoded.meta())


def read_xlsx(data: bytes) -> Extract:
    """Each sheet under its name; blank rows part its tables; values with their per cent or currency, no formulas."""
    from openpyxl import load_workbook

    with open_zip(data, ".xlsx") as packed:
        title, about = core_properties(packed)
        meta: dict[str, object] = dict(about)
        without = sum(len(_NO_VALUE.findall(packed.read(name))) for name in packed.namelist() if _SHEET.match(name))
    if without:
        meta["left_out"] = [f"{without} formulas without a value; open it in its program and save it again"]
    book = load_workbook(io.BytesIO(data), read_only=True, data_only=True)
    try:
        sheets = []
        for sheet in book.worksheets:
            sheet.reset_dimensions()  # files declare them wrongly, up to the largest sheet there can be
            blocks = list(_blocks([[_shown(cell) for cell in row] for row in sheet.iter_rows()]))
            if blocks:
                sheets.append("\n\n".join([f"## {sheet.title}", *blocks]))
    finally:
        book.close()
    if not sheets:
        raise DocumentError("none of its sheets holds a value; fill it or remove it")
    return Extract(markup.tidy("\n\n".join(sheets)), title, meta=meta)


def _shown(cell: Any) -> str:
    """A cell's value as a person sees it, without the rounding."""
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(" ", "minutes")
    if isinstance(value, int | float):
        look = str(cell.number_format)
        if "%" in look:
            return f"{100 * value:.10g}%"
        sign = _CURRENCY.search(re.sub(r"\[\$([^-\]]*)[^\]]*\]", r"\1", look))
        return (sign.group() if sign else "") + shown_number(value)
    return str(value).strip()


def _blocks(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Tables parted by blank rows; a row of one cell above a table is its caption, a block of one column a list."""
    block: list[list[str]] = []
    for row in [*rows, []]:
        if any(row):
            block.append(list(row))
        elif block:
            yield from _block(block)
            block = []


def _block(rows: list[list[str]]) -> Iterator[str]:
    width = max(len(row) for row in rows)
    filled = [row + [""] * (width - len(row)) for row in rows]
    kept = [at for at in range(width) if any(row[at] for row in filled)]
    cells = [[row[at] for at in kept] for row in filled]
    while cells and (
        len(kept) == 1
        or (len(cells) > 1 and sum(map(bool, cells[0])) == 1 < max(sum(map(bool, row)) for row in cells[1:]))
    ):
        yield next(cell for cell in cells.pop(0) if cell)
    if cells:
        yield markup.table(cells)

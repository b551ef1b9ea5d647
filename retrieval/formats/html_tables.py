"""HTML tables made plain before they become Markdown: layout undone, nested tables flattened, spans filled in.

Markdown knows rectangles only. A cell that spans rows is repeated in each of them, so that each row says all it means.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bs4 import Tag

_MOST_COLUMNS = 200
_LAYOUT_COLUMNS = 2  # a table with another one inside and no more columns than this arranges a page


def make_plain(root: Tag) -> None:
    """Rewrites the tables below `root` in place, the inner ones first."""
    for table in reversed(root.find_all("table")):
        rows = [row for row in table.find_all("tr") if row.find_parent("table") is table]
        widest = max((len(_cells(row)) for row in rows), default=0)
        nested = table.find("table") is not None
        if (nested and widest <= _LAYOUT_COLUMNS) or (len(rows) == 1 and widest == 1):
            _undo(table)
            continue
        for inner in table.find_all("table"):
            _flatten(inner)
        _repeat_spanning(rows)


def _cells(row: Tag) -> list[Tag]:
    return row.find_all(["td", "th"], recursive=False)


def _undo(table: Tag) -> None:
    """A table that only arranges: its cells become blocks, one below the other."""
    for tag in [table, *table.find_all(["thead", "tbody", "tfoot", "tr", "td", "th", "colgroup", "caption"])]:
        if tag.find_parent("table") in (None, table) or tag is table:
            tag.name = "div"
            tag.attrs = {}


def _flatten(inner: Tag) -> None:
    """A table inside a cell as one line: cells parted by commas, rows by semicolons."""
    rows = [[" ".join(cell.get_text(" ").split()) for cell in _cells(row)] for row in inner.find_all("tr")]
    inner.replace_with("; ".join(", ".join(cell for cell in row if cell) for row in rows if any(row)))


def _repeat_spanning(rows: list[Tag]) -> None:
    """Cells that span rows are copied into each; blanks follow those that span columns."""
    below: dict[int, tuple[Tag, int]] = {}  # column -> cell to copy, and into how many more rows
    for row in rows:
        at, waiting = 0, below
        below = {}
        for cell in [*_cells(row), None]:
            while at in waiting:
                above, left = waiting.pop(at)
                twin = copy.copy(above)
                if cell is None:
                    row.append(twin)
                else:
                    cell.insert_before(twin)
                if left > 1:
                    below[at] = (above, left - 1)
                at += 1
            if cell is None:
                continue
            down, across = _span(cell, "rowspan"), min(_span(cell, "colspan"), _MOST_COLUMNS)
            for name in ("rowspan", "colspan"):
                cell.attrs.pop(name, None)
            if across > 1:
                cell["colspan"] = str(across)
            if down > 1 and at < _MOST_COLUMNS:
                below[at] = (cell, min(down, len(rows)) - 1)
            at += across


def _span(cell: Tag, name: str) -> int:
    value = str(cell.get(name, "1")).strip()
    return max(1, int(value)) if value.isdecimal() and len(value) < 6 else 1

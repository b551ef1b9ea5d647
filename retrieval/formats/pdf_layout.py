"""The lines of a PDF page as paragraphs and headings, by where they stand and how they are set.

A line break is a wrap where the next line's first word would not have fitted behind it; a heading is larger than most
of the document's text, or a bold line of its own. Places are in points, with the origin at the bottom left.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from retrieval import markup
from retrieval.wraps import sentence_ended, starts_field, starts_item

if TYPE_CHECKING:
    from pypdfium2 import PdfTextPage

_LARGER = 1.15  # times the size of the body: a heading
_BOLD_WEIGHT = 600
_MOST_MARKED = 0.25  # share of a document's letters: a look that more than this have marks no heading
_HEADING_CHARS, _BOLD_HEADING_CHARS = 120, 80
_DEEPEST = 3
_WIDER_GAP = 1.3  # times the usual distance of two lines: a new paragraph
_CELL_GAP = 1.5  # times the size: a gap inside a line that parts the cells of a row
_FEWEST_CELLS, _FEWEST_ROWS = 3, 2  # of a table that is drawn by gaps alone
_BULLET_SIGN = re.compile(r"^[•●○■▪◦‣]\s+")
_SOFT_HYPHENS = re.compile("[\ufffe\u0002\xad]\n?")  # pdfium's marks for a hyphen that only the line end made


@dataclass(frozen=True, slots=True)
class Line:
    """A line as pdfium gives it. One that a soft hyphen joined to the next ends on a lower baseline than it begins.

    `size` is in points, 0 where the place of the line is not known or its letters stand upright. `cells`: its parts,
    where wide gaps part it.
    """

    text: str
    left: float = 0.0
    right: float = 0.0
    first_base: float = 0.0
    last_base: float = 0.0
    size: float = 0.0
    bold: bool = False
    cells: tuple[str, ...] = ()


def read_lines(textpage: PdfTextPage) -> list[Line]:
    """The page's lines in pdfium's order, cleaned of marks that are no letters."""
    text = textpage.get_text_range()
    placed = len(text) == textpage.count_chars()  # else the characters' numbers cannot be told
    lines, at = [], 0
    for raw in text.split("\r\n"):
        shown = _clean(raw)
        if not shown:
            lines.append(Line(""))
        elif placed:
            begin, end = at + len(raw) - len(raw.lstrip()), at + len(raw.rstrip()) - 1
            lines.append(_placed(textpage, text, begin, end))
        else:
            lines.append(Line(shown))
        at += len(raw) + 2
    return lines


def _clean(text: str) -> str:
    plain = " ".join(_SOFT_HYPHENS.sub("", text.replace("\x00", "")).split())
    return _BULLET_SIGN.sub("- ", plain)


def _placed(textpage: PdfTextPage, page: str, begin: int, end: int) -> Line:
    """The line that the characters from `begin` to `end`, both in it, make up."""
    import ctypes

    from pypdfium2 import raw

    left, first_base, _, _ = textpage.get_charbox(begin, loose=True)
    _, last_base, right, _ = textpage.get_charbox(end, loose=True)
    middle = (begin + end) // 2
    matrix = raw.FS_MATRIX()
    known = raw.FPDFText_GetMatrix(textpage, middle, ctypes.byref(matrix))
    upright = known and abs(matrix.b) > abs(matrix.d)
    scale = (matrix.b**2 + matrix.d**2) ** 0.5 if known and not upright else 0.0
    size = float(raw.FPDFText_GetFontSize(textpage, middle)) * scale
    bold = _is_bold(textpage, begin) and _is_bold(textpage, end)
    cells = _cells(textpage, page, begin, end, _CELL_GAP * size) if size else ()
    return Line(_clean(page[begin : end + 1]), left, right, first_base, last_base, size, bold, cells)


def _is_bold(textpage: PdfTextPage, at: int) -> bool:
    """Whether a letter's font says so by its weight or, as the standard fonts do, by its name alone."""
    import ctypes

    from pypdfium2 import raw

    name = ctypes.create_string_buffer(100)
    raw.FPDFText_GetFontInfo(textpage, at, name, 100, None)
    return raw.FPDFText_GetFontWeight(textpage, at) >= _BOLD_WEIGHT or b"bold" in name.value.lower()


def _cells(textpage: PdfTextPage, page: str, begin: int, end: int, gap: float) -> tuple[str, ...]:
    cells, start = [], begin
    for at in range(begin + 1, end):
        if page[at] == " " and page[at - 1] != " " and page[at + 1] != " ":
            right, left = textpage.get_charbox(at - 1, loose=True)[2], textpage.get_charbox(at + 1, loose=True)[0]
            if left - right > gap:
                cells.append(_clean(page[start:at]))
                start = at + 1
    return (*cells, _clean(page[start : end + 1])) if cells else ()


@dataclass(frozen=True, slots=True)
class Style:
    """What is usual in a document: the size of its body, the sizes of its headings, and the distance of its lines."""

    body: float
    headings: tuple[float, ...]
    leading: float
    bold_marks: bool

    def level(self, line: Line) -> int:
        """1 to 3 for the line of a heading by its looks, else 0."""
        if not line.size or not any(c.isalpha() for c in line.text) or line.text[-1] in ",;":
            return 0
        if round(line.size, 1) in self.headings and len(line.text) <= _HEADING_CHARS:
            return min(_DEEPEST, 1 + self.headings.index(round(line.size, 1)))
        short = len(line.text) <= _BOLD_HEADING_CHARS and line.text[-1] not in ".:!"
        named = self.bold_marks and line.bold and short and not line.cells and line.size > 0.95 * self.body
        return min(_DEEPEST, 1 + len(self.headings)) if named else 0


def style_of(pages: Sequence[Sequence[Line]]) -> Style | None:
    """The document's style; None where too few lines have a known place to tell."""
    lines = [line for page in pages for line in page if line.size]
    if len(lines) < 0.9 * sum(bool(line.text) for page in pages for line in page) or not lines:
        return None
    letters: Counter[float] = Counter()
    for line in lines:
        letters[round(line.size, 1)] += len(line.text)
    body = letters.most_common(1)[0][0]
    most = _MOST_MARKED * sum(letters.values())
    larger = sorted((size for size, n in letters.items() if size >= _LARGER * body and n < most), reverse=True)
    steps = [step / line.size for page in pages for step, line in _steps(page)]
    bold = sum(len(line.text) for line in lines if line.bold)
    return Style(body, tuple(larger), median(steps) if steps else 1.2, bold < most)


def _steps(page: Sequence[Line]) -> Iterator[tuple[float, Line]]:
    for above, line in pairwise(page):
        step = above.last_base - line.first_base
        if line.size and 0.8 * line.size < step < 2 * line.size:
            yield step, line


def compose(lines: Sequence[Line], style: Style) -> str:
    """The page as Markdown: paragraphs in one line each, headings marked, rows of cells as tables."""
    filled = [line for line in lines if line.text]
    parts, begin, at = [], 0, 0
    while at < len(filled):
        end = _table_end(filled, at)
        if end - at >= _FEWEST_ROWS:
            parts += [_prose(filled[begin:at], style), markup.table([line.cells for line in filled[at:end]]).strip()]
            begin = end
        at = max(end, at + 1)
    return "\n\n".join(part for part in [*parts, _prose(filled[begin:], style)] if part)


def _table_end(lines: Sequence[Line], at: int) -> int:
    """The line behind the rows with as many cells as the one at `at`, each right below the other."""
    end = at
    while end < len(lines) and len(lines[end].cells) >= _FEWEST_CELLS and len(lines[end].cells) == len(lines[at].cells):
        if end > at and not 0 < lines[end - 1].last_base - lines[end].first_base < 3 * lines[end].size:
            break
        end += 1
    return end


def _prose(filled: Sequence[Line], style: Style) -> str:
    edges = _right_edges(filled, style)
    out, last_level = "", 0
    for at, line in enumerate(filled):
        level = style.level(line)
        above = filled[at - 1] if at else None
        if level and above is not None and not _stands_alone(filled, at, style) and level != last_level:
            level = 0
        if above is None:
            joint = ""
        elif level or last_level:
            joint = " " if level == last_level and _follows(above, line, style) else "\n\n"
        else:
            joint = _joint(above, line, edges[at - 1], style)
        mark = f"{'#' * level} " if level and joint != " " else ""
        out += joint + mark + line.text
        last_level = level
    return out


def _stands_alone(lines: Sequence[Line], at: int, style: Style) -> bool:
    """Whether a line begins a row of its own: bold words in the middle of a sentence do not."""
    line, above = lines[at], lines[at - 1]
    return line.size > _LARGER * style.body or not _follows(above, line, style) or sentence_ended(above.text)


def _follows(above: Line, line: Line, style: Style) -> bool:
    """Whether a line stands directly below another one, in the same column and size."""
    step = above.last_base - line.first_base
    overlap = min(above.right, line.right) > max(above.left, line.left) or above.last_base != above.first_base
    near = 0.3 * line.size < step <= _WIDER_GAP * style.leading * line.size
    return near and overlap and abs(above.size - line.size) < 0.1 * line.size


def _right_edges(lines: Sequence[Line], style: Style) -> list[float]:
    """For each line, how far to the right the lines of its block reach."""
    edges: list[float] = []
    begin = 0
    for at in range(1, len(lines) + 1):
        if at == len(lines) or not _follows(lines[at - 1], lines[at], style):
            edges += [max(line.right for line in lines[begin:at])] * (at - begin)
            begin = at
    return edges


def _joint(above: Line, line: Line, edge: float, style: Style) -> str:
    """What stands between two lines of text: a blank where a sentence runs on, else a line break or a blank line."""
    if (
        abs(above.last_base - line.first_base) <= 0.3 * line.size
        and 0 <= line.left - above.right + line.size < 3 * line.size
    ):
        return " "  # pieces of one row
    if above.cells or line.cells:
        return "\n\n"  # a row of a table or form
    if starts_item(line.text):
        return "\n" if _follows(above, line, style) else "\n\n"
    if starts_field(line.text):
        return "\n\n"
    word = line.text.split()[0]
    letter = (
        min((line.right - line.left) / len(line.text), 0.6 * line.size) if line.right > line.left else 0.5 * line.size
    )
    full = above.right + letter * (len(word) + 1) > edge - 0.5 * line.size
    if not _follows(above, line, style):
        runs_on = (
            full and not sentence_ended(above.text) and line.text[0].islower() and abs(above.size - line.size) < 0.5
        )
        return " " if runs_on else "\n\n"
    indented = line.left > above.left + 0.8 * line.size and sentence_ended(above.text)
    if full and not indented and above.text[-1] not in ":|":
        return "" if above.text.endswith("-") and above.text[-2:-1].isalpha() and word[0].islower() else " "
    return "\n" if sentence_ended(above.text) else "\n\n"

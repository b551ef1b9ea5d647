"""PDF -> the text of its pages, with the line wraps of a running sentence joined and headings marked as in Markdown."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from groundtone.errors import DocumentError
from retrieval.formats.extract import Extract, dated, of_pages, own_title
from retrieval.formats.pdf_layout import Line, Style, compose, read_lines, style_of
from retrieval.formats.pdf_tables import Table, TableFinder, draws_lines
from retrieval.wraps import unwrap

_HEADING_CHARS, _PROSE_WORDS = 70, 6
_PAGE = r"(?:page|seite|página|pagina|blad)"
_PAGE_NUMBER = re.compile(
    rf"\b{_PAGE}\W{{0,3}}\d+(?:\s?(?:/|of|von|de|di|van)\s?\d+)?|^\d+\W{{1,3}}{_PAGE}$", re.IGNORECASE
)
_REPEATS = 3  # a first or last line on this many pages, and on most of them, is a running header or footer


def read_pdf(data: bytes) -> Extract:
    """The text of each page, with the title and the date of the file's properties; pages without text are named.

    Raises DocumentError for a file that is broken, protected by a password, or has no text (a scan).
    """
    import pypdfium2

    try:
        pdf = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise DocumentError("the PDF is protected by a password; save a copy without one") from error
        raise DocumentError(f"it is broken or no PDF ({error}); export it again") from error
    raw: list[list[Line]] = []
    tables: dict[int, list[Table]] = {}
    finder = TableFinder(data)
    try:
        for number, page in enumerate(pdf):
            textpage = page.get_textpage()
            raw.append(read_lines(textpage))
            if draws_lines(page) and any(line.text for line in raw[-1]):
                tables[number] = finder.find(number)
            textpage.close()
            page.close()
        title = own_title(pdf.get_metadata_value("Title"))
        meta: dict[str, Any] = _written(pdf.get_metadata_value("ModDate") or pdf.get_metadata_value("CreationDate"))
    except pypdfium2.PdfiumError as error:
        raise DocumentError(f"page {len(raw) + 1} of {len(pdf)} cannot be read ({error}); export it again") from error
    finally:
        pdf.close()
    lines = _without_running_lines(raw)
    pages = _composed(lines, tables)
    if not any(c.isalnum() for page in pages for c in page):
        raise DocumentError(f"none of its {len(pages)} pages holds text: it is a scan; run it through OCR first")
    empty = [str(n) for n, page in enumerate(pages, 1) if not any(c.isalnum() for c in page)]
    if empty:
        meta["left_out"] = [f"page {', '.join(empty)} of {len(pages)}: no text; if it is a scan, run it through OCR"]
    return of_pages(pages, title=title, meta=meta)


def _written(value: str) -> dict[str, str]:
    """Meta from a date of PDF, such as "D:20260401120000+02'00'"."""
    match = re.match(r"D:(\d{4})(\d{2})(\d{2})", value or "")
    return dated("-".join(match.groups())) if match else {}


def _composed(pages: list[list[Line]], tables: dict[int, list[Table]]) -> list[str]:
    """The text of each page, by its layout where it is known, else by the lengths of its lines."""
    style = style_of(pages)
    if style is None:
        return [mark_headings(unwrap("\n".join(line.text for line in page)).strip()) for page in pages]
    texts = [_with_tables(page, tables.get(number, []), style) for number, page in enumerate(pages)]
    marked = any(re.search(r"^#+ ", text, re.MULTILINE) for text in texts)
    return texts if marked else [mark_headings(text) for text in texts]


def _with_tables(lines: list[Line], tables: list[Table], style: Style) -> str:
    """A page whose lines inside a table's box give way to the table."""
    parts: list[str] = []
    run: list[Line] = []
    placed: list[Table] = []
    for line in lines:
        inside = [
            t for t in tables if line.text and t.holds((line.left + line.right) / 2, line.first_base + line.size / 2)
        ]
        if not inside:
            run.append(line)
        elif inside[0] not in placed:
            placed.append(inside[0])
            parts += [compose(run, style), inside[0].text]
            run = []
    return "\n\n".join(part for part in [*parts, compose(run, style)] if part)


def _without_running_lines(pages: list[list[Line]]) -> list[list[Line]]:
    """Pages without the header and footer lines that stand on most of them; page numbers are not told apart.

    Other figures are: "Total due: 1200 euros" at the foot of each page says something else on each.
    """
    edges = Counter(key for lines in pages for key in {_edge_key(line.text) for line in _edges(lines)})
    running = {key for key, n in edges.items() if n >= _REPEATS and n > len(pages) / 2}
    cleaned = []
    for lines in pages:
        drop = {line for line in _edges(lines) if _edge_key(line.text) in running}
        cleaned.append([line for line in lines if line not in drop])
    return cleaned


def _edges(lines: list[Line]) -> list[Line]:
    filled = [line for line in lines if line.text]
    return filled[:1] + filled[-1:]


def _edge_key(line: str) -> str:
    """What a line of a page's edge has in common with those of other pages: all of it but the page's number."""
    if not any(c.isalpha() for c in line):
        return re.sub(r"\d+", "#", line)
    return _PAGE_NUMBER.sub("page #", line)


def mark_headings(page: str) -> str:
    """The page with "## " before each line that looks like a heading: short, no full stop, between full sentences."""
    lines = page.split("\n")
    filled = [at for at, line in enumerate(lines) if line.strip()]
    for before, at, after in zip([None, *filled], filled, filled[1:], strict=False):
        line, following = lines[at], lines[after]
        begins = before is None or lines[before].rstrip("\"'”’)]").endswith((".", "!", "?"))
        names = len(line) <= _HEADING_CHARS and line[-1] not in ".!?:;,|" and (line[0].isupper() or line[0].isdigit())
        prose = len(following.split()) >= _PROSE_WORDS and following[0].isupper() and following[-1] in ".!?"
        if begins and names and prose and any(c.isalpha() for c in line):
            lines[at] = f"## {line}"
    return "\n".join(lines)

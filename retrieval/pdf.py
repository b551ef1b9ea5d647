"""PDF -> the text of its pages, with the line wraps of a running sentence joined and headings marked as in Markdown."""

from __future__ import annotations

import re
from collections import Counter

from groundtone.errors import DocumentError
from retrieval.wraps import unwrap

_JUNK_TITLE = re.compile(
    r"untitled|anonymous|microsoft (?:word|powerpoint|excel)|\.(?:docx?|pdf|pptx?|xlsx?|indd)$|^\W*$", re.I
)
_HEADING_CHARS, _PROSE_WORDS = 70, 6
_REPEATS = 3  # a first or last line on this many pages, and on most of them, is a running header or footer


def read(data: bytes) -> tuple[list[str], str]:
    """The text of each page, "" for one without, and the title of the file's properties.

    Raises DocumentError for a file that is broken, protected by a password, or has no text (a scan).
    """
    import pypdfium2

    try:
        pdf = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise DocumentError("the PDF is protected by a password; save a copy without one") from error
        raise DocumentError(f"it is broken or no PDF ({error}); export it again") from error
    try:
        raw = []
        for page in pdf:
            textpage = page.get_textpage()
            raw.append(textpage.get_text_range())
            textpage.close()
            page.close()
        title = str(pdf.get_metadata_value("Title") or "").strip()
    except pypdfium2.PdfiumError as error:
        raise DocumentError(f"page {len(raw) + 1} of {len(pdf)} cannot be read ({error}); export it again") from error
    finally:
        pdf.close()
    pages = [
        mark_headings(unwrap("\n".join(lines)).strip())
        for lines in _without_running_lines([_lines(text) for text in raw])
    ]
    if not any(c.isalnum() for page in pages for c in page):
        raise DocumentError(f"none of its {len(pages)} pages holds text: it is a scan; run it through OCR first")
    return pages, "" if _JUNK_TITLE.search(title) else title


def _lines(text: str) -> list[str]:
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "").replace("\xa0", " ")
    text = re.sub("[\ufffe\u0002\xad]\n?", "", text)  # pdfium's marks for a hyphen that only the line end made
    return [" ".join(line.split()) for line in text.split("\n")]


def _without_running_lines(pages: list[list[str]]) -> list[list[str]]:
    """Pages without the header and footer lines that stand on most of them; page numbers are not told apart."""
    edges = Counter(key for lines in pages for key in {_edge_key(line) for line in _edges(lines)})
    running = {key for key, n in edges.items() if n >= _REPEATS and n > len(pages) / 2}
    cleaned = []
    for lines in pages:
        drop = {line for line in _edges(lines) if _edge_key(line) in running}
        cleaned.append([line for line in lines if line not in drop])
    return cleaned


def _edges(lines: list[str]) -> list[str]:
    filled = [line for line in lines if line]
    return filled[:1] + filled[-1:]


def _edge_key(line: str) -> str:
    return re.sub(r"\d+", "#", line)


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

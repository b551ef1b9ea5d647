"""Word (docx) through mammoth and rich text (rtf) through striprtf -> Markdown."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from itertools import groupby
from zipfile import ZipFile

from groundtone.errors import DocumentError
from retrieval import markup
from retrieval.formats.encodings import one_line_end
from retrieval.formats.extract import Extract, dated, own_title
from retrieval.formats.packed import open_zip, parse, part
from retrieval.wraps import unwrap

_STYLES = """
p[style-name='Title'] => h1:fresh
p[style-name='Subtitle'] => p:fresh
"""
_DC = "{http://purl.org/dc/elements/1.1/}"
_DCTERMS = "{http://purl.org/dc/terms/}"
_UNREAD = re.compile(r"word/(?:charts/chart|diagrams/data)[^/]*\.xml$")
_RTF_TITLE = re.compile(r"\{\\title\s+([^{}\\]+)\}")


def read_docx(data: bytes) -> Extract:
    """Headings, lists, tables, footnotes and formulas (as LaTeX) of a Word file; headers, footers and images go."""
    import mammoth

    with open_zip(data, ".docx") as packed:
        formulas = b"<m:oMath" in part(packed, "word/document.xml", ".docx")
        title, about = core_properties(packed)
        unread = sum(_UNREAD.match(name) is not None for name in packed.namelist())
    meta: dict[str, object] = dict(about)
    if unread:
        meta["left_out"] = [f"{unread} charts or diagrams"]
    stream: io.BytesIO = io.BytesIO(data)
    if formulas:  # markitdown is slow to import, and only for this
        from markitdown.converter_utils.docx.pre_process import pre_process_docx

        stream = pre_process_docx(stream)
    page = mammoth.convert_to_html(
        stream, style_map=_STYLES, convert_image=mammoth.images.img_element(lambda image: {"src": ""})
    ).value
    text = markup.html_to_markdown(re.sub(r"<a id=\"[^\"]*\"></a>", "", page))
    heading = re.search(r"^# (.+)$", text, re.MULTILINE)  # properties often carry the template's title
    return Extract(text, "" if heading else title, meta=meta)


def core_properties(packed: ZipFile) -> tuple[str, dict[str, str]]:
    """Title and last change of an Office file, as far as it has them."""
    if "docProps/core.xml" not in packed.namelist():
        return "", {}
    root = parse(packed.read("docProps/core.xml"), "docProps/core.xml")
    changed = root.findtext(f"{_DCTERMS}modified") or root.findtext(f"{_DCTERMS}created")
    return own_title(root.findtext(f"{_DC}title")), dated(changed)


def read_rtf(data: bytes) -> Extract:
    """The text of a rich text file with its tables; the format marks headings by looks alone, so they are lost."""
    from striprtf.striprtf import rtf_to_text

    if not data.lstrip().startswith(b"{\\rtf"):
        raise DocumentError("its content is not .rtf; open it in its program and save it again")
    source = data.decode("latin-1")  # the format is ASCII; other letters stand there as escapes
    text = rtf_to_text(source, errors="replace").replace("\xa0", " ").replace("\x00", "")
    title = _RTF_TITLE.search(source)
    return Extract(unwrap("\n".join(_rtf_lines(one_line_end(text)))), own_title(title[1]) if title else "")


def _rtf_lines(text: str) -> Iterator[str]:
    """Lines; a run of lines whose cells end in a pipe becomes a table with blank lines around it."""
    for is_table, run in groupby(text.split("\n"), key=lambda line: line.rstrip().endswith("|")):
        if is_table:
            rows = [line.rstrip().removesuffix("|").split("|") for line in run]
            yield f"\n{markup.table(rows)}"
        else:
            yield from run

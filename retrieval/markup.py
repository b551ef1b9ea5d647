"""HTML, Word and Excel -> Markdown: headings, lists and tables keep their shape, a site's furniture goes."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from groundtone.errors import DocumentError

if TYPE_CHECKING:
    from bs4 import BeautifulSoup

_FURNITURE = (
    "script",
    "style",
    "noscript",
    "template",
    "nav",
    "footer",
    "aside",
    "form",
    "button",
    "svg",
    "iframe",
    "dialog",
)
_FURNITURE_ROLES = ("navigation", "banner", "contentinfo", "search", "dialog", "alertdialog", "menu")
_BARE_RULE = re.compile(r"\s{0,3}:?-+:?\s*(?:\|\s*:?-+:?\s*)+\|?\s*$")  # the line under a header without outer pipes
_BANNER = re.compile(
    r"(?:^|[-_\s])(?:cookies?|consent|gdpr|onetrust|skip-?link|breadcrumbs?)(?:$|[-_\s])", re.IGNORECASE
)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as a Markdown table, the first as its header; pipes escaped, line breaks folded, rows filled up."""
    width = max(len(row) for row in rows)
    lines = [_row([*row, *[""] * (width - len(row))]) for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * width, *lines[1:]]) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"


def outer_pipes(text: str) -> str:
    """Markdown whose tables all have pipes at both ends of a row, which GitHub's tables may lack."""
    lines = text.split("\n")
    in_table = False
    for at, line in enumerate(lines):
        if at + 1 < len(lines) and "|" in line and _BARE_RULE.match(lines[at + 1]):
            in_table = True
        elif "|" not in line:
            in_table = False
        if in_table and not line.lstrip().startswith("|"):
            closed = line.rstrip().removesuffix("|")
            lines[at] = f"| {closed.strip()} |"
    return "\n".join(lines)


def read_html(page: bytes | str) -> tuple[str, str, str]:
    """Markdown of the page's content, its title, and the date it says it was published (ISO or "").

    Bytes are decoded as the page itself declares.
    """
    from bs4 import BeautifulSoup, XMLParsedAsHTMLWarning
    from markdownify import markdownify

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", XMLParsedAsHTMLWarning)  # XHTML is read well enough as HTML
        soup = BeautifulSoup(page, "html.parser")
    title = _page_title(soup)
    published = _published(soup)
    _drop_furniture(soup)
    content = soup.find("main") or soup.find("article") if len(soup.find_all("article")) <= 1 else soup.find("main")
    chosen = content or soup.body or soup
    try:
        text = markdownify(str(chosen), heading_style="ATX", strip=["img"], bullets="-")
    except RecursionError as error:
        raise DocumentError("its elements are nested too deeply; save the page again from a browser") from error
    return _tidy(text), title, published


def _page_title(soup: BeautifulSoup) -> str:
    heading = soup.find("h1")
    if heading and heading.get_text(strip=True):
        return " ".join(heading.get_text(" ").split())
    return " ".join(soup.title.get_text(" ").split()) if soup.title else ""


def _published(soup: BeautifulSoup) -> str:
    for key in ("article:published_time", "date", "dcterms.date", "last-modified"):
        tag = soup.find("meta", attrs={"property": key}) or soup.find("meta", attrs={"name": key})
        if tag and tag.get("content"):
            return str(tag["content"])[:10]
    return ""


def _drop_furniture(soup: BeautifulSoup) -> None:
    for tag in soup.find_all(_FURNITURE):
        if not tag.decomposed:
            tag.decompose()
    for tag in soup.find_all(True):
        if tag.decomposed or tag.name in ("html", "body", "main", "article"):
            continue
        names = " ".join([*_as_list(tag.get("class")), *_as_list(tag.get("id"))])
        hidden = tag.has_attr("hidden") or re.search(r"display\s*:\s*none", " ".join(_as_list(tag.get("style"))))
        site_header = tag.name == "header" and tag.find_parent(["main", "article"]) is None
        if hidden or site_header or tag.get("role") in _FURNITURE_ROLES or _BANNER.search(names):
            tag.decompose()


def _as_list(value: object) -> list[str]:
    return [str(v) for v in value] if isinstance(value, list) else [str(value)] if value else []


def read_office(data: bytes, suffix: str) -> str:
    """Markdown of a Word or Excel file. Raises DocumentError for one that is broken or password-protected."""
    from markitdown import MarkItDown, MarkItDownException, StreamInfo

    if data.startswith(b"\xd0\xcf\x11\xe0"):
        raise DocumentError(
            f"it is password-protected or an old Office file, not {suffix}; save it unprotected as {suffix}"
        )
    if not data.startswith(b"PK"):
        raise DocumentError(f"its content is not {suffix}; open it in its program and save it again")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the spreadsheet reader, on styles that are not read here
            text = MarkItDown().convert_stream(io.BytesIO(data), stream_info=StreamInfo(extension=suffix)).text_content
    except (MarkItDownException, ValueError, KeyError, OSError, RecursionError) as error:
        raise DocumentError(f"it is broken or not {suffix} ({type(error).__name__}); save it again") from error
    return _tidy(_tidy_cells(text) if suffix == ".xlsx" else re.sub(r"!\[[^\]]*\]\([^)]*\)", "", text))


def _tidy_cells(text: str) -> str:
    """Spreadsheet cells as a person sees them: empty ones empty, whole days without a time."""
    text = re.sub(r"(?<=\|) (?:NaN|NaT|Unnamed: \d+) (?=\|)", "  ", text)
    return re.sub(r"(\d{4}-\d{2}-\d{2}) 00:00:00(?= \|)", r"\1", text)


def _tidy(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\xa0", " ")
    text = re.sub(r"[ \t]+\n", "\n", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"

"""HTML and tables -> Markdown: headings, lists and tables keep their shape, a site's furniture goes."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from retrieval.formats import html_tables
from retrieval.formats.encodings import one_line_end

if TYPE_CHECKING:
    from bs4 import BeautifulSoup, Tag

_FURNITURE = (
    "script",
    "style",
    "noscript",
    "template",
    "nav",
    "footer",
    "button",
    "svg",
    "iframe",
    "dialog",
)
_FURNITURE_ROLES = ("navigation", "banner", "contentinfo", "search", "dialog", "alertdialog", "menu")
_FIELDS = ("input", "select", "textarea", "datalist")  # what a form that holds the page's content loses
_CONTENT = ("main", "article")
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_BARE_RULE = re.compile(r":?-+:?(?:\|:?-+:?)+\|?$")  # the line under a header without outer pipes, its blanks taken out
_INNER_LINK = re.compile(r"^\s*(?:#|javascript:)", re.IGNORECASE)
_BANNER = re.compile(
    r"(?:^|[-_\s])(?:cookies?(?:banner|bar|consent|notice|policy)?|consent|gdpr|onetrust|cybot\w*)(?:$|[-_\s])",
    re.IGNORECASE,
)
_SIGNPOST = re.compile(
    r"(?:^|[-_\s])(?:skip-?link|breadcrumbs?|mw-editsection|noprint|interlanguage-link)(?:$|[-_\s])", re.IGNORECASE
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
        if at + 1 < len(lines) and "|" in line and _is_bare_rule(lines[at + 1]):
            in_table = True
        elif "|" not in line:
            in_table = False
        if in_table and not line.lstrip().startswith("|"):
            closed = line.rstrip().removesuffix("|")
            lines[at] = f"| {closed.strip()} |"
    return "\n".join(lines)


def without_comments(text: str) -> str:
    """Markdown without its HTML comments, which no reader sees; code keeps them, and so does what is never closed."""
    parts: list[str] = []
    outside: list[str] = []
    fence = ""
    for line in text.splitlines(keepends=True):
        mark = _FENCE.match(line)
        if fence:
            parts.append(line)
            fence = "" if mark and mark[1].startswith(fence) and not line[mark.end() :].strip() else fence
        elif mark:
            parts += [_uncommented("".join(outside)), line]
            outside, fence = [], mark[1]
        else:
            outside.append(line)
    return "".join([*parts, _uncommented("".join(outside))])


def _uncommented(text: str) -> str:
    """Text outside code blocks; a comment that begins inside a code span of its line stays."""
    kept: list[str] = []
    at = ticks = 0
    while (begin := text.find("<!--", at)) >= 0 and (end := text.find("-->", begin + 4)) >= 0:
        line = text.rfind("\n", at, begin) + 1
        ticks = text.count("`", line, begin) if line else ticks + text.count("`", at, begin)
        if ticks % 2:
            kept.append(text[at : begin + 4])
            at = begin + 4
        else:
            kept.append(text[at:begin])
            at = end + 3
    return "".join([*kept, text[at:]])


def _is_bare_rule(line: str) -> bool:
    return line[:4].strip() != "" and _BARE_RULE.match("".join(line.split())) is not None


def read_html(page: bytes | str) -> tuple[str, str, str]:
    """Markdown of the page's content, its title, and the date it says it was published (ISO or "").

    Bytes are decoded as the page itself declares.
    """
    from bs4 import BeautifulSoup, XMLParsedAsHTMLWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", XMLParsedAsHTMLWarning)  # XHTML is read well enough as HTML
        soup = BeautifulSoup(page, "html.parser")
    title = _page_title(soup)
    published = _published(soup)
    _drop_furniture(soup)
    return html_to_markdown(_content(soup)), title, published


def _content(soup: BeautifulSoup) -> Tag:
    """What the page is for: its main part, its one article where that holds most of the words, else all of it."""
    everything = soup.body or soup
    articles = soup.find_all("article", limit=2)
    main = soup.find("main")
    if main is None and len(articles) == 1:
        holds_most = 2 * len(articles[0].get_text()) >= len(everything.get_text())
        return articles[0] if holds_most else everything  # a card beside the text is an article too
    return main or everything


def html_to_markdown(page: str | Tag) -> str:
    """Markdown of HTML without its images and the links inside the page; elements nested too deeply are bare text."""
    from bs4 import BeautifulSoup
    from markdownify import MarkdownConverter

    soup = BeautifulSoup(page, "html.parser") if isinstance(page, str) else page
    for link in soup.find_all("a", href=_INNER_LINK):
        link.unwrap()
    _drop_leading_rules(soup)
    html_tables.make_plain(soup)
    converter = MarkdownConverter(heading_style="ATX", strip=["img"], bullets="-", table_infer_header=True)
    try:
        text = converter.convert_soup(soup)
    except RecursionError:
        text = soup.get_text("\n")
    return tidy(text)


def _drop_leading_rules(root: Tag) -> None:
    """Rules above the first words part nothing, and in Markdown they would open a front matter."""
    from bs4.element import NavigableString, PreformattedString, Tag

    rules: list[Tag] = []
    for node in root.descendants:
        if isinstance(node, Tag) and node.name == "hr":
            rules.append(node)
        elif isinstance(node, NavigableString) and not isinstance(node, PreformattedString) and node.strip():
            break
    for rule in rules:
        rule.extract()


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
    """Takes out what frames the content. `extract`, not `decompose`: to ask a tag whether it is gone is slow in bs4."""
    for tag in soup.find_all(_FURNITURE):
        tag.extract()
    for tag in soup.find_all(True):
        if tag.name not in ("html", "body", *_CONTENT) and _is_furniture(tag):
            tag.extract()
    _open_forms(soup)


def _is_furniture(tag: Tag) -> bool:
    """Whether a tag frames the content. What lies inside the content is about cookies, and no banner."""
    if tag.has_attr("hidden") or tag.get("role") in _FURNITURE_ROLES:
        return True
    if re.search(r"display\s*:\s*none", " ".join(_as_list(tag.get("style")))):
        return True
    if tag.name in _HEADINGS:  # a heading's id is made from its words
        return False
    ids = [] if _named_by_heading(tag) else _as_list(tag.get("id"))
    names = " ".join([*_as_list(tag.get("class")), *ids])
    if _SIGNPOST.search(names):
        return True
    return bool(tag.name in ("aside", "header") or _BANNER.search(names)) and tag.find_parent(_CONTENT) is None


def _named_by_heading(tag: Tag) -> bool:
    """Whether a section has its id from the words of its heading, as documentation tools give them."""
    if tag.name != "section" and "section" not in _as_list(tag.get("class")):
        return False
    heading = tag.find(_HEADINGS)
    return heading is not None and _letters(heading.get_text()) == _letters(" ".join(_as_list(tag.get("id"))))


def _letters(text: str) -> str:
    return "".join(c for c in text.casefold() if c.isalnum())


def _open_forms(soup: BeautifulSoup) -> None:
    """Forms go, but one that holds the page's content, as ASP.NET wraps it, only loses its fields."""
    forms = soup.find_all("form")
    most = len((soup.body or soup).get_text()) / 2 if forms else 0.0
    for form in forms:
        if form.find((*_CONTENT, "h1")) is None and len(form.get_text()) <= most:
            form.extract()
            continue
        for field in form.find_all(_FIELDS):
            field.extract()
        form.unwrap()


def _as_list(value: object) -> list[str]:
    return [str(v) for v in value] if isinstance(value, list) else [str(value)] if value else []


def tidy(text: str) -> str:
    """Text without blanks at line ends and without more than one blank line in a row."""
    text = one_line_end(text).replace("\xa0", " ")
    text = "\n".join(line.rstrip(" \t") for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"

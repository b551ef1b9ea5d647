"""A document's outline: its sections, and in each the sentences and table rows, as spans of `doc.text`.

Reads Markdown (headings, fenced code, tables with outer pipes, front matter); plain text is one section. Every sentence
with words is a unit, except heading lines with something below them, table headers and front matter: these go into
headings. Nothing is rewritten, so that every span can be highlighted in the document.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from groundtone.text import is_table_row, sentence_spans, table_cells
from retrieval.front_matter import front_matter_end
from retrieval.meta import plain_heading, without_closing

_ATX = re.compile(r" {0,3}(#{1,6})[ \t]+(.*)$")
_UNDERLINE = re.compile(r" {0,3}(=+|-{3,})[ \t]*$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_RULE = re.compile(r"\|?(?::?-{2,}:?\|)+:?-*:?\|?$")  # of a line without its blanks


@dataclass(frozen=True, slots=True)
class Unit:
    """A sentence or a table row: what a passage is put together from. `breaks`: a paragraph begins with it."""

    start: int
    end: int
    row: bool = False
    breaks: bool = False


@dataclass(slots=True)
class Section:
    """What stands under one heading, or one table under it. `path` are the headings from the title down."""

    path: tuple[str, ...]
    columns: tuple[str, ...] = ()
    units: list[Unit] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Line:
    start: int
    end: int
    text: str


def outline(text: str, title: str) -> list[Section]:
    """The sections of `text` that hold at least one unit, in order."""
    lines = list(_lines(text, front_matter_end(text)))
    sections: list[Section] = []
    headings: list[tuple[int, str]] = []  # level and text, outermost first
    pending: _Line | None = None  # a heading below which nothing has come yet
    prose: list[_Line] = []
    at, fence = 0, ""

    def path() -> tuple[str, ...]:
        return _path(title, [name for _, name in headings])

    def close_prose() -> None:
        if prose:
            sections.append(Section(path(), (), _sentences(text, prose[0].start, prose[-1].end)))
            prose.clear()

    while at < len(lines):
        line = lines[at]
        mark = _FENCE.match(line.text)
        if fence or mark:
            fence = _after_fence(fence, mark.group(1) if mark else "", line.text)
            heading, table_end = None, at
        else:
            heading, table_end = _heading(lines, at), _table_end(lines, at)
        if heading:
            level, name, width = heading
            close_prose()
            if pending is not None and headings and level <= headings[-1][0]:
                sections.append(_leaf(title, headings, pending, text))
            headings = [h for h in headings if h[0] < level] + [(level, name)]
            pending, at = line, at + width
        elif table_end > at:
            close_prose()
            sections.extend(_table(path(), lines[at:table_end]))
            pending, at = None, table_end
        else:
            prose.append(line)
            if any(c.isalnum() for c in line.text):
                pending = None
            at += 1
    close_prose()
    if pending is not None:
        sections.append(_leaf(title, headings, pending, text))
    return [section for section in sections if section.units]


def _lines(text: str, start: int) -> Iterator[_Line]:
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        yield _Line(start, end, text[start:end])
        start = end + 1


def _after_fence(fence: str, mark: str, line: str) -> str:
    """The fence that is open after this line: a fence is closed by one at least as long and with nothing behind it."""
    if not fence:
        return mark
    closes = mark.startswith(fence[0]) and len(mark) >= len(fence) and not line.strip().strip(fence[0])
    return "" if mark and closes else fence


def _heading(lines: list[_Line], at: int) -> tuple[int, str, int] | None:
    """Level, plain text and height in lines of the heading that begins at line `at`."""
    atx = _ATX.match(lines[at].text)
    if atx:
        name = plain_heading(without_closing(atx[2]))
        return (len(atx[1]), name, 1) if any(c.isalnum() for c in name) else None
    text = lines[at].text.strip()
    starts = at == 0 or not lines[at - 1].text.strip()
    if not starts or at + 1 == len(lines) or not any(c.isalnum() for c in text) or text[0] in "|>-*+":
        return None
    underline = _UNDERLINE.match(lines[at + 1].text)
    return (1 if underline[1][0] == "=" else 2, plain_heading(text), 2) if underline else None


def _table_end(lines: list[_Line], at: int) -> int:
    """The line behind the table that begins at line `at`; `at` itself when none does."""
    if at + 1 >= len(lines) or not (is_table_row(lines[at].text) or _blank_row(lines[at].text)):
        return at
    if not _RULE.match("".join(lines[at + 1].text.split())):
        return at
    end = at + 2
    while end < len(lines) and (is_table_row(lines[end].text) or _blank_row(lines[end].text)):
        end += 1
    return end


def _blank_row(line: str) -> bool:
    return line.count("|") > 1 and not line.strip(" \t|")


def _table(path: tuple[str, ...], lines: list[_Line]) -> list[Section]:
    """The rows of a table under its column names; Word's tables often have theirs in the row below a blank one."""
    header, rows = lines[0], [line for line in lines[2:] if any(c.isalnum() for c in line.text)]
    if not any(c.isalnum() for c in header.text) and len(rows) > 1:
        header, rows = rows[0], rows[1:]
    if not rows:  # a header alone: its words must be found all the same
        return [Section(path, (), [_row_unit(header)])] if any(c.isalnum() for c in header.text) else []
    columns = tuple(plain_heading(cell) for cell in table_cells(header.text))
    if any(not cell for cell in columns) and not any(columns):
        columns = ()
    return [Section(path, columns, [_row_unit(row) for row in rows])]


def _row_unit(line: _Line) -> Unit:
    indent = len(line.text) - len(line.text.lstrip())
    return Unit(line.start + indent, line.start + len(line.text.rstrip()), row=True)


def _sentences(text: str, start: int, end: int) -> list[Unit]:
    units: list[Unit] = []
    last = start
    for a, b in sentence_spans(text[start:end]):
        gap = text[last : start + a]
        units.append(Unit(start + a, start + b, breaks=gap.count("\n") > 1))
        last = start + b
    return units


def _leaf(title: str, headings: list[tuple[int, str]], line: _Line, text: str) -> Section:
    """A heading with nothing below it is content of the heading above."""
    return Section(_path(title, [name for _, name in headings[:-1]]), (), _sentences(text, line.start, line.end))


def _path(title: str, headings: list[str]) -> tuple[str, ...]:
    """Title and headings; the first heading is dropped where it repeats the title."""
    if headings and headings[0].casefold() == title.casefold():
        headings = headings[1:]
    return tuple(part for part in [title, *headings] if part)

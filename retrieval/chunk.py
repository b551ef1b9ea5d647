"""Documents -> passages: along headings, sentences and table rows, bounded in the encoder's own tokens.

Guarantees: `doc.text[start:end] == text`; every sentence and row of the outline is in a passage, none in two; heading
and text together have at most `chunk_tokens` tokens (and never more than the encoder's window), as stored and as
embedded, and a passage has at most `_CHARS_PER_TOKEN` characters for each. Time is linear in the length of the text.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from groundtone.models.encoders import Encoder
from groundtone.prompts import split_heading
from groundtone.text import Span, is_table_row, row_as_sentence
from groundtone.types import Document, Passage, short_hash
from retrieval.outline import Section, Unit, outline

CHUNKER_VERSION = 3  # raise it when the same text gives other passages: indexes then cut every document again
CHUNK_TOKENS = 180
_SPECIAL_TOKENS = 2
_JOINT_TOKENS = 2  # ": " between heading and text, ". " between rows
_HEADING_SHARE = 0.5  # of the budget: a longer heading is shortened, so that the text has room
_FULL_ENOUGH = 0.6  # a passage this full ends where a paragraph does
_USUAL_CHARS_PER_TOKEN = 5
_CHARS_PER_TOKEN = 16  # at most: WordPiece makes one [UNK] of a run of over 100 characters, which would hide its length
_PAUSES = frozenset(",;:，、；：،؛।။᠂·…–—)]}）」』】")  # where a sentence without spaces is best cut

Count = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage and the spans of its sentences inside `passage.text`."""

    passage: Passage
    sentences: tuple[Span, ...]

    def embedded(self) -> list[str]:
        """The texts to encode: the whole passage first, then each sentence, all below the heading."""
        heading, text = self.passage.heading, self.passage.text
        return [embedded_text(heading, text), *(embedded_text(heading, text[a:b]) for a, b in self.sentences)]


def embedded_text(heading: str, text: str) -> str:
    """What is encoded of a text under its heading: "Title > Section: text", table rows with their columns' names."""
    shown, columns = split_heading(heading)
    lines = [line for line in text.splitlines() if line.strip()]
    if any(is_table_row(line) for line in lines):
        text = ". ".join(row_as_sentence(columns, line) if is_table_row(line) else line for line in lines)
    return f"{shown}: {text}" if shown else text


def chunk(doc: Document, encoder: Encoder, *, chunk_tokens: int = CHUNK_TOKENS) -> list[Chunk]:
    """The passages of a document in order. `doc.meta` gives the title and, for PDF, where its pages begin."""
    limit = min(chunk_tokens, encoder.max_tokens) - _SPECIAL_TOKENS
    pages: Sequence[int] = doc.meta.get("pages", ())
    chunks = []
    for section in outline(doc.text, str(doc.meta.get("title", ""))):
        for heading, units in _pack(doc.text, section, encoder, limit=limit, pages=pages):
            start, end = units[0].start, units[-1].end
            page = bisect_right(pages, start) if pages else None
            passage = Passage(
                short_hash(doc.id, str(start), str(end)),
                doc.id,
                doc.source,
                doc.text[start:end],
                start,
                end,
                heading,
                page,
            )
            chunks.append(Chunk(passage, tuple((u.start - start, u.end - start) for u in units)))
    return chunks


def _pack(
    text: str, section: Section, encoder: Encoder, *, limit: int, pages: Sequence[int]
) -> list[tuple[str, list[Unit]]]:
    """Units of one section, put together as long as they fit and stand on one page, with their passage's heading."""

    def count(piece: str) -> int:
        return len(encoder.token_offsets(piece))

    begin, end = section.units[0].start, section.units[-1].end
    token_starts = [begin + a for a, b in encoder.token_offsets(text[begin:end]) if b > a]
    heading, plain = _headings(section, count, limit=limit)
    columns = split_heading(heading)[1]
    raw_room = limit - count(heading) - _JOINT_TOKENS
    row_room = limit - count(split_heading(heading)[0]) - _JOINT_TOKENS

    packed: list[tuple[str, list[Unit]]] = []
    current: list[Unit] = []
    spelled = 0  # tokens of the rows of `current` when spelled out with their columns
    for unit in section.units:
        cost = count(row_as_sentence(columns, text[unit.start : unit.end])) + _JOINT_TOKENS if unit.row else 0
        first = current[0].start if current else unit.start
        raw = bisect_left(token_starts, unit.end) - bisect_left(token_starts, first)
        full_enough = unit.breaks and raw > _FULL_ENOUGH * raw_room
        new_page = bisect_right(pages, unit.start) != bisect_right(pages, first)
        too_long = unit.end - first > raw_room * _CHARS_PER_TOKEN
        if current and (raw > raw_room or too_long or spelled + cost > row_room or full_enough or new_page):
            packed.append((heading, current))
            current, spelled = [], 0
            raw = bisect_left(token_starts, unit.end) - bisect_left(token_starts, unit.start)
        if raw > raw_room or cost > row_room or unit.end - unit.start > raw_room * _CHARS_PER_TOKEN:
            room = limit - count(plain) - _JOINT_TOKENS
            packed += [(plain, [piece]) for piece in _pieces(text, unit, encoder, room=room)]
            continue
        current.append(unit)
        spelled += cost
    return [*packed, (heading, current)] if current else packed


def _pieces(text: str, unit: Unit, encoder: Encoder, *, room: int) -> list[Unit]:
    """A unit that is too long for any passage, cut at white space or a pause, else between tokens."""
    pieces = []
    start = unit.start
    while start < unit.end:
        for chars in (_USUAL_CHARS_PER_TOKEN, _CHARS_PER_TOKEN):  # what lies further behind is not looked at yet
            window = text[start : min(unit.end, start + room * chars)]
            offsets = encoder.token_offsets(window)
            last = start + len(window) == unit.end
            if last or len(offsets) > room:
                break
        size = min(room, len(offsets))
        while True:  # a cut inside a word changes its tokens: measure the piece itself
            whole = size == len(offsets)
            end = start + (len(window) if whole and last else _cut(window, len(window) if whole else offsets[size][0]))
            if size <= 1 or len(encoder.token_offsets(text[start:end])) <= room:
                break
            size -= max(1, size // 16)
        if text[start:end].strip():
            pieces.append(_trimmed(text, start, end))
        start = end
    return pieces


def _cut(text: str, at: int) -> int:
    """The last white space, else the last pause, in the half before `at`; else `at`, but not inside a character."""
    at = max(at, 1)
    half = range(at - 1, at // 2 - 1, -1)
    found = next((i for i in half if text[i].isspace()), None)
    if found is None:
        found = next((i for i in half if text[i] in _PAUSES), None)
    if found is not None:
        return found + 1
    whole = next((i for i in range(at, at // 2, -1) if i == len(text) or not _joins(text, i)), at)
    return max(whole, 1)


def _joins(text: str, at: int) -> bool:
    """Whether the character there belongs to the one before it: a combining mark, or part of a joined emoji."""
    joiner = "\u200d"
    return unicodedata.category(text[at]).startswith("M") or joiner in text[at - 1 : at + 1]


def _trimmed(text: str, start: int, end: int) -> Unit:
    while text[start].isspace():
        start += 1
    while text[end - 1].isspace():
        end -= 1
    return Unit(start, end)


def _headings(section: Section, count: Count, *, limit: int) -> tuple[str, str]:
    """The section's heading with its table's columns, and without; shortened to their share of the budget.

    " > " and " | " separate parts and columns; inside a part they are written with other signs.
    """
    most = int(_HEADING_SHARE * limit)
    parts = [part.replace(" > ", " › ").replace(" | ", " / ") for part in section.path]
    while len(parts) > 2 and count(" > ".join(parts)) > most:
        del parts[1]
    while len(parts) > 1 and count(" > ".join(parts)) > most:
        del parts[0]
    plain = _shortened(" > ".join(parts), count, most)
    room = most + limit // 5
    fitting = section.columns[:room]  # each has a token at least; measuring thousands again and again takes minutes
    columns = [cell.replace(" > ", " › ").replace(" | ", " / ") for cell in fitting]
    while len(columns) > 1 and count(" > ".join([plain, " | ".join(columns)])) > room:
        columns.pop()
    if len(columns) < 2:  # a single name cannot be told from a heading; split_heading needs the separator
        return plain, plain
    joined = " | ".join(columns)
    return (f"{plain} > {joined}" if plain else joined), plain


def _shortened(heading: str, count: Count, most: int) -> str:
    while count(heading) > most:
        cut = heading[: int(len(heading) * 0.8)]
        heading = cut.rsplit(" ", 1)[0] if " " in cut.strip() else cut
    return heading.rstrip(" >")

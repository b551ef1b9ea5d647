"""Line wraps: telling a line break that a page's width made from one that a person made.

A sentence ends at a line break everywhere else in groundtone, so a wrapped sentence must be mended where it is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from retrieval.meta import front_matter_end

_STRUCTURE = re.compile(r"\s*(?:[-–•*▪◦‣+](?:\s|$)|\(?\d{1,3}[.)]\s|\(?[a-z][.)]\s|#{1,6}\s|[|>]|```|~~~|={3,}|-{3,}|:?\w[\w ]{0,30}:\s)")
_FENCE = re.compile(r" {0,3}(?:```|~~~)")
_FULL_LINE = 0.6  # a line that fills this share of the usual width may have been wrapped
_WIDEST = 100  # characters: a text with longer lines is not wrapped by hand, only its shorter lines are


def join_wraps(lines: Sequence[str]) -> str:
    """Lines of one page as text: a line is joined to the one before when that one is full and its sentence goes on."""
    usual = usual_width(lines)
    text, last = "", ""
    for line in lines:
        if not line or not last:
            text += "\n" if text else ""
            text += line
        elif goes_on(last, line, usual):
            broken_word = last.endswith("-") and last[-2:-1].isalpha() and line[:1].islower()
            text += line if broken_word else f" {line}"
        else:
            text += f"\n{line}"
        last = line
    return text.strip()


def unwrap(text: str) -> str:
    """Markdown or plain text with wrapped lines joined: a line break becomes a space, so that no offset moves.

    Front matter, fenced code, tables, lists, headings and hard breaks (two spaces or a backslash) keep their lines.
    """
    start = front_matter_end(text)
    lines = text[start:].split("\n")
    usual = usual_width(lines)
    joined = text[:start]
    for line, following, fenced in _with_next(lines):
        keep = fenced or following is None or line.endswith(("  ", "\\")) or not goes_on(line, following, usual)
        joined += line + ("" if following is None else "\n" if keep else " ")
    return joined


def _with_next(lines: Sequence[str]) -> Iterator[tuple[str, str | None, bool]]:
    """Each line, the one after it (None: the last), and whether it is code or borders on a fence."""
    fenced = False
    for at, line in enumerate(lines):
        fence = _FENCE.match(line) is not None
        fenced ^= fence
        following = lines[at + 1] if at + 1 < len(lines) else None
        yield line, following, fenced or fence


def usual_width(lines: Sequence[str]) -> int:
    """The length in characters that nine of ten filled lines stay within, at most `_WIDEST`."""
    widths = sorted(len(line) for line in lines if line.strip())
    return min(_WIDEST, widths[int(0.9 * (len(widths) - 1))]) if widths else 0


def goes_on(line: str, following: str, usual: int) -> bool:
    """Whether a sentence runs from a line into the one after it."""
    last = line.strip()
    if not last or not following.strip() or len(line) < _FULL_LINE * usual or last[-1] in ":;|":
        return False
    if last.startswith(("#", "|")) or _STRUCTURE.match(following):
        return False
    ended = last.rstrip("\"'”’)]")[-1:] in tuple(".!?")
    return not ended or following.lstrip()[:1].islower()

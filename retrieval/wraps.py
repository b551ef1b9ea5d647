"""Line wraps in text without markup: telling a break that the page's width made from one that a person made.

Elsewhere in groundtone a single line break is a wrapped line, as in Markdown, and a blank line ends a sentence. Plain
text and PDF know no such rule, so their breaks are rewritten to it here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_STRUCTURE = re.compile(
    r"\s*(?:[-–•*▪◦‣+●○■](?:\s|$)|\(?\d{1,3}[.)]\s|\(?[a-z][.)]\s|#{1,6}\s|[|>]|```|~~~|={3,}|-{3,})"
)
_LABEL = re.compile(r"\s*\w[\w ]{0,30}:\s")  # "Order number: 7" begins a line of a form
_FULL_LINE = 0.6  # a line that fills this share of the usual width may have been wrapped
_WIDEST_CHARS = 100  # a text with longer lines is not wrapped throughout: only its shorter lines are


def unwrap(text: str) -> str:
    """Lines joined where a sentence runs on, and parted by a blank line where one ends without a full stop."""
    lines = text.split("\n")
    usual = _usual_width(lines)
    out, last = "", ""
    for line in lines:
        if not line.strip() or not last.strip():
            out += f"\n{line}" if out else line
        elif _goes_on(last, line, usual):
            broken_word = last.endswith("-") and last[-2:-1].isalpha() and line[:1].islower()
            out += line if broken_word else f" {line.lstrip()}"
        else:
            out += f"\n{line}" if sentence_ended(last) or starts_item(line) else f"\n\n{line}"
        last = line
    return out


def _usual_width(lines: Sequence[str]) -> int:
    """The length in characters that nine of ten filled lines stay within, at most `_WIDEST_CHARS`."""
    widths = sorted(len(line) for line in lines if line.strip())
    return min(_WIDEST_CHARS, widths[int(0.9 * (len(widths) - 1))]) if widths else 0


def _goes_on(line: str, following: str, usual: int) -> bool:
    """Whether a sentence runs from a line into the one after it."""
    last = line.strip()
    if len(line) < _FULL_LINE * usual or last[-1] in ":;|" or last.startswith(("#", "|")):
        return False
    if starts_item(following) or starts_field(following):
        return False
    return not sentence_ended(last) or following.lstrip()[:1].islower()


def starts_item(line: str) -> bool:
    """Whether a line begins a list item, a heading or a table row, so that it continues no sentence."""
    return bool(_STRUCTURE.match(line))


def starts_field(line: str) -> bool:
    """Whether a line begins with the name of a form's field, such as "Order number:"."""
    return bool(_LABEL.match(line))


def sentence_ended(line: str) -> bool:
    """Whether a line ends as a sentence does."""
    return line.rstrip().rstrip("\"'”’)]")[-1:] in (".", "!", "?")

"""A model's text made harmless for whoever shows it: no link, image, HTML tag or terminal control is live in it.

A link becomes its text and its address in brackets, a tag's `<` gets a space behind it, which HTML and Markdown read as
text. It reads the same in a terminal, in JSON and in a browser; pages that write HTML escape it as well.
"""

from __future__ import annotations

import re

from groundtone.untrusted import visible

__all__ = ["inert", "settled_end"]

_CONTROL = re.compile("\x1b\\[[0-?]*[ -/]*[@-~]|\x1b\\][^\x07\x1b]*(?:\x07|\x1b\\\\)?|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_LINK = re.compile(r"!?\[([^\[\]\n]*)\]\(\s*<?([^()\s<>]*)>?(?:\s[^()\n]*)?\)")
_DEFINITION = re.compile(r"^([ \t]{0,3}\[[^\]\n]+\]):", re.MULTILINE)
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_HELD = 400  # characters that an open bracket can hold back at most
_CLOSED = re.compile(r"\[[^\[\]\n]*\](?:\([^()]*\)|(?=[^(]))")


def inert(text: str) -> str:
    """The text without anything live; what is plain already comes out as it is, twice is the same as once."""
    text = visible(_CONTROL.sub("", text))
    while (plain := _LINK.sub(_told, text)) != text:  # from the inside out
        text = plain
    return _TAG.sub("< ", _DEFINITION.sub(r"\1 :", text))


def _told(match: re.Match[str]) -> str:
    label, address = match.groups()
    shown = f"[{label}]" if label.isdecimal() else label  # a citation stays one
    return f"{shown} ({address})" if address else shown


def _may_be_link(text: str, opened: int) -> bool:
    """Whether the bracket opened there may still begin a link: its label stands in one line, its address in several."""
    broken = text.find("\n", opened)
    return broken < 0 or "](" in text[opened:broken]


def settled_end(text: str) -> int:
    """How many characters of a text that is still being written no character to come can change.

    White space at the end, an opened bracket or link, a tag and a control sequence are not settled: `inert` and
    `grounding.cite` look at them whole. What stays open for long is let go.
    """
    end, at = len(text), max(0, len(text) - 10 * _HELD)
    while (opened := text.find("[", at)) >= 0:
        closed = _CLOSED.match(text, opened)
        if closed is None and end - opened <= _HELD and _may_be_link(text, opened):
            end = opened - (text[opened - 1 : opened] == "!")
            break
        at = closed.end() if closed else opened + 1
    escape = text.rfind("\x1b", max(0, end - 80), end)
    if escape >= 0 and _CONTROL.match(text, escape) is not None and text[escape:end] in ("\x1b", "\x1b[", "\x1b]"):
        end = escape
    while end and (text[end - 1].isspace() or text[end - 1] in "<!"):
        end -= 1
    return end

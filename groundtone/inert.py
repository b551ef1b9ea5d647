"""A model's text made harmless for whoever shows it: no link, image, HTML tag or terminal control is live in it.

A link becomes its text and its address in brackets, a tag's `<` gets a space behind it, which HTML and Markdown read as
text. It reads the same in a terminal, in JSON and in a browser; pages that write HTML escape it as well.
"""

from __future__ import annotations

import re
from bisect import bisect_right

from groundtone.untrusted import visible

__all__ = ["harmless", "inert", "settled"]

_CONTROL = re.compile("\x1b\\[[0-?]*[ -/]*[@-~]|\x1b\\][^\x07\x1b]*(?:\x07|\x1b\\\\)?|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_CONTROL_BEGUN = re.compile("\x1b\\[[0-?]*[ -/]*\\Z")
_PARTS = re.compile(r"(!?\[|[\]()\n])")
_TARGET = re.compile(r"\s*+<?([^()\s<>]*+)>?(?:\s[^()\n]*+)?|\s++[^()\n]*+")
_DEFINITION = re.compile(r"^([ \t]{0,3}\[[^\]\n]+\]):", re.MULTILINE)
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_LONGEST = 400  # characters of a link that is rewritten, so that an open bracket holds a stream back no longer
_OPENING = ("[", "![")


def inert(text: str) -> str:
    """The text without anything live; what is plain already comes out as it is, twice is the same as once.

    Links are rewritten from left to right as they close, those inside others first. Of one that is longer than
    400 characters, or nested oddly, the two brackets are parted: it stays readable, and no link either.
    """
    return harmless("".join(_Links(_seen(text)).parts))


def settled(text: str) -> str:
    """The beginning of `inert` of a text that is still being written: what no character to come can change.

    Without white space at the end. `inert` of any longer text begins with it.
    """
    links = _Links(_seen(_CONTROL_BEGUN.sub("", text)))
    return harmless("".join(links.parts[: links.open()])).rstrip("!").rstrip()


def _seen(text: str) -> str:
    return visible(_CONTROL.sub("", text))


def harmless(text: str) -> str:
    """A text whose links are plain, without what else is live: definitions, tags, an address behind a label."""
    return _TAG.sub("< ", _DEFINITION.sub(r"\1 :", text.replace("](", "] (")))


class _Links:
    """A text read from left to right, its links rewritten as they close.

    `parts` are the brackets, parentheses and line breaks of what was made of it, and the text between them.
    """

    def __init__(self, text: str) -> None:
        self.parts: list[str] = []
        self._marks: list[tuple[int, int]] = []  # brackets and line breaks: index in `parts`, where they stood
        self._parens: list[int] = []  # parentheses: index in `parts`
        self._at = 0
        for part in _PARTS.split(text):
            if part:
                self._read(part)

    def _read(self, part: str) -> None:
        self._at += len(part)
        if part == ")" and self._close():
            return
        if part in ("(", ")"):
            self._parens.append(len(self.parts))
        elif part in ("]", "\n", *_OPENING):
            self._marks.append((len(self.parts), self._at - len(part)))
        self.parts.append(part)

    def _close(self) -> bool:
        """Rewrite the link that the parenthesis read last would end; False where there is none."""
        opened = self._parens[-1] if self._parens else 0
        if self.parts[max(0, opened - 1) : opened + 1] != ["]", "("]:
            return False
        mark = bisect_right(self._marks, (opened, -1)) - 2  # the one before the "]": a label holds none
        first, began = self._marks[mark] if mark >= 0 else (0, 0)
        target = _TARGET.fullmatch("".join(self.parts[opened + 1 :]))
        if mark < 0 or self.parts[first] not in _OPENING or target is None or self._at - began > _LONGEST:
            return False
        self._parens.pop()
        if "".join(self.parts[first + 1 : opened - 1]).isdecimal():  # a citation stays one
            self.parts[first] = "["
            del self.parts[opened:], self._marks[mark + 2 :]
        else:
            self.parts[first] = ""
            del self.parts[opened - 1 if opened - 1 > first + 1 else first :], self._marks[mark:]
        if target[1]:
            self.parts.append(f" ({target[1]})")
        return True

    def open(self) -> int:
        """The index of the first part that may still become a link; how many there are where none may."""
        first = len(self.parts)
        for number in reversed(range(len(self._marks))):
            at, began = self._marks[number]
            if self.parts[at] in _OPENING and self._at - began < _LONGEST and self._may_close(number, first):
                first = at
        return first

    def _may_close(self, number: int, first: int) -> bool:
        """Whether the bracket may begin a link, where `first` is the first after it that may."""
        if number + 1 == len(self._marks):
            return True
        following = self._marks[number + 1][0]
        if self.parts[following] in _OPENING:
            return following == first
        if self.parts[following] == "\n":
            return False
        after = following + 1
        if after in (len(self.parts), first):  # what may come to nothing lets the parenthesis follow
            return True
        return self.parts[after] == "(" and (first < len(self.parts) or self._parens[-1] == after)

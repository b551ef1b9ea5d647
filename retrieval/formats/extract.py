"""What a format's reader hands to `retrieval.loaders`: text, and what the file's own properties say."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

_JUNK_TITLE = re.compile(
    r"untitled|anonymous|^(?:document|presentation|powerpoint[ -]pr[eé]sentation|slide|title|book|workbook)\s?\d*$"
    r"|microsoft (?:word|powerpoint|excel)|\.(?:docx?|pdf|pptx?|xlsx?|indd|odt|rtf)$|^\W*$",
    re.IGNORECASE,
)


_MOST_WHOLE = 1e21


@dataclass(frozen=True, slots=True)
class Extract:
    """What one loader got out of a file. `published` counts as the date from which it holds, if its text names none.

    `meta["left_out"]` lists, in words for people, what the file holds that could not be read.
    """

    text: str
    title: str = ""
    published: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file inside a mail: read like any other by its suffix, or `message`, a mail inside it that was read already."""

    name: str
    data: bytes = b""
    message: Extract | None = None


def of_pages(pages: Sequence[str], *, title: str = "", meta: Mapping[str, Any] | None = None) -> Extract:
    """Pages (or slides) put together with a blank line between them; `meta["pages"]` says where each begins."""
    starts, length = [], 0
    for page in pages:
        starts.append(length)
        length += len(page) + 2
    return Extract("\n\n".join(pages), title, meta={"pages": starts, **(meta or {})})


def own_title(title: object) -> str:
    """A title from a file's properties; "" where a program has filled it in by itself ("Microsoft Word - a.doc")."""
    text = " ".join(str(title or "").split())
    return "" if _JUNK_TITLE.search(text) else text


def shown_number(value: int | float) -> str:
    """A number with all its digits, without an exponent where it is whole, and without the noise of binary fractions.

    Numbers of accounts and articles stand in tables as well as sums.
    """
    if isinstance(value, int) or (value.is_integer() and abs(value) < _MOST_WHOLE):
        return str(int(value))
    return f"{value:.15g}"


def dated(value: object) -> dict[str, str]:
    """Meta of the date in a file's properties (a datetime or an ISO text): when it was written, not when it holds."""
    text = value.date().isoformat() if isinstance(value, datetime) else str(value or "")[:10]
    return {"date": text} if re.fullmatch(r"\d{4}-[01]\d-[0-3]\d", text) else {}

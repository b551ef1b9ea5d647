"""What a document says of itself: its title, the date from which it holds, and the groups that may read it.

Dates are ISO texts ("2026-02-01") in `meta["effective"]`; groups a list of names in `meta["groups"]`, absent if public.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Any

from retrieval.front_matter import groups_of, read_front_matter

_MONTHS = {
    name: number
    for number, names in enumerate(
        "jan january|feb february|mar march|apr april|may|jun june|jul july|aug august|sep sept september|oct october|"
        "nov november|dec december".split("|"),
        1,
    )
    for name in names.split()
}
_DATE = (
    r"(?P<iso>\d{4}-\d{2}-\d{2})|(?P<day>\d{1,2})(?:st|nd|rd|th)? (?P<month>[A-Z][a-z]{2,8})\.?,? (?P<year>\d{4})"
    r"|(?P<month2>[A-Z][a-z]{2,8})\.? (?P<day2>\d{1,2})(?:st|nd|rd|th)?,? (?P<year2>\d{4})"
)
_EFFECTIVE = re.compile(  # in a text with single blanks: free gaps on both sides of a word that may lack cost minutes
    r"\b(?i:effective(?: date)?|valid|in force|applies|in effect|last updated|version of|as of)"
    rf"(?i: ?(?:from|since|as of|on)? ?:?) ?(?:{_DATE})"
)
_EFFECTIVE_REACH_CHARS = 2000
_MARKDOWN_TITLE = re.compile(r"^#[ \t]+(?P<atx>.+)$|^(?P<setext>[^\n#>|\-*].*)\n=+[ \t]*$", re.MULTILINE)
_LINK = re.compile(r"!?\[([^\[\]]*)\]\([^)]{0,2000}\)")
_EMPHASIS = re.compile(r"[*`]+|(?<!\w)_+|(?<!_)_+(?!\w)")
_DATE_KEYS = ("effective", "effective_date", "effective_from", "valid_from", "date", "last_updated", "updated")
_TITLE_CHARS = 120
_OURS = frozenset((*_DATE_KEYS, "title", "groups", "pages", "encoding", "left_out", "from", "source"))


def describe(text: str, name: str, *, title: str = "", published: str = "") -> dict[str, Any]:
    """Title, effective date and groups, from the front matter, the file's own properties, then the text.

    Whatever else the front matter says in words, numbers or lists of them is kept under its own key.

    `name` is the file's stem, the title of last resort. Raises ReadersError where the front matter limits the readers
    in a way that cannot be understood: such a document must not become public by accident.
    """
    found_front = read_front_matter(text)
    groups = groups_of(found_front)
    front, body = found_front.values, text[found_front.end :]
    found = str(front.get("title") or "").strip() or title.strip() or _title_in(body) or name_as_title(name)
    meta = _further(front) | {"title": " ".join(found.split())[:_TITLE_CHARS]}
    effective = next((d for d in (_as_date(front.get(key)) for key in _DATE_KEYS) if d), "")
    effective = effective or effective_date(body) or _as_date(published)
    if effective:
        meta["effective"] = effective
    if groups:
        meta["groups"] = groups
    return meta


def _further(front: dict[str, Any]) -> dict[str, Any]:
    """What else the front matter says, as texts and lists of texts: searches can be limited by it."""
    scalar = (str, int, float, bool, date)
    kept: dict[str, Any] = {}
    for key, value in front.items():
        if key in _OURS or value in ("", None):
            continue
        if isinstance(value, scalar):
            kept[key] = str(value)
        elif isinstance(value, list) and value and all(isinstance(item, scalar) for item in value):
            kept[key] = [str(item) for item in value]
    return kept


def _title_in(body: str) -> str:
    match = _MARKDOWN_TITLE.search(body)
    if match:
        return plain_heading(without_closing(match["atx"] or "") or match["setext"] or "")
    lines = body.strip().split("\n")
    first = lines[0].strip()
    alone = len(lines) == 1 or not lines[1].strip()
    heading_like = 0 < len(first) <= 80 and first[-1] not in ".,;:!?" and any(c.isalpha() for c in first)
    return first if alone and heading_like and not first.startswith(("|", ">", "-", "*", "<", "[", "`", "#")) else ""


def plain_heading(text: str) -> str:
    """A heading without Markdown's emphasis, links and anchors."""
    text = _LINK.sub(r"\1", text).rstrip()
    anchor = text.rfind("{") if text.endswith("}") else -1
    if anchor >= 0 and text.startswith(("#", ".", ":"), anchor + 1):
        text = text[:anchor]
    return " ".join(_EMPHASIS.sub("", text).replace("\\", "").split())


def without_closing(heading: str) -> str:
    """What stands in a Markdown heading line behind its first signs, without those that close it: "C#" keeps its own.

    By plain operations: a pattern with blanks on both sides of an open end takes time with the cube of their number.
    """
    heading = heading.strip(" \t")
    bare = heading.rstrip("#")
    return bare.rstrip(" \t") if not bare or bare[-1] in " \t" else heading


def name_as_title(name: str) -> str:
    """ "returns-policy_2026" -> "Returns policy 2026"."""
    text = " ".join(re.split(r"[-_\s]+", name)).strip() or name
    return text[:1].upper() + text[1:]


def effective_date(text: str) -> str:
    """The first date near the beginning of which the text says that it holds from it, ISO; "" where there is none."""
    match = _EFFECTIVE.search(" ".join(text[:_EFFECTIVE_REACH_CHARS].split()))
    if not match:
        return ""
    if match["iso"]:
        return _as_date(match["iso"])
    month = _MONTHS.get((match["month"] or match["month2"]).lower(), 0)
    return _iso(int(match["year"] or match["year2"]), month, int(match["day"] or match["day2"]))


def _as_date(value: Any) -> str:
    if isinstance(value, datetime):
        return value.date().isoformat()
    if isinstance(value, date):
        return value.isoformat()
    match = re.match(r"(\d{4})-(\d{2})(?:-(\d{2}))?", str(value or "").strip())
    return _iso(int(match[1]), int(match[2]), int(match[3] or 1)) if match else ""


def _iso(year: int, month: int, day: int) -> str:
    try:
        return date(year, month, day).isoformat()
    except ValueError:  # "31 February": no date, so no effective date
        return ""

"""What a document says of itself: its title, the date from which it holds, and the groups that may read it.

Dates are ISO texts ("2026-02-01") in `meta["effective"]`; groups a list of names in `meta["groups"]`, absent if public.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Any

import yaml

from groundtone.errors import DocumentError

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
    r"(?P<iso>\d{4}-\d{2}-\d{2})|(?P<day>\d{1,2})(?:st|nd|rd|th)?\s+(?P<month>[A-Z][a-z]{2,8})\.?,?\s+(?P<year>\d{4})"
    r"|(?P<month2>[A-Z][a-z]{2,8})\.?\s+(?P<day2>\d{1,2})(?:st|nd|rd|th)?,?\s+(?P<year2>\d{4})"
)
_EFFECTIVE = re.compile(
    r"\b(?i:effective(?:\s+date)?|valid|in\s+force|applies|in\s+effect|last\s+updated|version\s+of|as\s+of)"
    rf"(?i:\s*(?:from|since|as\s+of|on)?\s*:?)\s*(?:{_DATE})"
)
_EFFECTIVE_REACH_CHARS = 2000
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(?P<yaml>.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_MARKDOWN_TITLE = re.compile(r"^#[ \t]+(?P<atx>.+?)[ \t]*#*[ \t]*$|^(?P<setext>[^\n#>|\-*].*)\n=+[ \t]*$", re.MULTILINE)
_DATE_KEYS = ("effective", "effective_date", "effective_from", "valid_from", "date", "last_updated", "updated")
_TITLE_CHARS = 120
_OURS = frozenset((*_DATE_KEYS, "title", "groups", "pages", "encoding", "left_out", "from", "source"))


def front_matter_end(text: str) -> int:
    """The offset behind a YAML front matter; 0 where there is none."""
    match = _FRONT_MATTER.match(text)
    return match.end() if match else 0


def describe(text: str, name: str, *, title: str = "", published: str = "") -> dict[str, Any]:
    """Title, effective date and groups, from the front matter, the file's own properties, then the text.

    Whatever else the front matter says in words, numbers or lists of them is kept under its own key.

    `name` is the file's stem, the title of last resort. Raises DocumentError where the front matter limits the
    readers in a way that cannot be understood: such a document must not become public by accident.
    """
    front = _front_matter(text)
    body = text[front_matter_end(text) :]
    found = str(front.get("title") or "").strip() or title.strip() or _title_in(body) or name_as_title(name)
    meta = _further(front) | {"title": " ".join(found.split())[:_TITLE_CHARS]}
    effective = next((d for d in (_as_date(front.get(key)) for key in _DATE_KEYS) if d), "")
    effective = effective or effective_date(body) or _as_date(published)
    if effective:
        meta["effective"] = effective
    if "groups" in front:
        meta["groups"] = _groups(front["groups"])
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


def _front_matter(text: str) -> dict[str, Any]:
    match = _FRONT_MATTER.match(text)
    if not match:
        return {}
    try:
        loaded = yaml.safe_load(match["yaml"])
    except (yaml.YAMLError, ValueError) as error:
        if "groups" in match["yaml"]:
            raise DocumentError(
                f"its front matter names groups but is no valid YAML ({str(error).splitlines()[0]}); mend it, so that "
                "the document is not shown to the wrong readers"
            ) from error
        return {}
    return {str(key).lower(): value for key, value in loaded.items()} if isinstance(loaded, dict) else {}


def _groups(value: Any) -> list[str]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names or not all(isinstance(n, str) and n.strip() for n in names):
        raise DocumentError(f"groups in its front matter is {value!r}; write a list of names, or leave it out")
    return sorted({n.strip() for n in names})


def _title_in(body: str) -> str:
    match = _MARKDOWN_TITLE.search(body)
    if match:
        return plain_heading(match["atx"] or match["setext"] or "")
    lines = body.strip().split("\n")
    first = lines[0].strip()
    alone = len(lines) == 1 or not lines[1].strip()
    heading_like = 0 < len(first) <= 80 and first[-1] not in ".,;:!?" and any(c.isalpha() for c in first)
    return first if alone and heading_like and not first.startswith(("|", ">", "-", "*", "<", "[", "`", "#")) else ""


def plain_heading(text: str) -> str:
    """A heading without Markdown's emphasis, links and anchors."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"\s*\{[#.:][^}]*\}\s*$", "", text)
    return " ".join(re.sub(r"[*`]+|(?<!\w)_+|_+(?!\w)", "", text).replace("\\", "").split())


def name_as_title(name: str) -> str:
    """ "returns-policy_2026" -> "Returns policy 2026"."""
    text = " ".join(re.split(r"[-_\s]+", name)).strip() or name
    return text[:1].upper() + text[1:]


def effective_date(text: str) -> str:
    """The first date near the beginning of which the text says that it holds from it, ISO; "" where there is none."""
    match = _EFFECTIVE.search(text, 0, _EFFECTIVE_REACH_CHARS)
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

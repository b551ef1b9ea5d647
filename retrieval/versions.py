"""Which documents are outdated by another one, from their names, titles and dates.

The rule, on purpose a small one: two documents are versions of one another when they lie in the same folder and their
file names differ only in a year, a date or a version number with a "v" (`returns-policy-2024`, `-2026`), or when they
have the same title and different effective dates and lie in the same folder, where folders for years and archives do
not count. The later one (version in the name, else effective date) is current, unless its effective date is still to
come: what holds from next month does not outdate what holds today. Nor does what some readers of the older one may not
read: they would hear of it. Model numbers are not versions: `heron-2` and `heron-2s` stay apart.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath

from groundtone.types import Document

PENALTY = 0.15  # share of the fused score: the newer version goes first where both fit about as well
_VERSION = re.compile(
    r"(?:19|20)\d{2}(?:[-_.]?(?:0[1-9]|1[0-2])(?:[-_.]?(?:0[1-9]|[12]\d|3[01]))?)?(?!\d)|(?<![a-z])v\d+(?:[._]\d+)*(?![a-z0-9])"
)
_PAST = frozenset("archive archived old previous former superseded history".split())
_Member = tuple[tuple[str, str], Document]  # what orders it among the versions, and the version


@dataclass(frozen=True, slots=True)
class Outdated:
    """The document that is current instead, and the words by which a question may ask for the old one on purpose."""

    by: str
    asked_by: tuple[str, ...]

    def meant_by(self, query: str) -> bool:
        """Whether the question names the old version, such as its year."""
        return any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", query, re.IGNORECASE) for word in self.asked_by)


def outdated(documents: Iterable[Document], *, today: str = "") -> dict[str, Outdated]:
    """For each outdated document's source, what is current on a day (ISO; default: today, UTC)."""
    today = today or today_utc()
    result: dict[str, Outdated] = {}
    for (order, doc), (last, current) in _with_current(documents, today):
        if order < last:
            result.setdefault(doc.source, Outdated(current.source, _names(doc)))
    return result


def coming(documents: Iterable[Document], *, today: str) -> dict[str, Outdated]:
    """The same for each document that is not in force yet while another version of it is."""
    result: dict[str, Outdated] = {}
    for (_, doc), (_, current) in _with_current(documents, today):
        if _effective(doc) > today >= _effective(current):
            result.setdefault(doc.source, Outdated(current.source, _names(doc)))
    return result


def _with_current(documents: Iterable[Document], today: str) -> Iterator[tuple[_Member, _Member]]:
    """Every version with the one that is current for its readers."""
    families: dict[tuple[str, ...], list[_Member]] = defaultdict(list)
    for doc in documents:
        path = PurePosixPath(doc.source)
        stem = path.stem.casefold()
        effective = _effective(doc)
        found = _VERSION.findall(stem)
        if found:
            families["name", str(path.parent), _VERSION.sub("#", stem)].append((_order(found[-1], effective), doc))
        if effective:
            title = " ".join(str(doc.meta.get("title", "")).casefold().split())
            families["title", *_lasting(path.parent), title].append((("", effective), doc))
    for members in families.values():
        newest = {readers: _newest(members, readers, today) for readers in {_readers(doc) for _, doc in members}}
        yield from ((member, newest[_readers(member[1])]) for member in members)


def today_utc() -> str:
    """The day, ISO."""
    return datetime.now(UTC).date().isoformat()


def _newest(members: Sequence[_Member], readers: frozenset[str], today: str) -> _Member:
    """The current version among those that all of these readers may read; those in force go first."""
    open_to = [m for m in members if not (theirs := _readers(m[1])) or (readers and readers <= theirs)]
    in_force = [m for m in open_to if _effective(m[1]) <= today]
    return max(in_force or open_to, key=lambda m: m[0])


def _effective(doc: Document) -> str:
    """The date from which it counts, ISO; "" where it says none."""
    return str(doc.meta.get("effective", ""))


def _readers(doc: Document) -> frozenset[str]:
    """The groups that may read it; empty: everybody."""
    return frozenset(str(group) for group in doc.meta.get("groups", ()))


def _lasting(folder: PurePosixPath) -> list[str]:
    """The parts of a folder's path that say what a document is about, not which version of it."""
    parts = [part.casefold() for part in folder.parts]
    return [part for part in parts if part not in _PAST and not _VERSION.fullmatch(part)]


def _order(version: str, effective: str) -> tuple[str, str]:
    """Sorts "v2" before "v10" and 2024 before 2026-03; equal versions by their effective date."""
    return re.sub(r"\d+", lambda m: m.group().zfill(8), re.sub(r"[-_.]", "-", version)), effective


def _names(doc: Document) -> tuple[str, ...]:
    found = _VERSION.findall(PurePosixPath(doc.source).stem.casefold())
    years = [v[:4] for v in [*found, _effective(doc)] if v[:4].isdigit()]
    return tuple(dict.fromkeys([*found, *years]))

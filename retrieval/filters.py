"""Which documents a search may see: access groups, and conditions on their metadata. Applied before ranking."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundtone.errors import DataError

__all__ = ["Facts", "Where", "allowed_documents", "check_keys"]

Where = Mapping[str, Any]  # key of a document's meta -> a value, or several of which one must be met


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a document beside its text."""

    id: str
    source: str
    meta: Mapping[str, Any]

    @property
    def groups(self) -> tuple[str, ...]:
        """Who may read it; everybody where it is empty."""
        return tuple(self.meta.get("groups", ()))

    @property
    def effective(self) -> str:
        """The date from which it counts, as ISO 8601; "" where it says none."""
        return str(self.meta.get("effective", ""))


def allowed_documents(documents: Sequence[Facts], *, groups: Sequence[str], where: Where | None) -> NDArray[np.bool_]:
    """One flag per document: public or of one of `groups`, and all conditions of `where` met.

    The key "source" takes a glob such as "people/*.md". Values are compared as text, case folded; a list in the meta
    meets a condition when one of its items does. Raises DataError for a key that no document of
    the caller's has.
    """
    mine = set(groups)
    wanted = {key: _values(value) for key, value in (where or {}).items()}
    readable = [not doc.groups or not mine.isdisjoint(doc.groups) for doc in documents]
    check_keys({key for doc, may in zip(documents, readable, strict=True) if may for key in doc.meta}, wanted)
    return np.array(
        [
            may and all(_meets(doc, key, values) for key, values in wanted.items())
            for doc, may in zip(documents, readable, strict=True)
        ],
        dtype=bool,
    )


def check_keys(known: Collection[str], where: Collection[str]) -> None:
    """Raises DataError for a key of `where` that is not known: a misspelt one would find nothing, in silence.

    `known` are keys of documents that the caller may read, for the message names them; without any nothing is checked.
    """
    if not known:
        return
    for key in sorted({*where} - {*known, "source"}):
        near = get_close_matches(key, [*known, "source"], n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"they have: {', '.join(sorted({*known, 'source'}))}"
        raise DataError(f"no document has the metadata key {key!r} to filter by; {hint}")


def _values(value: object) -> frozenset[str]:
    several = value if isinstance(value, list | tuple | set | frozenset) else (value,)
    return frozenset(str(item).casefold() for item in several)


def _meets(doc: Facts, key: str, values: frozenset[str]) -> bool:
    if key == "source":
        return any(fnmatchcase(doc.source.casefold(), pattern) for pattern in values)
    return key in doc.meta and not values.isdisjoint(_values(doc.meta[key]))

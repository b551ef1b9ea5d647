"""Which passages a search may rank, as SQL conditions: access groups and metadata. They apply before ranking.

The same rules as `retrieval.filters`: values are compared as text, case folded, which is done when a document is
stored (`facets`); an item of a list meets a condition too; the key "source" takes globs.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from groundtone.types import Document
from retrieval.filters import Where, check_keys

_SOURCE = "source"


@dataclass(frozen=True, slots=True)
class Conditions:
    """`documents`: a condition on documents d ("TRUE": every one); `parameters` belong to both conditions."""

    documents: str = "TRUE"
    parameters: dict[str, Any] = field(default_factory=dict)

    def rows(self, table: str) -> str:
        """The condition on `passages` or `vectors` under the alias `table`.

        "IS TRUE" keeps the subquery a hash table that each row is looked up in: as a join it could cost the statement
        the order of its HNSW scan.
        """
        readable = f"({table}.groups = '{{}}' OR {table}.groups && %(groups)s::text[])"
        if self.documents == "TRUE":
            return readable
        return f"{readable} AND ({table}.doc IN (SELECT d.number FROM documents d WHERE {self.documents})) IS TRUE"


def facets(doc: Document) -> dict[str, list[str]]:
    """Each metadata key with its values as folded text, and the folded source; what `conditions` compares with."""
    known = {key: _folded(value) for key, value in doc.meta.items()}
    return {**known, _SOURCE: [doc.source.casefold()]}


def conditions(groups: Sequence[str], where: Where | None, *, known: Collection[str]) -> Conditions:
    """Public documents and those of `groups`, of which `where` holds; `known` are the metadata keys that these have.

    Raises DataError for another key.
    """
    check_keys(known, where or {})
    parameters: dict[str, Any] = {"groups": list(groups)}
    parts = []
    for number, (key, wanted) in enumerate((where or {}).items()):
        values = f"values{number}"
        parameters[values] = _folded(wanted)
        if key == _SOURCE:
            parameters[values] = [_regex(glob) for glob in parameters[values]]
            parts.append(f"(d.facets -> 'source' ->> 0) ~ ANY(%({values})s::text[])")
        else:
            parameters[f"key{number}"] = key
            parts.append(f"(d.facets -> %(key{number})s::text) ?| %({values})s::text[]")
    return Conditions(" AND ".join(parts) or "TRUE", parameters)


def _folded(value: object) -> list[str]:
    several = value if isinstance(value, list | tuple | set | frozenset) else (value,)
    return [str(item).casefold() for item in several]


def _regex(glob: str) -> str:
    """A glob as `fnmatch` reads it, as a regular expression of PostgreSQL, whose syntax `fnmatch.translate` is not."""
    parts = []
    for sign in re.findall(r"\[!?\]?[^\]]*\]|.", glob, flags=re.DOTALL):
        if len(sign) > 1:
            inside = sign[1:-1].replace("\\", "\\\\")
            parts.append(f"[^{inside[1:]}]" if inside.startswith("!") else f"[{inside}]")
        else:
            parts.append({"*": ".*", "?": "."}.get(sign, sign if sign.isalnum() else f"\\{sign}"))
    return f"^{''.join(parts)}$"

"""Which rows of training data somebody may see: those that rest on documents which they may read. No Streamlit.

A row rests on the document that its source names and on those whose words stand in it, as for the groups of what is
tuned on it (`groundtone.joins.facts`). Closed by default: while any document is closed to whoever looks, a row whose
source names no document of the index is hidden too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from dashboard.access import Readable
from dashboard.edits import Row
from groundtone.errors import GroundtoneError
from groundtone.joins.freshness import names_source
from groundtone.joins.traces import Traces
from groundtone.types import Document
from retrieval.store import Store

__all__ = ["Closed", "Seen", "closed_to", "hidden_html"]


class Closed:
    """The documents that somebody may not read, beside those that they may."""

    def __init__(self, documents: Sequence[Document], readable: frozenset[str]) -> None:
        self._open = [d.source for d in documents if d.source in readable]
        self._shut = [d.source for d in documents if d.source not in readable]
        texts = {shown: [d.text for d in documents if (d.source in readable) == shown] for shown in (True, False)}
        self._traces = Traces(texts[False], others=texts[True])
        self.may_name = cache(self._may_name)  # thousands of rows name tens of sources

    def _may_name(self, label: str) -> bool:
        """Whether a source names documents that may be read, and no other."""
        shut = any(names_source(label, source) for source in self._shut)
        return not shut and any(names_source(label, source) for source in self._open)

    def may_show(self, row: Mapping[str, Any]) -> bool:
        """Whether a row rests on documents that may be read alone."""
        named = self.may_name(str(row.get("source", "")))
        return named and not any(self._traces.within(text) for text in _texts(row))


@dataclass(frozen=True, slots=True)
class Seen:
    """The rows of a file, and those of them that whoever looks may see."""

    everything: tuple[Row, ...] = ()
    shown: tuple[Row, ...] = ()

    @property
    def hidden(self) -> int:
        """How many they may not see."""
        return len(self.everything) - len(self.shown)

    def says(self, prompt: str, reply: str) -> bool:
        """Whether one of the shown rows says exactly this."""
        return any((row.data.get("prompt"), row.data.get("reply")) == (prompt, reply) for row in self.shown)

    def renders(self, masked: str, learned: str) -> bool:
        """Whether one of the shown rows was rendered into what a model reads and what it learns."""
        return any(
            str(row.data.get("prompt", "")) in masked and learned.strip().startswith(str(row.data.get("reply", "")))
            for row in self.shown
            if row.data.get("prompt") and row.data.get("reply")
        )


def closed_to(index: Path, readable: Readable) -> Closed | None:
    """What is closed to somebody who may read those sources of an index; None where nothing is.

    Of an index that cannot be read every document is closed.
    """
    if readable is None:
        return None
    try:
        with closing(Store(index)) as store:
            documents = store.documents()
    except GroundtoneError:
        return Closed((), frozenset())
    if documents and all(document.source in readable for document in documents):
        return None
    return Closed(documents, readable)


def hidden_html(count: int) -> str:
    """The line that says how many rows are not shown; "" for none."""
    if not count:
        return ""
    rows, rest = ("row is", "it rests") if count == 1 else ("rows are", "they rest")
    why = f"{rest} on documents that are closed to you, or on none that the index holds"
    return f'<p class="gt-note">{count} {rows} hidden: {why}.</p>'


def _texts(value: Any) -> Iterator[str]:
    """Every text in a row, at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(inner)

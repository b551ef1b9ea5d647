"""What the reader is taught with: questions over contexts, and paragraphs to ask about."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Real text; `source` as in `Item`."""

    source: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Item:
    """A question over a context. `start` is -1 where nothing in the context answers it."""

    question: str
    context: str
    start: int
    text: str
    source: str  # data set and document: what is held out together
    title: str = ""
    kind: str = "answer"  # answer | made | human none | swapped | cut | changed | missing
    spellings: tuple[str, ...] = ()  # every answer that people gave

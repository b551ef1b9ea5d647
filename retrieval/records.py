"""What the store holds, as values: rows of passages, versions of files, addresses of vectors, checksums."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from groundtone.text import Span
from groundtone.types import Document, Passage

PASSAGE_COLUMNS = "p.rowid, p.id, p.start, p.end, p.heading, p.page, p.spans, p.vectors"
PassageRow = tuple[int, str, int, int, str, int | None, bytes, bytes]


@dataclass(frozen=True, slots=True)
class StoredPassage:
    """One row of the index: `vectors` has shape (1 + sentences, dim), the whole passage's vector first.

    Without sentence vectors the shape is (1, dim); `sentences` are known all the same.
    """

    rowid: int
    passage: Passage
    sentences: tuple[Span, ...]
    vectors: NDArray[np.float16]

    @classmethod
    def of(cls, doc: Document, row: PassageRow, *, dim: int) -> StoredPassage:
        """From the columns `PASSAGE_COLUMNS` of a row that belongs to the document."""
        rowid, passage_id, start, end, heading, page, spans, vectors = row
        passage = Passage(passage_id, doc.id, doc.source, doc.text[start:end], start, end, heading, page)
        pairs = np.frombuffer(spans, dtype="<i4").reshape(-1, 2).tolist()
        return cls(rowid, passage, tuple((a, b) for a, b in pairs), as_vectors(vectors, dim=dim))


@dataclass(frozen=True, slots=True)
class Version:
    """What decides whether a file must be read again: its bytes, and how they were read and cut.

    `stat` is size and times of the file when its bytes were known to be these; "" where it proves nothing.
    """

    file_sha256: str
    cut: str
    stat: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The passages before and after one in its document, None at its ends."""

    previous: Passage | None
    next: Passage | None


def block_key(encoder: str, texts: Iterable[str]) -> bytes:
    """The address of the vectors of these embedded texts by that encoder."""
    return hashlib.sha256("\x1f".join([encoder, *texts]).encode("utf-8", "surrogatepass")).digest()[:16]


def as_vectors(stored: bytes, *, dim: int) -> NDArray[np.float16]:
    """Shape (rows, dim), without a copy."""
    return np.frombuffer(stored, dtype="<f2").reshape(-1, dim)


def checksum(document: tuple[str, ...], rows: Iterable[tuple[str, int, int, str, int | None, bytes, bytes]]) -> str:
    """SHA-256 over a document's texts and all that is stored of its passages; 0.1 s for 100 MB of vectors."""
    total = hashlib.sha256(json.dumps(document).encode())
    for *fields, spans, vectors in rows:
        total.update(json.dumps([*fields, len(spans)]).encode())
        total.update(spans)
        total.update(vectors)
    return total.hexdigest()

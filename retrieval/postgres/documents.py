"""Documents in the tables: one transaction replaces a document's text, passages, words and vectors, or removes them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from groundtone.types import Document, Passage
from retrieval.chunk import Chunk
from retrieval.postgres.where import facets
from retrieval.postgres.words import indexed

if TYPE_CHECKING:
    from retrieval.postgres.connect import Connection

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # PostgreSQL's text holds neither NUL nor half a surrogate pair
_PASSAGE = (
    "p.id, d.id, d.source, p.text, p.start, p.stop, p.heading, p.page "
    "FROM passages p JOIN documents d ON d.number = p.doc"
)


@dataclass(frozen=True, slots=True)
class Stored:
    """What decides whether a file must be read again: its bytes, and how they were read and cut."""

    file_sha256: str
    cut: str


def storable(doc: Document) -> Document:
    """The document as PostgreSQL can hold it: same length, so that offsets stay; its id is that of the text kept."""
    meta = _clean(dict(doc.meta))
    if not _UNSTORABLE.search(doc.text):
        return Document(doc.id, doc.text, doc.source, meta)
    return Document.of(doc.source, _UNSTORABLE.sub("\ufffd", doc.text), **meta)


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in value.items()}
    return [_clean(item) for item in value] if isinstance(value, list | tuple) else value


def put(
    connection: Connection,
    doc: Document,
    chunks: Sequence[Chunk],
    *,
    vectors: Sequence[NDArray[np.float32]],
    version: Stored,
    language: str,
) -> None:
    """Replace whatever the document's source held. Call it inside a transaction, as the last thing that it does.

    `vectors[i]` has shape (1 + sentences, dim), the vector of the whole of `chunks[i]` first.
    """
    from pgvector import HalfVector

    assert len(chunks) == len(vectors), "one block of vectors per passage"
    groups = [str(group) for group in doc.meta.get("groups", ())]
    connection.execute("DELETE FROM documents WHERE source = %s", (doc.source,))
    about = json.dumps(dict(doc.meta)), json.dumps(facets(doc)), groups
    row = connection.execute(
        "INSERT INTO documents(id, source, text, meta, facets, groups, file_sha256, cut, passages, vectors) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING number",
        (doc.id, doc.source, doc.text, *about, version.file_sha256, version.cut, len(chunks), sum(map(len, vectors))),
    ).fetchone()
    assert row is not None, "the statement returns one row"
    number = row[0]
    numbers = connection.execute(
        "SELECT nextval(pg_get_serial_sequence('passages', 'number')) FROM generate_series(1, %s)", (len(chunks),)
    ).fetchall()
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO passages(number, id, doc, start, stop, heading, page, text, spans, groups, words) "
            "OVERRIDING SYSTEM VALUE VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, to_tsvector(%s::regconfig, %s))",
            [
                (n, made.passage.id, number, *_columns(made), groups, language, _words(made.passage))
                for (n,), made in zip(numbers, chunks, strict=True)
            ],
        )
        with cursor.copy("COPY vectors(passage, part, doc, groups, vector) FROM STDIN WITH (FORMAT BINARY)") as copy:
            copy.set_types(["int8", "int4", "int8", "text[]", "halfvec"])
            for (n,), block in zip(numbers, vectors, strict=True):
                for part, vector in enumerate(block):
                    copy.write_row((n, part, number, groups, HalfVector(vector)))
    _note_change(connection)


def _columns(made: Chunk) -> tuple[Any, ...]:
    p = made.passage
    return p.start, p.end, p.heading, p.page, p.text, [at for span in made.sentences for at in span]


def _words(passage: Passage) -> str:
    return indexed(f"{passage.heading}\n{passage.text}")


def remove(connection: Connection, sources: Sequence[str]) -> int:
    """Forget documents with their passages, words and vectors; how many there were. Call it inside a transaction."""
    gone = connection.execute("DELETE FROM documents WHERE source = ANY(%s)", (list(sources),)).rowcount
    if gone:
        _note_change(connection)
    return gone


def _note_change(connection: Connection) -> None:
    """Tell searches to forget what they remember. Writers wait here for one another, for the length of a commit."""
    connection.execute("UPDATE changes SET number = number + 1")


def versions(connection: Connection) -> dict[str, Stored]:
    """Each document's source, sorted, with the version that is stored."""
    rows = connection.execute("SELECT source, file_sha256, cut FROM documents ORDER BY source").fetchall()
    return {source: Stored(sha, cut) for source, sha, cut in rows}


def version(connection: Connection, source: str) -> Stored | None:
    """The version of one document that is stored."""
    row = connection.execute("SELECT file_sha256, cut FROM documents WHERE source = %s", (source,)).fetchone()
    return Stored(*row) if row else None


def read(connection: Connection, *, doc_id: str | None = None, source: str | None = None) -> Document | None:
    """The document with that id or source."""
    row = connection.execute(
        "SELECT id, text, source, meta FROM documents WHERE id = %s OR source = %s", (doc_id, source)
    ).fetchone()
    return Document(*row) if row else None


def passages(connection: Connection, *, doc_id: str | None = None) -> list[Passage]:
    """All passages, or those of one document, by source and in reading order."""
    rows = connection.execute(
        f"SELECT {_PASSAGE} WHERE d.id = coalesce(%s, d.id) ORDER BY d.source, p.start, p.number", (doc_id,)
    ).fetchall()
    return [Passage(*row) for row in rows]

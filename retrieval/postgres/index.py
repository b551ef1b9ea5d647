"""The index in PostgreSQL: what `retrieval.index.Index` offers, for as many machines as the server carries.

Every call sees what is committed at that moment: a document is there in its old version or its new one, and gone at
once when it is removed. Only facts about the whole are remembered between calls, for as long as nothing changes: which
documents are outdated, how many vectors there are, which metadata keys.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from groundtone.errors import DataError
from groundtone.models.encoders import Encoder
from groundtone.types import Document, Hit, Passage, short_hash
from retrieval.chunk import CHUNK_TOKENS
from retrieval.filters import Where
from retrieval.loaders import MAX_FILE_MB
from retrieval.postgres import documents, jobs, search
from retrieval.postgres.connect import Database
from retrieval.postgres.ingest import Limits, Worker, enqueue_in
from retrieval.postgres.schema import has_vector_index, prepare
from retrieval.postgres.where import conditions
from retrieval.postgres.words import tsquery
from retrieval.reading import MAX_MEMORY_MB, MAX_SECONDS
from retrieval.search import FUSION_WEIGHT, fold_quote
from retrieval.update import IndexReport, Progress
from retrieval.versions import Outdated, coming, outdated, today_utc

if TYPE_CHECKING:
    from retrieval.postgres.connect import Connection

__all__ = ["PgIndex"]


@dataclass(frozen=True, slots=True)
class _State:
    """What holds until the next change; `keys` are the metadata keys of documents, by the groups that may read them."""

    change: int
    day: str  # ISO, for which `outdated` holds
    vectors: int
    indexed: bool
    outdated: dict[str, Outdated]  # versions that are not in force, or not yet
    keys: Mapping[tuple[str, ...], frozenset[str]]

    def keys_for(self, groups: Sequence[str]) -> frozenset[str]:
        """The keys that a filter may name; those of hidden documents alone would tell of them."""
        mine = set(groups)
        seen = (keys for readers, keys in self.keys.items() if not readers or not mine.isdisjoint(readers))
        return frozenset().union(*seen)


class PgIndex:
    """An open index on a server. Searching is safe from several threads, each with a connection of its own."""

    def __init__(self, database: Database, encoder: Encoder, *, language: str, fusion_weight: float) -> None:
        self._database = database
        self._encoder = encoder
        self._language = language
        self._weight = fusion_weight
        self._lock = threading.Lock()
        self._state: _State | None = None

    @classmethod
    def open(
        cls,
        dsn: str,
        *,
        encoder: Encoder,
        fusion_weight: float = FUSION_WEIGHT,
        rebuild: bool = False,
        schema: str = "groundtone",
        language: str = "english",
    ) -> Self:
        """Open the index, its tables made in `schema` where there are none; `rebuild` throws away what they held.

        `language` names the text search configuration that new tables stem words with; tables keep theirs.
        Raises ProjectError for a server that cannot be reached or lacks pgvector, and for an index of another encoder.
        """
        database = Database(dsn, schema=schema)
        try:
            kept = prepare(database, encoder=encoder.name, dim=encoder.dim, language=language, rebuild=rebuild)
        except BaseException:
            database.close()
            raise
        return cls(database, encoder, language=kept, fusion_weight=fusion_weight)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._database.close()

    def update(
        self,
        folder: Path,
        *,
        chunk_tokens: int = CHUNK_TOKENS,
        max_file_mb: int = MAX_FILE_MB,
        max_seconds: float = MAX_SECONDS,
        max_memory_mb: int = MAX_MEMORY_MB,
        sentence_vectors: bool = True,
        progress: Progress | None = None,
    ) -> IndexReport:
        """Bring the index in line with the folder; workers that run elsewhere on the same folder share the files.

        A file that cannot be read is reported, and the version that was read before stays; it goes where the file no
        longer tells who may read it. Raises DocumentError when the folder is missing or empty: then nothing is removed.
        """
        worker = Worker(
            self._database,
            folder,
            encoder=self._encoder,
            language=self._language,
            limits=Limits(chunk_tokens, max_file_mb, max_seconds, max_memory_mb, sentence_vectors),
        )
        queued = enqueue_in(self._database, folder)
        done = worker.run(max_tries=1, progress=progress)
        with self._database.connection() as connection:
            failed = (*queued.failed, *jobs.failures(connection))
        return IndexReport(done.read, done.unchanged, queued.removed, self.passage_count, failed, queued.skipped)

    def search(self, query: str, *, k: int = 5, groups: Sequence[str] = (), where: Where | None = None) -> list[Hit]:
        """The k best passages, best first, of public documents and those of `groups` that meet `where`.

        As many as there are where that is fewer; [] for a query without a word. `score` is as in `Index.search`.
        """
        return self.search_many([query], k=k, groups=groups, where=where)[0]

    def search_many(
        self, queries: Sequence[str], *, k: int = 5, groups: Sequence[str] = (), where: Where | None = None
    ) -> list[list[Hit]]:
        """`search` for each query, encoded together."""
        if k < 1:
            raise DataError(f"k is {k}; ask for at least 1 passage")
        if not queries:
            return []
        vectors = self._encoder.encode(list(queries))
        depth = max(search.DEPTH, 2 * k)
        found: list[list[Hit]] = []
        with self._database.connection(groups=groups) as connection:
            state = self._current(connection)
            allowed = conditions(groups, where, known=state.keys_for(groups))
            chosen = search.plan(connection, allowed, indexed=state.indexed, total_vectors=state.vectors, depth=depth)
            for query, vector in zip(queries, vectors, strict=True):
                words = tsquery(query)
                if not words or not chosen.passages:
                    found.append([])
                    continue
                old = [source for source, known in state.outdated.items() if not known.meant_by(query)]
                found.append(
                    search.run(
                        connection, allowed, chosen, words=words, vector=vector, k=k, weight=self._weight,
                        language=self._language, outdated=old, depth=depth,
                    )
                )  # fmt: skip
        return found

    def _current(self, connection: Connection) -> _State:
        change = _number(connection, "SELECT number FROM changes")
        with self._lock:
            day = today_utc()
            if self._state is None or (self._state.change, self._state.day) != (change, day):
                self._state = self._read_state(change, day)
            return self._state

    def _read_state(self, change: int, day: str) -> _State:
        """Over all that this role may read, whatever groups one search is for."""
        with self._database.connection() as connection:
            # only a name with a digit or an effective date can make a document a version of another
            rows = connection.execute(
                "SELECT source, meta FROM documents WHERE source ~ '[0-9]' OR meta ? 'effective' ORDER BY source"
            )
            versioned = [Document("", "", source, meta) for source, meta in rows]
            keys = connection.execute(
                "SELECT d.groups, array_agg(DISTINCT key) FROM documents d, jsonb_object_keys(d.meta) key GROUP BY 1"
            )
            return _State(
                change,
                day,
                _number(connection, "SELECT coalesce(sum(vectors), 0)::bigint FROM documents"),
                has_vector_index(connection),
                outdated(versioned, today=day) | coming(versioned, today=day),
                {tuple(groups): frozenset(names) for groups, names in keys},
            )

    @property
    def passage_count(self) -> int:
        """How many passages the index holds."""
        with self._database.connection() as connection:
            return _number(connection, "SELECT coalesce(sum(passages), 0)::bigint FROM documents")

    def passages(self) -> list[Passage]:
        """All passages by source, in reading order."""
        with self._database.connection() as connection:
            return documents.passages(connection)

    def documents(self) -> list[str]:
        """The sources of all documents, sorted."""
        with self._database.connection() as connection:
            return list(documents.versions(connection))

    def document(self, doc_id: str) -> Document:
        """The document of that id. Raises DataError when it is not the version that is indexed now."""
        with self._database.connection() as connection:
            doc = documents.read(connection, doc_id=doc_id)
        if doc is None:
            raise DataError(
                f"no document {doc_id!r} in {self._database.name}: it was changed or removed since; search again"
            )
        return doc

    def locate(self, source: str, quote: str) -> list[Passage]:
        """The passages that overlap a quote in that source, in order; [] when the quote is not there.

        White space, case, table pipes, emphasis marks and escapes do not count. Raises DataError for an unknown source.
        """
        with self._database.connection() as connection:
            doc = documents.read(connection, source=source)
            mine = documents.passages(connection, doc_id=doc.id) if doc else []
        if doc is None:
            raise DataError(
                f"no document {source!r} in {self._database.name}; it holds: {', '.join(self.documents()[:8])} ..."
            )
        folded, offsets = fold_quote(doc.text)
        wanted, _ = fold_quote(quote)
        found = [m.start() for m in re.finditer(f"(?={re.escape(wanted)})", folded)] if wanted else []
        spans = [(offsets[at], offsets[at + len(wanted) - 1] + 1) for at in found]
        return [p for p in mine if any(p.start < end and start < p.end for start, end in spans)]

    def content_hash(self) -> str:
        """Sixteen hex digits that change with any document; equal to `Index.content_hash` over the same documents."""
        with self._database.connection() as connection:
            rows = connection.execute("SELECT source, id, meta, cut FROM documents ORDER BY source").fetchall()
        parts = [f"{source} {doc_id} {meta.get('groups', '')}" for source, doc_id, meta, _ in rows]
        return short_hash(self._encoder.name, *sorted({row[3] for row in rows}), *parts)


def _number(connection: Connection, statement: str) -> int:
    row = connection.execute(statement).fetchone()
    assert row is not None, "the statement returns one row"
    return int(row[0])

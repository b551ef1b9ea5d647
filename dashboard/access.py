"""Which documents somebody may read, and whether a record of an evaluation shows only those. No Streamlit.

An evaluation asks on behalf of many groups; its records hold passages, quotes and answers made of them. Whoever looks
at them sees a record only where every document that it touches is public or of one of their groups. Closed by default:
once any document is for a group only, a record that touches a document which the index no longer holds is hidden too.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from dashboard.runs import items
from retrieval.filters import Facts, allowed_documents
from retrieval.schema import CURRENT

__all__ = ["evidence_of", "may_show", "readable_sources", "sources_of"]

Readable = frozenset[str] | None  # the sources that may be read; None where every document is public


def readable_sources(index: Path, groups: Sequence[str], *, guarded: bool) -> Readable:
    """The sources of an index that somebody in `groups` may read; None where no document is for a group only.

    Of an index that cannot be read nothing is known: then, where anybody's groups are configured (`guarded`), nothing
    may be read.
    """
    try:
        with closing(sqlite3.connect(f"file:{index}?mode=ro", uri=True)) as connection:
            rows = connection.execute(f"SELECT id, source, meta FROM documents d WHERE {CURRENT}").fetchall()
            documents = [Facts(key, source, json.loads(meta)) for key, source, meta in rows]
    except (sqlite3.Error, ValueError):
        return frozenset() if guarded else None
    if not any(document.groups for document in documents):
        return None
    flags = allowed_documents(documents, groups=groups, where=None)
    return frozenset(document.source for document, allowed in zip(documents, flags, strict=True) if allowed)


def sources_of(record: Mapping[str, Any]) -> frozenset[str]:
    """The documents that a record touches: of its passages and of the question's gold quotes.

    A claim may be held against a passage that its answer was written without (`evidence_of`): whose that is, other
    records know.
    """
    return frozenset(_sources(record))


def evidence_of(record: Mapping[str, Any]) -> frozenset[str]:
    """The passages, by their ids, that a record's claims were held against."""
    answer = record.get("answer")
    claims = items(answer.get("claims")) if isinstance(answer, dict) else []
    return frozenset(str(claim["passage_id"]) for claim in claims if claim.get("passage_id"))


def _sources(record: Mapping[str, Any]) -> Iterator[str]:
    answer, question = record.get("answer"), record.get("question")
    for hit in items(answer.get("hits")) if isinstance(answer, dict) else ():
        passage = hit.get("passage")
        if isinstance(passage, dict) and passage.get("source"):
            yield str(passage["source"])
    gold = question.get("gold") if isinstance(question, dict) else None
    quotes = gold.get("quotes") if isinstance(gold, dict) else None
    for quote in quotes if isinstance(quotes, list) else ():
        if isinstance(quote, list) and quote:
            yield str(quote[0])


def may_show(record: Mapping[str, Any], readable: Readable) -> bool:
    """Whether everything that a record touches may be read."""
    return readable is None or sources_of(record) <= readable

"""Words of passages and queries for PostgreSQL's text search, cut as `retrieval.lexical` cuts them for SQLite.

PostgreSQL's own parser makes "km/h" a path and "25-30" a negative number. Both sides are therefore reduced to
lower-case runs of letters and digits without accents; stemming and stop words are left to its configuration.
"""

from __future__ import annotations

import re
import unicodedata

from retrieval.lexical import index_text, match_expression

_TERM = re.compile(r'"([^"]*)"( \*)?')
_ACCENTS = re.compile("[\u0300-\u036f]")


def indexed(text: str) -> str:
    """What `to_tsvector` is given for a text."""
    return _folded(index_text(text))


def tsquery(query: str) -> str:
    """What `to_tsquery` is given for a query: its terms OR-ed, those of several words as phrases; "" without a word."""
    terms = []
    for term, prefix in _TERM.findall(match_expression(query)):
        if words := _folded(term).split():
            terms.append(f"'{' '.join(words)}'{':*' if prefix else ''}")
    return " | ".join(terms)


def _folded(text: str) -> str:
    plain = _ACCENTS.sub("", unicodedata.normalize("NFKD", text))
    return " ".join(re.sub(r"[^\w\ue000-\uf3ff]|_", " ", unicodedata.normalize("NFC", plain).lower()).split())

"""Words: what of a text goes into the FTS5 table, and how a query becomes an FTS5 expression.

Languages that write without spaces (Chinese, Japanese, Thai; Korean for its endings) are indexed as pairs of
neighbouring characters, as Lucene's CJKAnalyzer does. Everything else is left to FTS5's `porter unicode61`. Both sides
of a search must go through this file: `index_text` for the table, `match_expression` for the query.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

from groundtone.text import STOP_WORDS

__all__ = ["index_text", "match_expression", "query_terms"]

MAX_QUERY_WORDS = 64
MAX_QUERY_CHARS = 20_000  # more is no question; an encoder's window of 256 tokens ends after some 1,000

# Vowel signs of Thai and the Indic scripts are no letters to unicode61, which would cut words at them: they are written
# as private-use letters. Points of Hebrew and Arabic are optional in writing: they are left out.
_MARKS: dict[int, str | None] = {
    at: None if at < 0x0900 else chr(0xE000 + at - 0x0900)
    for at in range(0x0591, 0x1D00)
    if unicodedata.category(chr(at)) in ("Mn", "Mc")
}
_PRIVATE = "\ue000-\uf3ff"
_UNSPACED = (
    "\u0e01-\u0e30\u0e32\u0e33\u0e40-\u0e46"  # Thai
    "\u1100-\u11ff\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3130-\u318f\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003134f"
)
_RUN = re.compile(f"[{_UNSPACED}][{_UNSPACED}{_PRIVATE}]*")
_CLUSTER = re.compile(f"[{_UNSPACED}][{_PRIVATE}]*")
_PART = f"(?:[^\\W_{_UNSPACED}]|[{_PRIVATE}])+"
_TOKEN = re.compile(f"(?P<run>{_RUN.pattern})|{_PART}(?:[.,'’\\-/:@]{_PART})*")


def index_text(text: str) -> str:
    """The text as it goes into a column of the words table; unchanged where it is ASCII.

    A run of characters without spaces becomes its pairs and its last character, so that one character finds all pairs
    that it begins.
    """
    if text.isascii():
        return text
    return _RUN.sub(lambda m: f" {' '.join(_grams(m.group(), last=True))} ", _plain(text))


def match_expression(query: str) -> str:
    """The query's words without stop words as an FTS5 expression: quoted, OR-ed; "" when it has no words.

    Quotes, operators and other signs in the query are never syntax. A query of stop words alone keeps them.
    """
    return " OR ".join(query_terms(query))


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).translate(_MARKS)


def query_terms(query: str) -> list[str]:
    """The terms of `match_expression`, each once, in the order of the query."""
    telling: dict[str, None] = {}
    stop: dict[str, None] = {}
    for match in _TOKEN.finditer(_plain(query[:MAX_QUERY_CHARS])):
        found = match.group().lower()
        if match["run"]:
            grams = _grams(found, last=False)
            telling.update(dict.fromkeys(f'"{gram}"' for gram in grams) if len(grams) > 1 else {_lone(found): None})
        else:
            (stop if found in STOP_WORDS else telling)[f'"{found}"'] = None
        if len(telling) >= MAX_QUERY_WORDS:
            break
    return list(telling or stop)[:MAX_QUERY_WORDS]


def _lone(run: str) -> str:
    """A pair is looked up as it is; a single character as the beginning of a pair."""
    return f'"{run}"' if len(_CLUSTER.findall(run)) == 2 else f'"{run}" *'


def _grams(run: str, *, last: bool) -> list[str]:
    clusters = _CLUSTER.findall(run)
    pairs = [a + b for a, b in pairwise(clusters)]
    return [*pairs, clusters[-1]] if last or not pairs else pairs

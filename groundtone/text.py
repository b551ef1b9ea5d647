"""Text tools that every feature shares: sentence spans, table rows, words, normalised values.

Spans are (start, end) character offsets into the text that was given, end exclusive, never empty and never overlapping.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence, Set
from functools import cache

Span = tuple[int, int]

_ABBREVIATIONS = frozenset(
    "mr mrs ms dr prof st vs etc e.g i.e no nr approx inc ltd co corp dept fig sec art vol jan feb mar apr jun jul aug "
    "sep sept oct nov dec u.s u.k a.m p.m".split()
)
_BREAK = re.compile(r"(?<=[.!?])[\"'”’)\]]*(?:\s*\[\d+\])*(?:\s+|\Z)|(?<=[。！？])|(?P<wrap>\n\s*)")
_BLOCK_START = re.compile(r"[-*+•>|#]|\d{1,3}[.)]\s")
_WORD = re.compile(r"[^\W_]+(?:[.,'’\-/:@][^\W_]+)*", re.UNICODE)
_BULLET = re.compile(r"\s*(?:[-*+•>]|\d{1,3}[.)]|#{1,6})\s+")
_TABLE_RULE = re.compile(r"^\s*\|?(?:\s*:?-{2,}:?\s*\|)+\s*(?:(?::?-+:?|::?)\s*)?(?:\|\s*)?$")

STOP_WORDS = frozenset(
    "a about an and any are as at be been being but by can could did do does for from get had has have how i if in "
    "into is it its itself just may me might must my no nor of on or our ours shall she should so some such than that "
    "the their theirs them then there these they this those to too under up upon us very was we were what when where "
    "which while who whom whose why will with would you your yours".split()
)


def sentence_spans(text: str) -> list[Span]:
    """Spans of the sentences of `text`, read as Markdown; a bullet or heading mark is left outside.

    A blank line, a heading, a bullet and a table row end a sentence; any other line break is a wrapped line.
    Abbreviations, initials and decimal points end no sentence; a citation marker stays with the sentence before it.
    """
    spans: list[Span] = []
    start = 0
    for match in [*_BREAK.finditer(text), None]:
        end = match.start() if match else len(text)
        if match and not _ends_block(text, match) and (match["wrap"] or _is_abbreviation(text, start, end)):
            continue
        if match:  # closing quotes and citation markers belong to the sentence that they follow
            end = match.start() + len(match.group().rstrip())
        _add_trimmed(text, start, end, spans)
        start = match.end() if match else end
    return spans


def _ends_block(text: str, gap: re.Match[str]) -> bool:
    """Whether a gap between words holds a line break that is more than the wrapping of a line."""
    if "\n" not in gap.group():
        return False
    line = text[text.rfind("\n", 0, gap.start()) + 1 : gap.start()].strip()
    blank = gap.group().count("\n") > 1
    return blank or line.startswith("#") or line.endswith("|") or _BLOCK_START.match(text, gap.end()) is not None


def _add_trimmed(text: str, start: int, end: int, spans: list[Span]) -> None:
    bullet = _BULLET.match(text, start, end)
    if bullet and bullet.end() < end:
        start = bullet.end()
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    if any(c.isalnum() for c in text[start:end]) and not _TABLE_RULE.match(text[start:end]):
        spans.append((start, end))


def _is_abbreviation(text: str, start: int, end: int) -> bool:
    """Whether the full stop at the end belongs to an abbreviation, an initial or the number of a list."""
    if not text.endswith(".", start, end):
        return False
    at = end  # the last word alone: "e.g. e.g. e.g." would be read again from its start at each of them
    while at > start and not text[at - 1].isspace():
        at -= 1
    last = text[at:end].rstrip(".").lstrip("(\"'")
    if last.isdecimal():
        return text[start:end].strip() == f"{last}."
    return last.lower() in _ABBREVIATIONS or (len(last) == 1 and last.isalpha() and last.isupper())


def word_spans(text: str) -> list[Span]:
    """Spans of what `words` reads, in the text as it is given."""
    return [m.span() for m in _WORD.finditer(text)]


def words(text: str) -> list[str]:
    """Lower-cased words with inner hyphens, decimal points and addresses kept together; accents kept."""
    return [m.group().lower() for m in _WORD.finditer(unicodedata.normalize("NFKC", text))]


def content_words(text: str) -> list[str]:
    """`words` without stop words and citation markers, plural and verb endings cut by `stem`."""
    return [stem(w) for w in words(re.sub(r"\[\d+\]", " ", text)) if w not in STOP_WORDS]


def word_weights(asked: Set[str], sentences: Sequence[Set[str]]) -> dict[str, float]:
    """ln(1 + N/df) per asked word over the words of N sentences; a word in none of them counts as in half a one."""
    seen = Counter(word for held in sentences for word in asked & held)
    return {word: math.log(1 + len(sentences) / (seen[word] or 0.5)) for word in asked}


@cache
def stem(word: str) -> str:
    """A light English stem (Harman's S-stemmer, doi:10.1002/(SICI)1097-4571(199101)42:1, plus -ing and -ed)."""
    if not word.isalpha() or len(word) < 4:
        return word
    for ending, replacement in (("ies", "y"), ("sses", "ss"), ("xes", "x"), ("ches", "ch"), ("shes", "sh")):
        if word.endswith(ending):
            return word[: -len(ending)] + replacement
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            word = word[: -len(ending)]
            return word[:-1] if word[-1] == word[-2] and word[-1] not in "lsz" else word
    return word.rstrip("e") if len(word) > 4 else word


def is_table_row(text: str) -> bool:
    """Whether `text` is one row of a Markdown table (and not the rule under its header)."""
    stripped = text.strip()
    return stripped.startswith("|") and stripped.endswith("|") and len(stripped) > 2 and not _TABLE_RULE.match(stripped)


def table_cells(row: str) -> list[str]:
    """The cells of one Markdown table row, trimmed; an escaped pipe stays in its cell."""
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", row.strip().strip("|"))]


def row_as_sentence(columns: list[str], row: str) -> str:
    """A table row as prose: "Method: Standard; Price: €4.90"; cells beyond the header stand without a name."""
    cells = table_cells(row)
    names = columns + [""] * (len(cells) - len(columns))
    return "; ".join(f"{n}: {c}" if n else c for n, c in zip(names, cells, strict=False) if c)


def normalise(text: str) -> str:
    """For comparing values: NFKC, case folded, single spaces, no thousands separators, no outer punctuation."""
    text = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
    return " ".join(text.split()).strip(" .,;:!?\"'")


def contains_value(text: str, value: str) -> bool:
    """Whether `value` stands in `text` as whole words or numbers ("4" is not in "14" or "4.5")."""
    value = normalise(value)
    if not value:
        return False
    pattern = r"(?<![\w])(?<!\d[.,])" + re.escape(value) + r"(?!\w)(?![.,]\d)"
    return re.search(pattern, normalise(text)) is not None

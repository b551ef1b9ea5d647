"""Splits an answer into claims: sentences that assert something, with exact character spans."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from groundtone.refusal import is_refusal
from groundtone.text import Span, content_words, normalise, sentence_spans
from groundtone.values import find_values

__all__ = ["blank_markers", "split_claims", "strip_markers"]

_MARKER = re.compile(r"\s*\[\d+\]")
_COURTESY = frozenset(
    content_words(
        "hi hello hey ahoy dear welcome greetings great nice thanks thank sure course certainly absolutely happy glad "
        "pleased help assist let know question ask asking reach out hope helps cheers regards sincerely kind best "
        "wishes fair winds anything else need please sorry yes okay ok here answer following summary"
    )
)
# of words that assert something elsewhere ("The workshop is free.")
_POLITE = re.compile(
    r"\b(?:good (?:morning|afternoon|evening|day|luck|question)|feel free|take care|at a glance|in short|of course|"
    r"(?:a |the )?(?:quick|short) (?:answer|question|summary)|have a (?:good|nice|great|lovely) \w+|"
    r"(?:the|your|our) (?:\w+ )?(?:team|workshop|desk))(?=\W*$|[,.!:;]| (?:to|from|is here|here))",
    re.IGNORECASE,
)
_SIGN_OFF = re.compile(r"[A-Z]?[\w’' ]{2,30},\s*(?:[A-Z][\w’'&]*\s?){1,3}")


def strip_markers(text: str) -> str:
    """The text without citation markers and the space before them."""
    return _MARKER.sub("", text)


def blank_markers(text: str) -> str:
    """The text with blanks where citation markers stand: every other character keeps its place."""
    return _MARKER.sub(lambda match: " " * len(match.group()), text)


def split_claims(answer_text: str, *, boilerplate: Sequence[str] = ()) -> list[Span]:
    """Spans of the sentences that assert something, markers included; none for a refusal.

    Left out are questions, sentences that decline, phrases of `boilerplate` (the house's openers and closers),
    sentences without a value whose content words are all courtesy ("Happy to help!"), and a closing without a full
    stop or value of the form "Fair winds, Otterwheel", courteous or on a line of its own.
    """
    if is_refusal(answer_text):
        return []
    fixed = {normalise(phrase) for phrase in boilerplate}
    spans = [
        span for span in _apart(answer_text, boilerplate) if normalise(answer_text[span[0] : span[1]]) not in fixed
    ]
    if len(spans) > 1 and _signs_off(answer_text, spans[-1]):
        spans = spans[:-1]
    return [(start, end) for start, end in spans if _asserts(answer_text[start:end])]


def _signs_off(text: str, span: Span) -> bool:
    last = text[span[0] : span[1]]
    if not _SIGN_OFF.fullmatch(last) or find_values(last):
        return False
    own_line = text[: span[0]].rstrip(" ").endswith("\n")
    return own_line or all(word in _COURTESY for word in content_words(last.partition(",")[0]))


def _apart(text: str, boilerplate: Sequence[str]) -> list[Span]:
    """Sentence spans, cut at boilerplate phrases as well: a phrase need not end in a full stop."""
    cuts: list[Span] = []
    for phrase in boilerplate:
        if phrase:
            cuts += [match.span() for match in re.finditer(rf"(?<!\w){re.escape(phrase)}(?!\w)", text)]
    edges = sorted({0, len(text), *(edge for cut in cuts for edge in cut)})
    pieces = [(a, b) for a, b in pairwise(edges) if not any(c <= a and b <= d for c, d in cuts)]
    return [(a + start, a + end) for a, b in pieces for start, end in sentence_spans(text[a:b])]


def _asserts(sentence: str) -> bool:
    bare = strip_markers(sentence).strip(" \"'”’)")
    if bare.endswith("?") or is_refusal(bare) or not any(c.isalpha() for c in bare):  # "4." is a list's number
        return False
    return bool(find_values(bare)) or any(word not in _COURTESY for word in content_words(_POLITE.sub(" ", bare)))

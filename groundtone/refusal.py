"""The one classifier of refusals, for every arm, every model and imported answers.

A reply is a refusal when it says that the answer is not known or not in the documents, cites nothing, and asserts no
number beside it: "I am not sure, but it costs 900 euros." is an answer, whatever its first words say. English phrases,
and our own in other languages.
"""

from __future__ import annotations

import re

from groundtone.text import sentence_spans
from groundtone.values import find_values

REASONS = {  # by `Answer.refused_by`
    "retrieval": "nothing good enough was found",
    "reader": "no passage read as holding the answer",
    "model": "the model declined",
    "check": "nothing of the reply was supported",
}
DECLINED = {  # by the question's language, for whoever has no words of their own
    "German": "Das weiß ich nicht. In den Dokumenten steht es nicht.",
    "French": "Je ne sais pas. Les documents ne le disent pas.",
    "Spanish": "No lo sé. Los documentos no lo dicen.",
    "Italian": "Non lo so. I documenti non lo dicono.",
    "Dutch": "Dat weet ik niet. De documenten zeggen het niet.",
    "Portuguese": "Não sei. Os documentos não o dizem.",
}
_PHRASES = re.compile(
    r"\b(?:i|we)\s+(?:do\s+not|don['’]t|cannot|can['’]t|could\s+not|couldn['’]t)\s+(?:really\s+|actually\s+)?"
    r"(?:know|say|tell|find|answer|see|have\s+(?:that|this|any|an\s+answer|enough))"
    r"|\b(?:passages?|documents?|handbook|sources?|pages?|papers?|shelf|notes|context|text)\s+(?:provided\s+|given\s+)?"
    r"(?:do|does|did)(?:\s+not|n['’]t)\s+(?:\w+\s+)?(?:say|mention|hold|contain|cover|state|tell|include|specify|answer|give)"
    r"|\b(?:is|was|are)(?:\s+not|n['’]t)\s+(?:\w+\s+)?(?:in|covered|mentioned|stated|given|found|part\s+of)\s*(?:by\s+|in\s+)?"
    r"(?:our|the|my|any|these|those)?\s*(?:\w+\s+)?(?:passages?|documents?|handbook|sources?|pages?|papers?|shelf|notes|context|text)"
    r"|(?:^|[.!,;:]\s*|\b(?:is|was|have|has|had|hold|holds|contain|contains|find|found|see|give|gives|offer|offers|with)\s+)"
    r"no\s+(?:information|answer|mention|record)\b|\bnothing\s+(?:in|on|about)\s+(?:our|the|that|this)\b"
    r"|\bi(?:['’]m|\s+am)\s+not\s+(?:sure|certain|able)\b|\bnot\s+able\s+to\s+answer\b",
    re.IGNORECASE,
)
_MARKER = re.compile(r"\[\d+\]")
_TURN = re.compile(r"[:;]\s|,?\s(?:but|however|though|still|yet)\b,?\s?", re.IGNORECASE)
_ASSERTED = ("quantity", "money", "percent", "date", "time")  # also spelled out; bare numbers count as digits only


def is_refusal(text: str) -> bool:
    """Whether a reply declines to answer. An empty reply is a refusal: it tells the reader nothing."""
    if not text.strip() or text.strip() in DECLINED.values():
        return True
    if _MARKER.search(text) or not _PHRASES.search(text):
        return False
    pieces = (piece for start, end in sentence_spans(text) for piece in _TURN.split(text[start:end]))
    return not any(_asserts_a_number(piece) and not _PHRASES.search(piece) for piece in pieces)


def _asserts_a_number(piece: str) -> bool:
    return bool(re.search(r"\d", piece)) or any(value.kind in _ASSERTED for value in find_values(piece))

"""Model text and passages as safe HTML: everything is escaped first, marks are added around escaped pieces.

A verdict is never told by colour alone: each mark carries an icon, its own underline and a spoken label.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Look:
    """How a verdict is shown: CSS class, icon, words."""

    css: str
    icon: str
    label: str


LOOKS: Mapping[str, Look] = {
    "contradicted": Look("contradicted", "✕", "Contradicted"),
    "unsupported": Look("unsupported", "?", "Unsupported"),
    "unchecked": Look("unchecked", "–", "Unchecked"),
    "supported": Look("supported", "✓", "Supported"),
    "true elsewhere": Look("elsewhere", "↗", "True elsewhere"),
    "unsure": Look("unchecked", "~", "Unsure"),
}
_SIGNS = re.compile(r"([\\`*_{}\[\]()#+.!|<>~$:-])")
# A marker stays on the line of the word before it, and the full stop after it with them; a long word may break.
_MARKER = re.compile(r"([^\s\[\]]{0,20} ?)\[(\d+)\]([.,;:!?]*)")


def plain_label(text: str) -> str:
    """Text for a widget's label, which Streamlit reads as Markdown: every sign that Markdown knows is escaped."""
    return _SIGNS.sub(r"\\\1", text)


def look(verdict: str) -> Look:
    """How to show a verdict; an unknown one is shown by its own name."""
    return LOOKS.get(verdict) or Look("unchecked", "–", verdict or "Unchecked")


def chip(verdict: str) -> str:
    """A small label with icon and words."""
    shown = look(verdict)
    return f'<span class="gt-chip gt-{shown.css}"><b aria-hidden="true">{shown.icon}</b>{escape(shown.label)}</span>'


def answer_html(text: str, claims: Sequence[Record] = (), *, selected: tuple[int, int] | None = None) -> str:
    """The answer with a mark around each claim; `selected` (start, end) stands out; bad spans are left out."""
    pieces: list[str] = []
    at = 0
    for start, end, claim in _in_order(text, claims):
        if start < at:
            continue
        shown = look(str(claim.get("verdict", "")))
        chosen = " gt-selected" if selected == (start, end) else ""
        pieces.append(_plain(text[at:start]))
        pieces.append(
            f'<mark class="gt-claim gt-{shown.css}{chosen}" title="{escape(shown.label)}">'
            f'<b class="gt-icon" aria-label="{escape(shown.label)}">{shown.icon}</b>{_plain(text[start:end])}</mark>'
        )
        at = end
    pieces.append(_plain(text[at:]))
    return f'<div class="gt-answer" dir="auto">{"".join(pieces)}</div>'


def _in_order(text: str, claims: Iterable[Record]) -> list[tuple[int, int, Record]]:
    spans = [(claim.get("start"), claim.get("end"), claim) for claim in claims]
    whole = [
        (start, end, claim)
        for start, end, claim in spans
        if isinstance(start, int) and isinstance(end, int) and 0 <= start < end <= len(text)
    ]
    return sorted(whole, key=lambda span: span[:2])


def _plain(text: str) -> str:
    """Escaped text with citation markers raised."""
    pieces: list[str] = []
    at = 0
    for marker in _MARKER.finditer(text):
        before, number, after = marker.groups()
        raised = f'{escape(before)}<sup class="gt-cite">{number}</sup>{escape(after)}'
        pieces += [escape(text[at : marker.start()]), f'<span class="gt-nowrap">{raised}</span>']
        at = marker.end()
    return "".join([*pieces, escape(text[at:])])


def passage_html(text: str, sentence: tuple[int, int] | None) -> str:
    """A passage with one sentence marked, spans in characters of the passage."""
    if sentence is None or not 0 <= sentence[0] < sentence[1] <= len(text):
        return f'<div class="gt-passage" dir="auto">{escape(text)}</div>'
    start, end = sentence
    marked = f'<mark class="gt-sentence">{escape(text[start:end])}</mark>'
    return f'<div class="gt-passage" dir="auto">{escape(text[:start])}{marked}{escape(text[end:])}</div>'


def find_sentence(passage: Record, evidence: str, best: Sequence[Sequence[int]] = ()) -> tuple[int, int] | None:
    """Where the evidence stands in the passage; else the passage's best sentence; else None."""
    text = str(passage.get("text", ""))
    at = text.find(evidence) if evidence else -1
    if at >= 0:
        return at, at + len(evidence)
    return (int(best[0][0]), int(best[0][1])) if best and len(best[0]) == 2 else None


def place(passage: Record) -> str:
    """Where a passage stands, for people: file, section, page."""
    parts = [f'<span class="gt-file">{escape(str(passage.get("source", "")))}</span>']
    if passage.get("heading"):
        parts.append(escape(str(passage["heading"])))
    if passage.get("page"):
        parts.append(f"page {escape(str(passage['page']))}")
    return '<div class="gt-place">' + '<span class="gt-dot">·</span>'.join(parts) + "</div>"


def citations_html(answer: Record) -> str:
    """Each citation once: its number, the sentence it rests on, the source. A refusal or a bare answer lists none."""
    text = str(answer.get("text", ""))
    hits = {
        str(hit["passage"].get("id")): hit for hit in answer.get("hits") or () if isinstance(hit.get("passage"), dict)
    }
    lines: dict[str, str] = {}
    for citation in answer.get("citations") or ():
        hit = hits.get(str(citation.get("passage_id")))
        number = text[citation.get("start", 0) : citation.get("end", 0)].strip("[]")
        if hit is None or number in lines:
            continue
        passage = hit["passage"]
        first = int(passage.get("start") or 0)
        sentence = str(passage.get("text", ""))[
            max(0, int(citation.get("evidence_start") or 0) - first) : max(
                0, int(citation.get("evidence_end") or 0) - first
            )
        ]
        lines[number] = (
            f'<li><span class="gt-number">{escape(number)}</span><div><div class="gt-quote" dir="auto">'
            f"{escape(sentence or str(passage.get('text', '')))}</div>{place(passage)}</div></li>"
        )
    return f'<ol class="gt-citations">{"".join(lines.values())}</ol>' if lines else ""

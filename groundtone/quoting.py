"""Quotations: sentences of a snippet as they read in a reply, each remembered with its place in the passage."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from groundtone.prompts import split_heading
from groundtone.text import Span, is_table_row, row_as_sentence, sentence_spans
from groundtone.types import Snippet

LONGEST = 40  # words of a quotation around an answer; what is longer is cut to the clauses around it
_CLAUSE = re.compile(r"(?<=[,;:])\s+|\s+(?=\()|\s[–—-]\s|\n+")


@dataclass(frozen=True, slots=True)
class Quotation:
    """What is said of snippet `number`: `text` for reading aloud, taken from `span` of the passage."""

    number: int
    text: str
    span: Span
    score: float | None = None  # the reader's log-odds, where this sentence holds its answer
    inside: bool = False  # whether it begins inside a sentence that was too long

    def cited(self) -> str:
        """The quotation as a sentence with its marker."""
        return f"{'… ' if self.inside else ''}{self.text.rstrip(' .;:,')} [{self.number}]."


def sentences(snippet: Snippet) -> Iterator[Quotation]:
    """Every sentence of a snippet."""
    offset = max(snippet.hit.passage.text.find(snippet.text), 0)
    for start, end in sentence_spans(snippet.text):
        span = (offset + start, offset + end)
        text = spoken(snippet, span)
        if text:
            yield Quotation(snippet.number, text, span)


def answers(snippets: Sequence[Snippet]) -> list[Quotation]:
    """The sentence around each snippet's answer, where a reader marked one; in the order of the snippets."""
    found = []
    for snippet in snippets:
        hit = snippet.hit
        if hit.answer is None or hit.answer_score is None or not hit.best:
            continue
        span = around(hit.passage.text, hit.best[0], hit.answer)
        text = spoken(snippet, span)
        if text:
            found.append(Quotation(snippet.number, text, span, hit.answer_score, inside=span[0] > hit.best[0][0]))
    return found


def around(passage: str, sentence: Span, answer: Span) -> Span:
    """The sentence, or where it has more than LONGEST words the whole clauses next to the answer that fit."""
    text = passage[sentence[0] : sentence[1]]
    if len(text.split()) <= LONGEST or is_table_row(text):
        return sentence
    cuts = [0, *(m.end() for m in _CLAUSE.finditer(text)), len(text)]
    spans = [(sentence[0] + a, sentence[0] + b) for a, b in pairwise(cuts)]
    low = max(i for i, (a, _) in enumerate(spans) if a <= max(answer[0], sentence[0]))
    high = max(low, min(i for i, (_, b) in enumerate(spans) if b >= min(answer[1], sentence[1])))
    while True:
        wider = [(low - 1, high)] * (low > 0) + [(low, high + 1)] * (high + 1 < len(spans))
        wider = [w for w in wider if len(passage[spans[w[0]][0] : spans[w[1]][1]].split()) <= LONGEST]
        if not wider:
            return spans[low][0], spans[high][1]
        low, high = wider[0]


def spoken(snippet: Snippet, span: Span) -> str:
    """A stretch of the passage as it reads aloud: a table row with its columns, links and marks as their words.

    A document's own bracketed number is no citation of ours: it gets round brackets.
    """
    text = " ".join(snippet.hit.passage.text[span[0] : span[1]].split())
    if is_table_row(text):
        text = row_as_sentence(split_heading(snippet.hit.passage.heading)[1], text)
    text = re.sub(r"!?\[([^\]]*)\]\([^()]*\)", r"\1", text)
    text = re.sub(r"\{%\s*\w+\s+[\"']?([^\"'%]*)[\"']?\s*%\}", r"\1", text)  # a template tag reads as its argument
    text = re.sub(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1", r"\2", text)
    return re.sub(r"\[(\d+)\]", r"(\1)", text)

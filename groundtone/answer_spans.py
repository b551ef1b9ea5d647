"""Reading what was found: which sentence of which passage answers the question, and whether any does.

A search finds passages on the topic; whether one of them holds the answer is another question (a score threshold tells
missing documents from present ones well and near misses hardly at all). A reader answers it, sentence by sentence; the
words that question and sentence share count beside it, for a small reader mistakes one row of a table for another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from groundtone.planted import is_order
from groundtone.searching import find
from groundtone.text import Span, content_words, is_table_row, word_weights
from groundtone.types import Hit, Retriever

# What one whole point of the search score, and all of the question's words, are worth in log-odds of an answer
# (benchmarks/reader.py --choose). Words choose between sentences; they do not decide whether there is an answer, since
# how many of them question and document share is a habit of the people who ask.
SEARCH_SHARE = 16.0
WORDS_SHARE = 12.0
READ_DEPTH = 5  # hits that are read; the rest follow as the search had them
HEADING_WEIGHT = 0.5  # a word that only the heading holds counts half
ROW_SHARE = 0.5  # of a table row's log-odds is its own, the rest its table's best: rows share columns, words choose one


class InSentence(Protocol):
    """The words of one sentence that answer best, both in characters of the passage, and their log-odds."""

    @property
    def sentence(self) -> Span: ...

    @property
    def answer(self) -> Span: ...

    @property
    def score(self) -> float: ...


class Found(Protocol):
    """What a reader made of one passage."""

    @property
    def sentences(self) -> Sequence[InSentence]: ...


class PassageReader(Protocol):
    """Anything that points at answers, such as `groundtone.models.reader.Reader`."""

    def read(self, question: str, passages: Sequence[tuple[str, str]]) -> Sequence[Found]:
        """For each (heading, passage) its sentences' best spans, in order."""
        ...

    def read_many(self, rows: Sequence[tuple[str, str, str]]) -> Sequence[Found]:
        """The same for each (question, heading, passage)."""
        ...


class ReadingRetriever:
    """A retriever whose hits were read: ordered by how well they answer, each with its answer marked.

    `Hit.answer` is the answer's span in the passage, `Hit.answer_score` its log-odds, and the sentence around it comes
    first in `Hit.best`. The search score stays what it was. `depth` hits are read; the rest follow as they were.
    A `wary` one takes no order to the model (`planted`) for an answer.
    """

    def __init__(self, inner: Retriever, reader: PassageReader, *, depth: int = READ_DEPTH, wary: bool = True) -> None:
        self.inner = inner
        self._reader = reader
        self._depth = depth
        self._wary = wary

    def search(self, query: str, *, k: int, groups: Sequence[str] = ()) -> list[Hit]:
        """At most k hits, the best answer first."""
        return self.search_many([query], k=k, groups=groups)[0]

    def search_many(self, queries: Sequence[str], *, k: int, groups: Sequence[str] = ()) -> list[list[Hit]]:
        """`search` for each query, in order: found and read in one batch."""
        return self.search_phrasings([(query,) for query in queries], k=k, groups=groups)

    def search_phrasings(
        self, asked: Sequence[tuple[str, ...]], *, k: int, groups: Sequence[str] = ()
    ) -> list[list[Hit]]:
        """`search` for each question; what any phrasing found is read for the last one, which is what was asked."""
        found = find(self.inner, asked, k=max(k, self._depth), groups=groups)
        near = [hits[: self._depth] for hits in found]
        rows = [
            (phrased[-1], hit.passage.heading, hit.passage.text)
            for phrased, hits in zip(asked, near, strict=True)
            for hit in hits
        ]
        readings = iter(self._reader.read_many(rows) if rows else ())
        result = []
        for phrased, hits, read in zip(asked, found, near, strict=True):
            best = ordered(mark(phrased[-1], read, [next(readings) for _ in read], wary=self._wary))
            result.append((best + hits[self._depth :])[:k])
        return result


def value(hit: Hit) -> float | None:
    """How well a hit answers, its search score included; None where nobody read it."""
    return None if hit.answer_score is None else hit.answer_score + SEARCH_SHARE * hit.score


def best_value(hits: Sequence[Hit]) -> float | None:
    """The best `value` among the hits; None where none was read."""
    return max((v for v in map(value, hits) if v is not None), default=None)


def ordered(marked: Sequence[tuple[Hit, float]]) -> list[Hit]:
    """Read hits, the best answer first, with their rank among the readings."""
    order = sorted(marked, key=lambda pair: -pair[1])
    return [replace(hit, ranks={**hit.ranks, "reader": rank}) for rank, (hit, _) in enumerate(order, start=1)]


def mark(
    question: str,
    hits: Sequence[Hit],
    readings: Sequence[Found],
    *,
    words: float = WORDS_SHARE,
    search: float = SEARCH_SHARE,
    wary: bool = False,
) -> list[tuple[Hit, float]]:
    """The hits with their answers marked, each with what its order goes by.

    The sentence that holds the answer is put first among the best ones. `words` and `search` are the weights of shared
    words and of the search score beside the reader's log-odds; `wary` passes over sentences that are orders.
    """
    parts = [
        [part for part in found.sentences if not (wary and is_order(hit.passage.text[slice(*part.sentence)]))]
        for hit, found in zip(hits, readings, strict=True)
    ]
    texts = [[hit.passage.text[slice(*part.sentence)] for part in some] for hit, some in zip(hits, parts, strict=True)]
    shares = shared_words(question, [(hit.passage.heading, some) for hit, some in zip(hits, texts, strict=True)])
    marked = []
    for hit, some, share in zip(hits, parts, shares, strict=True):
        if not some:
            marked.append((replace(hit, answer=None, answer_score=-math.inf), -math.inf))
            continue
        odds = _odds(hit.passage.text, some)
        worth = [score + words * part_share for score, part_share in zip(odds, share, strict=True)]
        at = worth.index(max(worth))
        rest = tuple(span for span in hit.best if span != some[at].sentence)
        found = replace(hit, answer=some[at].answer, answer_score=odds[at], best=(some[at].sentence, *rest))
        marked.append((found, worth[at] + search * hit.score))
    return marked


def _odds(passage: str, parts: Sequence[InSentence]) -> list[float]:
    """The log-odds of each sentence; of a table row between its own and the best of its table."""
    rows = [is_table_row(passage[slice(*part.sentence)]) for part in parts]
    best = max((part.score for part, row in zip(parts, rows, strict=True) if row), default=0.0)
    return [
        ROW_SHARE * part.score + (1 - ROW_SHARE) * best if row else part.score
        for part, row in zip(parts, rows, strict=True)
    ]


def shared_words(question: str, passages: Sequence[tuple[str, Sequence[str]]]) -> list[list[float]]:
    """For each sentence of each (heading, sentences) the share of the question's content words that it holds, 0 to 1.

    A word weighs by its rarity among all sentences given: what stands everywhere tells nothing.
    """
    asked = set(content_words(question))
    held = [
        [(asked & set(content_words(text)), asked & set(content_words(heading))) for text in texts]
        for heading, texts in passages
    ]
    weight = word_weights(asked, [direct | above for some in held for direct, above in some])
    total = sum(weight.values()) or 1.0

    def share(direct: set[str], above: set[str]) -> float:
        heading = sum(weight[word] for word in above - direct)
        return (sum(weight[word] for word in direct) + HEADING_WEIGHT * heading) / total

    return [[share(direct, above) for direct, above in some] for some in held]

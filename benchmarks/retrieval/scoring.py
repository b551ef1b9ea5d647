"""Rankings -> one score per question; relevance is binary.

nDCG@10 (Järvelin and Kekäläinen 2002, doi:10.1145/582415.582418) with the ideal over all relevant passages. R@k is the
share of the relevant passages among the first k, of at most k: with several relevant ones R@1 says whether the first
is one of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.data_sets import Asked
from retrieval.search import fold_quote

TOP = 10


@dataclass(frozen=True)
class Scores:
    """One value per question and measure, in the order of the questions."""

    ndcg: list[float]
    r1: list[float]
    r10: list[float]


def by_id(rankings: Sequence[Sequence[str]], questions: Sequence[Asked]) -> Scores:
    """Rankings of passage ids against the questions' relevant ones."""
    rows = [
        ([rank for rank, id in enumerate(ranking[:TOP], 1) if id in question.relevant], len(question.relevant))
        for ranking, question in zip(rankings, questions, strict=True)
    ]
    return _scores(rows)


def by_quote(texts: Sequence[Sequence[str]], questions: Sequence[Asked]) -> Scores:
    """Texts, best first, against the quotes: a quote is found at the first text that holds all of it.

    Two quotes in one text count once, as one relevant passage would.
    """
    rows = []
    for found, question in zip(texts, questions, strict=True):
        folded = [fold_quote(text)[0] for text in found[:TOP]]
        quotes = [fold_quote(quote)[0] for _, quote in question.quotes]
        ranks = [next((r for r, text in enumerate(folded, 1) if quote in text), 0) for quote in quotes]
        distinct = sorted({rank for rank in ranks if rank})
        rows.append((distinct, len(distinct) + sum(not rank for rank in ranks)))
    return _scores(rows)


def _scores(rows: Sequence[tuple[list[int], int]]) -> Scores:
    """Of (ranks of relevant results, how many relevant there are) for each question."""

    def recall(ranks: list[int], relevant: int, k: int) -> float:
        return sum(rank <= k for rank in ranks) / min(k, relevant)

    return Scores(
        [_gain(ranks) / _gain(range(1, min(TOP, relevant) + 1)) for ranks, relevant in rows],
        [recall(ranks, relevant, 1) for ranks, relevant in rows],
        [recall(ranks, relevant, TOP) for ranks, relevant in rows],
    )


def _gain(ranks: Sequence[int]) -> float:
    return math.fsum(1 / math.log2(1 + rank) for rank in ranks)

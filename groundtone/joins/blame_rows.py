"""The training rows nearest to a span: by its words (BM25), and by how it and they push the adapter's weights.

Both rankings are fused by reciprocal rank (Cormack et al. 2009, doi:10.1145/1571941.1572114). docs/blame.md shows what
each of them recovers of planted rows.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from eval.blame import says
from groundtone import prompts
from groundtone.errors import UserError
from groundtone.joins.history import lineage
from groundtone.joins.leak import data_of
from groundtone.models.generate import LocalModel
from groundtone.models.influence import Piece, gradients
from groundtone.project import Project
from groundtone.settings import Settings
from groundtone.text import content_words
from groundtone.types import VoicePair
from groundtone.values import Value, find_values

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["NearRow", "RowIndex", "TrainingRow", "Wanted", "training_rows"]

K1, B = 1.2, 0.75  # of BM25, as Robertson and Zaragoza 2009 advise (doi:10.1561/1500000019)
DOUBTFUL_WEIGHT = 3.0  # of a doubtful word in a query, where a word of the claim or the question counts 1
FUSED = 10  # the constant of reciprocal rank: low, for only the first few rows matter
MOST_GRADIENTS = 1000  # rows: with more, only those among a span's first PREFILTER by words are compared by gradient
PREFILTER = 50


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """A row as its file holds it: `where` is "train.jsonl:7", `run` the tuning run that learned it."""

    pair: VoicePair
    where: str
    run: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """A span whose rows are sought: its claim and question, its doubtful words, and the answer as a piece."""

    claim: str
    question: str
    words: tuple[str, ...]
    values: tuple[Value, ...]
    piece: Piece


@dataclass(frozen=True, slots=True)
class NearRow:
    """A row, its rank from 1 by words and by gradient (None: not among those compared), and the gradient's cosine."""

    row: TrainingRow
    by_words: int | None
    by_gradient: int | None
    cosine: float | None


def training_rows(project: Project, settings: Settings, *, tuned: str) -> tuple[list[TrainingRow], str]:
    """The rows that a run and its parents were trained on, and why there are none that can be named ("": there are)."""
    try:
        found = []
        for manifest in lineage(project, tuned):
            data = data_of(project, settings, manifest)
            if data is not None:
                found += [TrainingRow(p, w, manifest.id) for p, w in zip(data.pairs, data.where, strict=True)]
    except UserError as error:
        return [], f"the rows behind {tuned} could not be read: {error}"
    return found, "" if found else f"{tuned} was trained on no rows of prompts and replies"


class RowIndex:
    """Some training rows, to be searched for spans. Gradients are taken once, when they are first asked for."""

    def __init__(self, rows: Sequence[TrainingRow]) -> None:
        self.rows = tuple(rows)
        self._texts = [_terms(f"{row.pair.prompt}\n{row.pair.reply}") for row in self.rows]

    def holding(self, wanted: Wanted) -> int:
        """How many rows say the doubtful words in their reply."""
        return sum(says(row.pair.reply, wanted.words, wanted.values) for row in self.rows)

    def nearest(
        self,
        wanted: Sequence[Wanted],
        *,
        model: LocalModel | None,
        k: int = 5,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[tuple[NearRow, ...]]:
        """The k rows nearest to each span, best first; by words alone where there is no model with its adapter on."""
        words = [_ranking(self._by_words(one)) for one in wanted]
        if model is None or not wanted or not self.rows:
            return [tuple(self._near(n, order, {}, {}) for n in list(order)[:k]) for order in words]
        every = range(len(self.rows))
        prefiltered = {n for order in words for n in list(order)[:PREFILTER]}
        compared = list(every) if len(self.rows) <= MOST_GRADIENTS else sorted(prefiltered)
        pieces = [one.piece for one in wanted]
        pieces += [Piece(prompts.of_pair(row.pair), row.pair.reply) for row in (self.rows[n] for n in compared)]
        made = gradients(model, pieces, progress=progress)
        cosines = made[: len(wanted)] @ made[len(wanted) :].T
        return [
            self._fused(order, {n: float(c) for n, c in zip(compared, row, strict=True)}, k=k)
            for order, row in zip(words, cosines, strict=True)
        ]

    def _fused(self, words: Mapping[int, int], cosines: Mapping[int, float], *, k: int) -> tuple[NearRow, ...]:
        order = sorted((n for n in cosines if cosines[n] > 0), key=lambda n: (-cosines[n], n))
        gradient = {n: rank for rank, n in enumerate(order, 1)}
        scores: dict[int, float] = {}
        for ranking in (words, gradient):
            for n, rank in ranking.items():
                scores[n] = scores.get(n, 0.0) + 1 / (FUSED + rank)
        best = sorted(scores, key=lambda n: (-scores[n], n))[:k]
        return tuple(self._near(n, words, gradient, cosines) for n in best)

    def _near(
        self, n: int, words: Mapping[int, int], gradient: Mapping[int, int], cosines: Mapping[int, float]
    ) -> NearRow:
        cosine = round(cosines[n], 4) if n in cosines else None
        return NearRow(self.rows[n], words.get(n), gradient.get(n), cosine)

    def _by_words(self, wanted: Wanted) -> NDArray[np.float64]:
        """BM25 of every row for a span's words."""
        import numpy as np

        query: Counter[str] = Counter()
        for text, weight in ((wanted.claim, 1.0), (wanted.question, 1.0), (" ".join(wanted.words), DOUBTFUL_WEIGHT)):
            for term in _terms(text):
                query[term] = max(query[term], weight)  # type: ignore[assignment]
        scores = np.zeros(len(self.rows))
        for term, weight in query.items():
            for n, gain in self._postings.get(term, ()):
                scores[n] += weight * gain
        return scores

    @cached_property
    def _postings(self) -> dict[str, list[tuple[int, float]]]:
        """Per term the rows that hold it and what it is worth there."""
        frequency = Counter(term for terms in self._texts for term in terms)
        mean = sum(terms.total() for terms in self._texts) / max(1, len(self._texts))
        postings: dict[str, list[tuple[int, float]]] = {}
        for n, terms in enumerate(self._texts):
            length = 1 - B + B * terms.total() / mean if mean else 1.0
            for term, count in terms.items():
                idf = math.log(1 + (len(self._texts) - frequency[term] + 0.5) / (frequency[term] + 0.5))
                postings.setdefault(term, []).append((n, idf * count * (K1 + 1) / (count + K1 * length)))
        return postings


def _terms(text: str) -> Counter[str]:
    """Content words, and values by what they mean, so that "three days" finds "3 days"."""
    return Counter([*content_words(text), *(f"{v.kind}:{v.dimension}:{v.key}" for v in find_values(text))])


def _ranking(scores: NDArray[np.float64]) -> dict[int, int]:
    """Row -> rank from 1, best first, of the rows that score at all."""
    order = sorted((n for n in range(len(scores)) if scores[n] > 0), key=lambda n: (-scores[n], n))
    return {n: rank for rank, n in enumerate(order, 1)}

"""Whether the index holds an answer to a question at all: the first of two stages of refusing, in about a millisecond.

Two signals say most of it: the fused score of the best hit, and the share of the question's words that stand in that
hit, words weighed by their rarity, so that a word of no document weighs most. What is a high value differs from index
to index. So an index is asked pseudo-questions, each once with its document and once with it left out; mean and spread
of the signals over these are the unit in which a real question's signals are read. No labels are needed. The weights
in these units and the threshold are shared by all indexes and were fitted by benchmarks/coverage.py, which also shows
what an index's own units are worth.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any, Protocol

from groundtone.errors import DataError, IntegrityError
from groundtone.files import write_atomic
from groundtone.stats import auroc, mean_interval
from groundtone.text import content_words
from groundtone.types import Estimate, Hit
from retrieval.leaving_out import AskedTwice, Corpus, Measured, Searchable, ask_twice, corpus_of
from retrieval.probes import Probe, make_probes

__all__ = ["SIGNALS", "Coverage", "coverage_of", "fit", "measure", "signals_of"]

SIGNALS = ("score", "words")  # of the best hit: its fused score, and the weighed share of the question's words in it
KEEP = 0.95  # share of answerable questions that must not be refused
PROBES = 200
LEAST_DOCUMENTS = 4
_LEAST_ASKED = 40  # real questions from which a threshold can be set: 5 % of fewer are fewer than two
_SCHEMA = 1

# Fitted by `python -m benchmarks.coverage --fit` on real questions over public corpora, their documents left out.
WEIGHTS = (1.98, 1.26)
INTERCEPT = -1.28
THRESHOLD = 0.25


class Versioned(Searchable, Protocol):
    """An index that names its content."""

    def content_hash(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Coverage:
    """A fitted judge of one state of an index. Texts of `frequency` are stems; `measured` tells of its own probes."""

    index: str  # content hash of the index it was fitted on
    passages: int
    frequency: Mapping[str, int]
    centre: tuple[float, ...]
    spread: tuple[float, ...]
    threshold: float
    probes: int
    measured: Measured

    def probability(self, query: str, hits: Sequence[Hit]) -> float:
        """How likely the index covers the question, judged by its hits, best first; even odds beforehand. 0 without."""
        if not hits:
            return 0.0
        return _probability(signals(query, hits, self.frequency, self.passages), self.centre, self.spread)

    def covers(self, query: str, hits: Sequence[Hit]) -> bool:
        """Whether the question should be answered from these hits."""
        return self.probability(query, hits) >= self.threshold

    def is_of(self, index: Versioned) -> bool:
        """Whether the index still is what this was fitted on."""
        return index.content_hash() == self.index

    def save(self, path: Path) -> None:
        """Write it as JSON, atomically."""
        plain = {"schema": _SCHEMA, "signals": SIGNALS, **asdict(self)}
        write_atomic(path, json.dumps(plain, ensure_ascii=False, allow_nan=False) + "\n")

    @classmethod
    def load(cls, path: Path) -> Coverage:
        """What `save` wrote. Raises IntegrityError for a file that is none, or of another version."""
        try:
            data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if (data.pop("schema"), tuple(data.pop("signals"))) != (_SCHEMA, SIGNALS):
                raise ValueError("it was written by another version")
            measured = Measured(**{name: Estimate(**estimate) for name, estimate in data.pop("measured").items()})
            made = cls(**(data | {key: tuple(data[key]) for key in ("centre", "spread")}), measured=measured)
            numbers = (*made.centre, *made.spread, made.threshold)
            if len(numbers) != 2 * len(SIGNALS) + 1 or not all(map(math.isfinite, numbers)) or min(made.spread) <= 0:
                raise ValueError(f"its numbers are {numbers}")
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise IntegrityError(f"{path} cannot be read ({error}): delete it, it is fitted again") from error
        return made


def fit(
    index: Versioned,
    *,
    probes: Sequence[Probe] = (),
    asked: Sequence[Probe] = (),
    count: int = PROBES,
    seed: int = 0,
) -> Coverage:
    """Calibrate on the index by leaving documents out.

    `probes` replace the pseudo-questions that are made of the index otherwise (`count` of them). `asked` are questions
    of people with the documents that answer them, where there are some: from 40 on, the threshold is the one that
    keeps 95 % of them. Raises DataError where the index has too few documents to leave one out.
    """
    corpus = corpus_of(index.passages())
    documents = len(set(corpus.family.values()))
    if documents < LEAST_DOCUMENTS:
        raise DataError(
            f"the index holds {documents} different documents; from {LEAST_DOCUMENTS} on, coverage can be calibrated: "
            "until then set assistant.min_score"
        )
    given = probes or make_probes(index.passages(), count=count, seed=seed)
    twice = ask_twice(index, corpus, given, seed=seed)
    if not twice:
        raise DataError(f"none of {len(given)} probes is about a document of the index: make them from this index")
    columns = list(zip(*(values for row in signals_of(twice, corpus) for values in row), strict=True))
    centre = tuple(fmean(column) for column in columns)
    spread = tuple(max(pstdev(column), 1e-6) for column in columns)
    threshold = THRESHOLD
    if len(asked) >= _LEAST_ASKED:
        real = ask_twice(index, corpus, asked, seed=seed)
        threshold = _lowest_kept([_probability(row[0], centre, spread) for row in signals_of(real, corpus)])
    return Coverage(
        index=index.content_hash(),
        passages=corpus.passages,
        frequency=dict(corpus.frequency),
        centre=centre,
        spread=spread,
        threshold=threshold,
        probes=len(twice),
        measured=_measured(twice, corpus, centre, spread, threshold),
    )


def coverage_of(index: Versioned, path: Path) -> Coverage:
    """The stored coverage of the index, fitted and stored anew where it is absent, damaged or of another state."""
    try:
        stored = Coverage.load(path)
    except IntegrityError:
        stored = None
    if stored is not None and stored.is_of(index):
        return stored
    made = fit(index)
    made.save(path)
    return made


def measure(coverage: Coverage, index: Searchable, asked: Sequence[Probe]) -> Measured:
    """How well the coverage tells questions from the same questions with their documents left out."""
    corpus = corpus_of(index.passages())
    twice = ask_twice(index, corpus, asked)
    return _measured(twice, corpus, coverage.centre, coverage.spread, coverage.threshold)


def signals(query: str, hits: Sequence[Hit], frequency: Mapping[str, int], passages: int) -> tuple[float, float]:
    """SIGNALS of a query's hits; of none, zeros."""
    if not hits:
        return 0.0, 0.0
    best = hits[0].passage
    held = set(content_words(f"{best.heading} {best.text}"))
    weights = {word: _rarity(frequency.get(word, 0), passages) for word in content_words(query)}
    whole = math.fsum(weights.values())
    found = math.fsum(weight for word, weight in weights.items() if word in held)
    return hits[0].score, found / whole if whole else 0.0


def _rarity(frequency: int, passages: int) -> float:
    """Inverse document frequency as in BM25 (Robertson and Zaragoza 2009, doi:10.1561/1500000019), never negative."""
    return math.log1p((max(0, passages - frequency) + 0.5) / (frequency + 0.5))


def _probability(values: Sequence[float], centre: Sequence[float], spread: Sequence[float]) -> float:
    units = ((value - middle) / width for value, middle, width in zip(values, centre, spread, strict=True))
    logit = INTERCEPT + math.fsum(weight * unit for weight, unit in zip(WEIGHTS, units, strict=True))
    return 1 / (1 + math.exp(-max(-60.0, min(60.0, logit))))


def signals_of(twice: Sequence[AskedTwice], corpus: Corpus) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Signals of each probe with its documents and without; then their words do not count in the frequencies either."""
    reduced: dict[frozenset[str], tuple[Mapping[str, int], int]] = {}
    rows = []
    for row in twice:
        if row.left_out not in reduced:
            reduced[row.left_out] = corpus.without(row.left_out)
        frequency, passages = reduced[row.left_out]
        query = row.probe.query
        rows.append(
            (
                signals(query, row.present, corpus.frequency, corpus.passages),
                signals(query, row.missing, frequency, passages),
            )
        )
    return rows


def _lowest_kept(present: Sequence[float]) -> float:
    """The highest threshold that keeps KEEP of these."""
    return sorted(present)[math.floor((1 - KEEP) * len(present))]


def _measured(
    twice: Sequence[AskedTwice], corpus: Corpus, centre: Sequence[float], spread: Sequence[float], threshold: float
) -> Measured:
    rows = signals_of(twice, corpus)
    present, missing = ([_probability(row[i], centre, spread) for row in rows] for i in (0, 1))
    clusters = [row.cluster for row in twice]
    at_95 = _lowest_kept(present) if present else 0.0

    def share(flags: Sequence[bool]) -> Estimate:
        return mean_interval([float(flag) for flag in flags], clusters=clusters)

    return Measured(
        auroc=auroc(present, missing, clusters=(clusters, clusters)),
        kept=share([p >= threshold for p in present]),
        refused=share([m < threshold for m in missing]),
        refused_at_95=share([m < at_95 for m in missing]),
    )

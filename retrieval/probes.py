"""Questions that an index asks itself: pseudo-questions whose document is known, and which documents go together.

A probe is asked twice, with its document in the index and with it left out: the second time it stands for a question
about a document that is missing. A document goes together with those that repeat much of it, its versions above all:
leaving one of them out would leave the answer in.
"""

from __future__ import annotations

import heapq
import random
import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from groundtone.text import STOP_WORDS, sentence_spans, words
from groundtone.types import Passage

__all__ = ["Probe", "families", "make_probes"]

_SKETCH = 64  # smallest shingle hashes kept per document (bottom-k sketch, Broder 1997, doi:10.1109/SEQUEN.1997.666900)
_SHINGLE = 5  # words
_ALIKE = 0.5  # share of the smaller sketch that two documents have in common
_BOILERPLATE = 50  # a shingle of more documents than this ties none together
_SPAN_WORDS = (6, 11)
_FOREIGN = 0.3  # share of a probe's content words that are swapped for other words of the index


@dataclass(frozen=True, slots=True)
class Probe:
    """A query and the sources of the documents that answer it."""

    query: str
    sources: tuple[str, ...]


def make_probes(passages: Sequence[Passage], *, count: int, seed: int = 0) -> list[Probe]:
    """Pseudo-questions from the passages, spread evenly over the documents; the same for the same passages and seed.

    Each is a stretch of a sentence in which some content words are swapped for other words of the index, because people
    ask in words that the document does not use. Fewer than `count` where the documents have too few sentences.
    """
    generator = random.Random(seed)
    spans = defaultdict(list)
    for passage in passages:
        for start, end in sentence_spans(passage.text):
            if len(_telling(passage.text[start:end])) >= 4:
                spans[passage.source].append((passage, start, end))
    foreign = [w for p in _some(passages, 300, generator) for w in _telling(p.text)]
    sources = sorted(spans)
    generator.shuffle(sources)
    for source in sources:
        generator.shuffle(spans[source])
    probes: list[Probe] = []
    while len(probes) < count and any(spans.values()):
        for source in sources:
            if spans[source] and len(probes) < count:
                passage, start, end = spans[source].pop()
                probes.append(Probe(_rephrased(passage.text[start:end], foreign, generator), (source,)))
    return probes


def _rephrased(sentence: str, foreign: Sequence[str], generator: random.Random) -> str:
    tokens = sentence.split()
    length = generator.randint(*_SPAN_WORDS)
    start = generator.randrange(max(1, len(tokens) - length + 1))
    return " ".join(
        generator.choice(foreign) if _telling(token) and generator.random() < _FOREIGN else token
        for token in tokens[start : start + length]
    )


def _telling(text: str) -> list[str]:
    """Words that are more than grammar or a figure."""
    return [word for word in words(text) if word not in STOP_WORDS and word.isalpha()]


def _some(passages: Sequence[Passage], count: int, generator: random.Random) -> list[Passage]:
    return list(passages) if len(passages) <= count else generator.sample(passages, count)


def families(passages: Sequence[Passage]) -> dict[str, str]:
    """For each source the name of its family: documents that repeat at least half of one another's wording."""
    sketches = _sketches(passages)
    holders: dict[int, list[str]] = defaultdict(list)
    for source, sketch in sketches.items():
        for value in sketch:
            holders[value].append(source)
    shared: dict[tuple[str, str], int] = defaultdict(int)
    for sources in holders.values():
        if 1 < len(sources) <= _BOILERPLATE:
            for i, one in enumerate(sources):
                for other in sources[i + 1 :]:
                    shared[one, other] += 1
    parent = {source: source for source in sketches}

    def root(source: str) -> str:
        while parent[source] != source:
            source = parent[source]
        return source

    for (one, other), count in sorted(shared.items()):
        if count >= _ALIKE * min(len(sketches[one]), len(sketches[other])):
            parent[max(root(one), root(other))] = min(root(one), root(other))
    return {source: root(source) for source in sketches}


def _sketches(passages: Sequence[Passage]) -> dict[str, list[int]]:
    """The smallest hashes of each document's runs of words."""
    hashes: dict[str, set[int]] = defaultdict(set)
    for passage in passages:
        found = words(passage.text)
        runs = range(max(1, len(found) - _SHINGLE + 1))
        hashes[passage.source].update(
            zlib.crc32(" ".join(found[i : i + _SHINGLE]).encode("utf-8", "surrogatepass")) for i in runs
        )
    return {source: heapq.nsmallest(_SKETCH, values) for source, values in hashes.items()}

"""Asking every probe twice: with the documents that answer it in the index, and with them left out.

Documents are left out by the search's own filter, before ranking, so that scores are those of an index without them.
"""

from __future__ import annotations

import glob
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from groundtone.text import content_words
from groundtone.types import Estimate, Hit, Passage
from retrieval.filters import Where
from retrieval.probes import Probe, families

__all__ = ["AskedTwice", "Corpus", "Measured", "Searchable", "ask_twice", "corpus_of"]

HITS = 5  # looked at per query; what follows carries next to nothing
_LEFT_OUT = 0.05  # share of the documents that is left out at once, so that few searches do for many probes


class Searchable(Protocol):
    """What an index must offer to be asked."""

    def search_many(
        self, queries: Sequence[str], *, k: int = 5, groups: Sequence[str] = (), where: Where | None = None
    ) -> list[list[Hit]]: ...

    def passages(self) -> list[Passage]: ...


@dataclass(frozen=True, slots=True)
class Corpus:
    """What is known of an index's words: in how many passages each stands, by document; and who goes together."""

    passages: int
    frequency: Counter[str]
    by_source: dict[str, Counter[str]]
    counts: Counter[str]  # passages per source
    family: dict[str, str]

    def without(self, sources: frozenset[str]) -> tuple[Counter[str], int]:
        """Frequencies and number of passages of the index without these documents."""
        frequency = self.frequency.copy()
        for source in sources:
            frequency.subtract(self.by_source[source])
        return frequency, self.passages - sum(self.counts[source] for source in sources)


@dataclass(frozen=True, slots=True)
class AskedTwice:
    """A probe's hits with its documents (`present`) and without them and whatever repeats them (`missing`)."""

    probe: Probe
    cluster: str
    present: list[Hit]
    missing: list[Hit]
    left_out: frozenset[str]


@dataclass(frozen=True, slots=True)
class Measured:
    """How well missing documents are told from those that are there; intervals clustered by document.

    `kept` of the answerable and `refused` of the missing are at the threshold in use; `refused_at_95` is what a
    threshold would refuse that keeps exactly 95 % of these very questions.
    """

    auroc: Estimate
    kept: Estimate
    refused: Estimate
    refused_at_95: Estimate


def corpus_of(passages: Sequence[Passage]) -> Corpus:
    """Word counts and families of an index's passages; headings count as text."""
    by_source: dict[str, Counter[str]] = defaultdict(Counter)
    frequency: Counter[str] = Counter()
    for passage in passages:
        found = set(content_words(f"{passage.heading} {passage.text}"))
        by_source[passage.source].update(found)
        frequency.update(found)
    return Corpus(len(passages), frequency, dict(by_source), Counter(p.source for p in passages), families(passages))


def ask_twice(index: Searchable, corpus: Corpus, probes: Sequence[Probe], *, seed: int = 0) -> list[AskedTwice]:
    """Every probe with and without its documents, in order. Probes whose documents are not in the index are left out.

    Documents are left out in groups of at most 5 % of all, whole families at a time.
    """
    known = [probe for probe in probes if all(source in corpus.family for source in probe.sources)]
    if not known:
        return []
    members: dict[str, set[str]] = defaultdict(set)
    for source, family in corpus.family.items():
        members[family].add(source)
    gone = [frozenset(s for source in p.sources for s in members[corpus.family[source]]) for p in known]
    present = index.search_many([probe.query for probe in known], k=HITS)
    missing: list[list[Hit]] = [[] for _ in known]
    left_out: list[frozenset[str]] = list(gone)
    for group in _groups(gone, len(corpus.family), seed):
        out = frozenset(source for i in group for source in gone[i])
        kept = tuple(glob.escape(source) for source in corpus.family if source not in out)
        if not kept:
            continue
        hits = index.search_many([known[i].query for i in group], k=HITS, where={"source": kept})
        for i, found in zip(group, hits, strict=True):
            missing[i], left_out[i] = found, out
    clusters = [corpus.family[probe.sources[0]] for probe in known]
    return [AskedTwice(*row) for row in zip(known, clusters, present, missing, left_out, strict=True)]


def _groups(gone: Sequence[frozenset[str]], documents: int, seed: int) -> list[list[int]]:
    """Probes by what is left out for them, joined while it stays few documents."""
    same: dict[frozenset[str], list[int]] = defaultdict(list)
    for i, sources in enumerate(gone):
        same[sources].append(i)
    order = sorted(same, key=sorted)
    random.Random(seed).shuffle(order)
    groups: list[list[int]] = []
    out: set[str] = set()
    for sources in order:
        if groups and len(out | sources) <= _LEFT_OUT * documents:
            groups[-1] += same[sources]
            out |= sources
        else:
            groups.append(list(same[sources]))
            out = set(sources)
    return groups

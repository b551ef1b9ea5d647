"""Texts that share most of their words, found without comparing all with all."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

Overlap = tuple[int, int, float]  # (text, later text, Jaccard overlap of their words)


def near_pairs(sets: Sequence[frozenset[str]], *, at: float, apart: int = 0) -> Iterator[Overlap]:
    """Pairs of word sets whose Jaccard overlap is `at` or more, the earlier first; empty sets are like nothing.

    With `apart`, one of a pair is among the first so many sets and the other is not. Prefix filtering (Chaudhuri et
    al. 2006, doi:10.1109/ICDE.2006.9): sets that overlap that much share one of their rarest words, so only those
    that meet in a rare word are compared.
    """
    count = Counter(word for row in sets for word in row)
    by_word: dict[str, list[int]] = defaultdict(list)
    for n, row in enumerate(sets):
        rarest = sorted(row, key=lambda word: (count[word], word))
        prefix = rarest[: len(row) - math.ceil(at * len(row)) + 1]
        met = {m for word in prefix for m in by_word[word]} if n >= apart else set()
        for other in sorted(met):
            overlap = len(row & sets[other]) / len(row | sets[other])
            if overlap >= at:
                yield other, n, overlap
        if not apart or n < apart:
            for word in prefix:
                by_word[word].append(n)

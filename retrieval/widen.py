"""A hit and its neighbours joined to one longer passage, when the answer is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from groundtone.prompts import split_heading
from groundtone.types import Hit, Passage, short_hash

__all__ = ["widened"]


def widened(hit: Hit, text: str, passages: Sequence[Passage], *, count: Callable[[str], int], most: int) -> Hit:
    """The hit over as many of its document's passages as fit into `most` tokens; itself where none does.

    `text` is the whole document's, `passages` its passages in order. One neighbour at a time: of the same section
    before others, the next before the previous.
    """
    places = {passage.id: place for place, passage in enumerate(passages)}
    if hit.passage.id not in places:
        return hit
    first = last = places[hit.passage.id]
    section = split_heading(hit.passage.heading)[0]
    while True:
        spans = [(first, last + 1), (first - 1, last)]
        fitting = [
            (a, b)
            for a, b in spans
            if a >= 0 and b < len(passages) and count(text[passages[a].start : passages[b].end]) <= most
        ]
        if not fitting:
            break
        first, last = min(fitting, key=lambda s: split_heading(_added(passages, s, first).heading)[0] != section)
    if first == last:
        return hit
    start, end = passages[first].start, passages[last].end
    old = hit.passage
    joined = replace(
        old,
        id=short_hash(old.doc_id, str(start), str(end)),
        text=text[start:end],
        start=start,
        end=end,
        page=passages[first].page,
    )
    shift = old.start - start
    return replace(hit, passage=joined, best=tuple((a + shift, b + shift) for a, b in hit.best))


def _added(passages: Sequence[Passage], span: tuple[int, int], first: int) -> Passage:
    """The passage that a longer span adds: at its end, or before the `first` of the present one."""
    return passages[span[1] if span[0] == first else span[0]]

"""From probabilities of tokens to spans of a text: windows put together, neighbours of one label joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from groundtone.models.classifier_format import Window
from groundtone.text import Span

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["FoundSpan", "Tagging", "joined_tokens", "spans_of", "tag_names"]


@dataclass(frozen=True, slots=True)
class FoundSpan:
    """`text` stands at [start:end) of what was read; `probability` is the mean over its tokens."""

    start: int
    end: int
    label: str
    text: str
    probability: float


@dataclass(frozen=True, slots=True)
class Tagging:
    """The spans of a text in reading order; `score` is the highest probability that any of its tokens has a label."""

    spans: tuple[FoundSpan, ...]
    score: float


def tag_names(labels: Sequence[str]) -> tuple[str, ...]:
    """The tags that a token may have: O, then beginning and inside of each label."""
    return ("O", *(f"{kind}-{label}" for label in labels for kind in "BI"))


def joined_tokens(windows: Sequence[Window], probabilities: Sequence[Floats]) -> tuple[list[Span], list[Floats]]:
    """Every token of the text once, with the probabilities of the window in which it stands farthest from an edge."""
    best: dict[int, tuple[int, Span, Floats]] = {}
    for window, rows in zip(windows, probabilities, strict=True):
        own = [at for at, span in enumerate(window.offsets) if span]
        for number, at in enumerate(own):
            inside = min(number, len(own) - 1 - number)
            span = window.offsets[at]
            known = best.get(window.first + number)
            if span is not None and (known is None or inside > known[0]):
                best[window.first + number] = (inside, span, rows[at])
    found = [best[number] for number in sorted(best) if best[number][1][0] < best[number][1][1]]
    return [span for _, span, _ in found], [row for _, _, row in found]


def spans_of(
    text: str,
    offsets: Sequence[Span],
    rows: Sequence[Floats],
    labels: Sequence[str],
    *,
    least: float | None,
) -> Tagging:
    """Neighbouring tokens of one label are one span, unless a token rather begins another one than goes on."""
    spans: list[tuple[int, int, int, list[float]]] = []  # start, end, label, probabilities
    before, score = -1, 0.0
    for (start, end), row in zip(offsets, rows, strict=True):
        begins, inside = row[1::2], row[2::2]
        either = begins + inside
        best = int(either.argmax())
        score = max(score, float(1 - row[0]))
        bound = float(row[0]) if least is None else least
        if either[best] < bound or (least is None and either[best] == bound):
            before = -1
            continue
        if best == before and inside[best] >= begins[best]:
            first, _, _, known = spans[-1]
            spans[-1] = (first, end, best, [*known, float(either[best])])
        else:
            spans.append((start, end, best, [float(either[best])]))
        before = best
    found = tuple(
        FoundSpan(start, end, labels[label], text[start:end], sum(known) / len(known))
        for start, end, label, known in spans
    )
    return Tagging(found, score)

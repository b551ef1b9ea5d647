"""What is odd about a set of voice pairs: duplicates, leaks into the held-out rows, contradictions, over-long rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from groundtone.refusal import is_refusal
from groundtone.text import normalise, words
from groundtone.types import VoicePair
from tuning.near import near_pairs

NEAR = 0.9  # Jaccard overlap of word sets from which two rows count as near duplicates

Rows = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PairReport:
    """Row numbers count from 0 in the order given. `tokens` are of whole rows, None where no counter was given."""

    rows: int
    sources: int
    with_context: int
    refusals: int
    exact_duplicates: tuple[Rows, ...]  # groups of rows with the same prompt, context and reply
    near_duplicates: tuple[tuple[int, int, float], ...]  # (row, row, overlap)
    contradictions: tuple[Rows, ...]  # groups with the same prompt and context but different replies
    in_heldout: Rows  # rows whose prompt is also held out
    shared_sources: tuple[str, ...]  # sources that stand on both sides
    over_length: tuple[tuple[int, int], ...]  # (row, tokens)
    longest_tokens: int | None

    @property
    def share_with_context(self) -> float:
        """Share of rows that carry passages, 0 to 1."""
        return self.with_context / self.rows if self.rows else 0.0

    @property
    def share_refusals(self) -> float:
        """Share of rows whose reply is a refusal, 0 to 1."""
        return self.refusals / self.rows if self.rows else 0.0

    def problems(self) -> list[str]:
        """One line per kind of problem, the worst first; empty when the data is clean."""
        found = [
            (self.in_heldout, "prompts are also held out, so the held-out loss would measure memory"),
            (self.contradictions, "prompts have several different replies to the same passages"),
            (self.over_length, "rows are longer than the limit and would be refused or dropped"),
            (self.exact_duplicates, "groups of rows are exact duplicates"),
            (self.near_duplicates, f"pairs of rows overlap by {NEAR:.0%} or more"),
            (self.shared_sources, "sources stand in both train and held-out"),
        ]
        return [f"{len(what)} {why} (first: {_first(what[0])})" for what, why in found if what]


def lint(
    pairs: Sequence[VoicePair],
    *,
    heldout: Sequence[VoicePair] = (),
    count_tokens: Callable[[VoicePair], int] | None = None,
    max_tokens: int | None = None,
) -> PairReport:
    """Looks at the rows and changes nothing. `count_tokens` gives a row's length, `max_tokens` the most allowed."""
    whole = _groups([(normalise(p.prompt), *map(normalise, p.context), normalise(p.reply)) for p in pairs])
    asked = _groups([(normalise(p.prompt), *map(normalise, p.context)) for p in pairs])
    held = {normalise(pair.prompt) for pair in heldout}
    lengths = [count_tokens(pair) for pair in pairs] if count_tokens else []
    return PairReport(
        rows=len(pairs),
        sources=len({pair.source for pair in pairs}),
        with_context=sum(bool(pair.context) for pair in pairs),
        refusals=sum(is_refusal(pair.reply) for pair in pairs),
        exact_duplicates=whole,
        near_duplicates=_near_duplicates(pairs, whole),
        contradictions=tuple(g for g in asked if len({normalise(pairs[n].reply) for n in g}) > 1),
        in_heldout=tuple(n for n, pair in enumerate(pairs) if normalise(pair.prompt) in held),
        shared_sources=tuple(sorted({p.source for p in pairs} & {p.source for p in heldout})),
        over_length=tuple((n, size) for n, size in enumerate(lengths) if max_tokens is not None and size > max_tokens),
        longest_tokens=max(lengths, default=None),
    )


def _first(item: object) -> str:
    if isinstance(item, tuple):
        return "row " + " and ".join(str(part) for part in item if isinstance(part, int))
    return f"row {item}" if isinstance(item, int) else str(item)


def _groups(keys: Sequence[tuple[str, ...]]) -> tuple[Rows, ...]:
    """Rows that share a key, groups of two or more."""
    rows: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for n, key in enumerate(keys):
        rows[key].append(n)
    return tuple(tuple(group) for group in rows.values() if len(group) > 1)


def _near_duplicates(pairs: Sequence[VoicePair], exact: Sequence[Rows]) -> tuple[tuple[int, int, float], ...]:
    """Pairs of rows whose word sets overlap by NEAR or more, exact duplicates left out."""
    sets = [frozenset(words(" ".join((p.prompt, *p.context, p.reply)))) for p in pairs]
    same = {n: number for number, group in enumerate(exact) for n in group}
    return tuple(
        (other, n, overlap)
        for other, n, overlap in near_pairs(sets, at=NEAR)
        if n not in same or same.get(other) != same[n]
    )

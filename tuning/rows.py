"""Pairs to training rows: the very tokens that serving shows, and a loss on the reply alone, stop token included."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from groundtone.errors import DataError
from groundtone.models.chat_format import ChatFormat
from groundtone.prompts import of_pair
from groundtone.types import VoicePair

IGNORED = -100  # the label that torch's cross entropy skips
_SHOWN = 10  # rows that an error spells out


@dataclass(frozen=True, slots=True)
class Row:
    """One pair in tokens. `ids[:prompt_tokens]` is the prompt, the rest the reply and its stop token."""

    index: int  # in the pairs as given
    ids: tuple[int, ...]
    prompt_tokens: int

    @property
    def labels(self) -> list[int]:
        """What the loss compares with: the reply's tokens, IGNORED over the prompt."""
        return [IGNORED] * self.prompt_tokens + list(self.ids[self.prompt_tokens :])


@dataclass(frozen=True, slots=True)
class Fitted:
    """Rows that fit into `max_length` tokens, and the (index, tokens) of those left out."""

    rows: tuple[Row, ...]
    dropped: tuple[tuple[int, int], ...]
    max_length: int


def render(chat_format: ChatFormat, pairs: Sequence[VoicePair]) -> tuple[Row, ...]:
    """One row per pair, in order."""
    rows = []
    for index, pair in enumerate(pairs):
        prompt = of_pair(pair)
        before = chat_format.prompt_ids(prompt)
        rows.append(Row(index, (*before, *chat_format.completion_ids(prompt, pair.reply)), len(before)))
    return tuple(rows)


def shorter(*limits: int | None) -> int | None:
    """The smallest of the limits in tokens that are set; None where none is."""
    return min((limit for limit in limits if limit is not None), default=None)


def fit(rows: Sequence[Row], *, limit: int | None, drop: bool) -> Fitted:
    """Never truncates: a row over the limit is dropped and reported, or DataError names it.

    Raises DataError for no rows at all, or none that fits. `limit` is in tokens; None: the longest row fits.
    """
    if not rows:
        raise DataError("there are no rows to train on: check tuning.data")
    if limit is None:
        limit = max(len(row.ids) for row in rows)
    over = tuple((row.index, len(row.ids)) for row in rows if len(row.ids) > limit)
    if over and not drop:
        named = ", ".join(f"row {index} has {tokens}" for index, tokens in over[:_SHOWN])
        more = f" and {len(over) - _SHOWN} more" if len(over) > _SHOWN else ""
        raise DataError(
            f"{len(over)} of {len(rows)} rows are longer than {limit} tokens ({named}{more}): shorten them, raise "
            "tuning.max_length (at most the model's context), or set tuning.over_length to drop"
        )
    kept = tuple(row for row in rows if len(row.ids) <= limit)
    if not kept:
        raise DataError(f"no row fits into {limit} tokens: raise tuning.max_length")
    return Fitted(kept, over, min(limit, max(len(row.ids) for row in kept)))


def rows_sha256(*parts: Sequence[Row]) -> str:
    """SHA-256 over the tokens and the prompts' lengths of the given lists of rows, order included."""
    total = hashlib.sha256()
    for rows in parts:
        total.update(b"rows")
        for row in rows:
            total.update(f"{row.prompt_tokens}:{','.join(map(str, row.ids))};".encode())
    return total.hexdigest()


def as_dataset(rows: Sequence[Row]) -> Any:
    """For TRL's trainers: with labels given and no length limit they take the rows as they are."""
    from datasets import Dataset

    return Dataset.from_dict({"input_ids": [list(r.ids) for r in rows], "labels": [r.labels for r in rows]})


def bin_tokens(longest: int, *, limit: int | None) -> int:
    """How many tokens a packed sequence may have: room for four of the longest rows, inside the limit."""
    return min(limit or 4 * longest, 4 * longest)


def preview(chat_format: ChatFormat, row: Row) -> str:
    """The row as text with the trained part in ⟦⟧, special tokens shown, for people to check."""
    before = chat_format.decode(row.ids[: row.prompt_tokens], keep_specials=True)
    return f"{before}⟦{chat_format.decode(row.ids[row.prompt_tokens :], keep_specials=True)}⟧"

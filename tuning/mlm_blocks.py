"""Documents as blocks of tokens, and whole words of them hidden: what an encoder learns a domain's language from."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from groundtone.errors import ModelError
from groundtone.models.classifier_base import EncoderBase
from tuning.encoder_rows import DocumentRow
from tuning.encoder_trainer import EncodedRow
from tuning.rows import IGNORED

__all__ = ["Blocks", "Masked", "Masking", "blocks_of"]

_NO_WORD = -1  # the "word" of tokens that are never hidden
_LEAST_TOKENS = 2  # a shorter block has nothing to guess from
_HIDDEN, _REPLACED = 0.8, 0.1  # shares of the chosen words; the rest stays to be seen (arXiv:1810.04805)


@dataclass(frozen=True, slots=True)
class Blocks:
    """Blocks (each row's target is the number of the word that a token belongs to), and the document each begins in."""

    rows: list[EncodedRow]
    documents: list[int]


def blocks_of(base: EncoderBase, documents: Sequence[DocumentRow], *, max_tokens: int, packed: bool) -> Blocks:
    """Cuts documents into blocks of `max_tokens`; packed, a block goes on with the next document after a separator.

    Held-out documents are not packed, so that what is measured belongs to one document.
    """
    tokenizer = base.tokenizer()
    tokenizer.no_truncation()
    tokenizer.no_padding()
    before, after = _frame(tokenizer)
    room = max_tokens - len(before) - len(after)
    made = Blocks([], [])
    open_ids: list[int] = []
    open_words: list[int] = []
    opened_by = 0

    def close(size: int) -> None:
        ids, words = open_ids[:size], open_words[:size]
        del open_ids[:size], open_words[:size]
        if sum(word != _NO_WORD for word in words) >= _LEAST_TOKENS:
            framed = [*[_NO_WORD] * len(before), *words, *[_NO_WORD] * len(after)]
            made.rows.append(EncodedRow([*before, *ids, *after], [0] * len(framed), framed, opened_by))
            made.documents.append(opened_by)

    word = 0
    for number, encoding in enumerate(tokenizer.encode_batch([d.text for d in documents], add_special_tokens=False)):
        if not open_ids:
            opened_by = number
        elif after:
            open_ids += after[:1]
            open_words.append(_NO_WORD)
        open_ids += encoding.ids
        open_words += [_NO_WORD if own is None else word + own for own in encoding.word_ids]
        word = max([word, *(w + 1 for w in open_words)])
        while len(open_ids) >= room:
            close(room)
            opened_by = number
        if not packed:
            close(room)
    close(room)
    return made


def _frame(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The special tokens before and after a text."""
    shown = tokenizer.encode("a", add_special_tokens=True)
    content = [n for n, special in enumerate(shown.special_tokens_mask) if not special]
    return shown.ids[: content[0]], shown.ids[content[-1] + 1 :]


@dataclass(frozen=True, slots=True)
class Masking:
    """Which token hides a word, and which may stand in its place."""

    mask_id: int
    replacements: tuple[int, ...]
    share: float  # of the tokens that are to be guessed
    seed: int

    @classmethod
    def of(cls, base: EncoderBase, *, share: float, seed: int) -> Masking:
        """Raises ModelError for a tokenizer without a mask."""
        from transformers import AutoTokenizer

        known = AutoTokenizer.from_pretrained(base.folder, trust_remote_code=False)
        if known.mask_token_id is None:
            raise ModelError(f"the tokenizer of {base.id!r} has no mask token: method mlm needs one")
        special = set(known.all_special_ids)
        return cls(known.mask_token_id, tuple(n for n in range(len(known)) if n not in special), share, seed)

    def hide(self, row: EncodedRow, *, place: int) -> EncodedRow:
        """A block with whole words hidden; `place` is where it stands in the order, and decides which words."""
        assert isinstance(row.target, list)
        rng = random.Random(f"{self.seed}:{place}")
        words: dict[int, list[int]] = defaultdict(list)
        for at, word in enumerate(row.target):
            if word != _NO_WORD:
                words[int(word)].append(at)
        wanted = max(1, round(self.share * sum(map(len, words.values()))))
        ids, targets, chosen = list(row.ids), [IGNORED] * len(row.ids), 0
        order = list(words.values())
        rng.shuffle(order)
        for places in order:
            if chosen >= wanted:
                break
            if chosen and chosen + len(places) > wanted + 1:
                continue  # a long word would overshoot
            drawn = rng.random()
            for at in places:
                targets[at] = row.ids[at]
                if drawn < _HIDDEN:
                    ids[at] = self.mask_id
                elif drawn < _HIDDEN + _REPLACED:
                    ids[at] = rng.choice(self.replacements)
            chosen += len(places)
        return EncodedRow(ids, row.types, targets, row.row)


class Masked:
    """Blocks in an order, each hidden anew at every place: a resumed run sees the same, and every pass other words."""

    def __init__(self, rows: Sequence[EncodedRow], order: Sequence[int], masking: Masking) -> None:
        self._rows = rows
        self._order = order
        self._masking = masking

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, place: int) -> EncodedRow:
        return self._masking.hide(self._rows[self._order[place]], place=place)

"""What a tuned encoder is shown, the same in training and in use: a text, or a pair of texts, in tokens.

Every token knows the characters that it stands for, without the spaces around them. A text that is longer than the
window is cut for classification, and read in overlapping windows where tokens are labelled. Which tokens stand between
the texts, and what token types they have, is decided by the base's own tokenizer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from groundtone.text import Span

__all__ = ["ENCODER_FORMAT_VERSION", "OVERLAP_TOKENS", "Pair", "TextFormat", "Window"]

ENCODER_FORMAT_VERSION = "encoder-1"  # raise it with any change here: adapters are bound to it
OVERLAP_TOKENS = 64

Pair = tuple[str | None, str]  # what is shown before (None: nothing), and the text that is judged or labelled


@dataclass(frozen=True, slots=True)
class Window:
    """One sequence that the model reads.

    `offsets[i]`: characters of the pair's second text under token i, None for all others. `first`: the number that the
    first of these tokens has among all of the text. `cut`: tokens of the pair that no window shows.
    """

    ids: list[int]
    types: list[int]
    offsets: list[Span | None]
    first: int = 0
    cut: int = 0


class TextFormat:
    """Turns texts into windows with a fast tokenizer of the `tokenizers` library."""

    def __init__(self, tokenizer: Any, *, max_tokens: int, overlap_tokens: int = OVERLAP_TOKENS) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self.max_tokens = max_tokens
        self.overlap_tokens = overlap_tokens

    def whole(self, pairs: Sequence[Pair]) -> list[Window]:
        """One window per pair, for a judgement of the whole; of two texts the longer one is cut first."""
        made = []
        for before, text, (_, words) in self._encoded(pairs):
            room = self._room(before)
            size = len(text.ids)
            if before is None:
                text.truncate(room)
                made.append(self._window(None, text, words, cut=max(0, size - room)))
                continue
            keep_before, keep = _share(len(before.ids), size, room)
            cut = len(before.ids) + size - keep_before - keep
            before.truncate(keep_before)
            text.truncate(keep)
            made.append(self._window(before, text, words, cut=cut))
        return made

    def windows(self, pairs: Sequence[Pair]) -> list[list[Window]]:
        """The windows of each pair, for labels on the tokens of its second text.

        Every token of that text stands in a window. The first text stands in all of them, and loses its end where it
        would leave the second less than half of the room.
        """
        made = []
        for before, text, (_, words) in self._encoded(pairs):
            room = self._room(before)
            cut = 0
            if before is not None:
                keep = min(len(before.ids), room - min(len(text.ids), room // 2))
                cut = len(before.ids) - keep
                before.truncate(keep)
                room -= keep
            overlap = min(self.overlap_tokens, room // 4)
            text.truncate(room, stride=overlap)
            parts = [text, *text.overflowing]
            made.append(
                [
                    self._window(before, part, words, first=number * (room - overlap), cut=cut)
                    for number, part in enumerate(parts)
                ]
            )
        return made

    def _encoded(self, pairs: Sequence[Pair]) -> list[tuple[Any, Any, Pair]]:
        texts = self._tokenizer.encode_batch([text for _, text in pairs], add_special_tokens=False)
        shown = [n for n, (before, _) in enumerate(pairs) if before is not None]
        befores = self._tokenizer.encode_batch([pairs[n][0] for n in shown], add_special_tokens=False)
        above = dict(zip(shown, befores, strict=True))
        return [(above.get(n), text, pair) for n, (text, pair) in enumerate(zip(texts, pairs, strict=True))]

    def _room(self, before: Any) -> int:
        return self.max_tokens - int(self._tokenizer.num_special_tokens_to_add(before is not None))

    def _window(self, before: Any, part: Any, words: str, *, first: int = 0, cut: int = 0) -> Window:
        whole = self._tokenizer.post_process(part) if before is None else self._tokenizer.post_process(before, part)
        side: Literal[0, 1] = 0 if before is None else 1
        offsets = [
            _trimmed(words, *span) if sequence == side else None
            for sequence, span in zip(whole.sequence_ids, whole.offsets, strict=True)
        ]
        return Window(whole.ids, whole.type_ids, offsets, first, cut)


def _share(before: int, text: int, room: int) -> tuple[int, int]:
    """How many tokens of each fit: all of the shorter one if it takes less than half, the rest for the other."""
    if before + text <= room:
        return before, text
    if min(before, text) <= room // 2:
        return (before, room - before) if before <= text else (room - text, text)
    return room // 2, room - room // 2


def _trimmed(text: str, start: int, end: int) -> Span:
    """The characters of a token without the spaces that some tokenizers count to it."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end

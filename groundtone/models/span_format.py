"""What a reader is shown: question and passage in tokens, the same in training and in use.

[CLS] question [SEP] heading, a line break, passage [SEP]. Position 0 stands for "no answer"; only tokens of the
passage itself can begin or end one. Token types stay 0: sentence encoders were trained so, and PEFT's wrapper for this
task does not pass them on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from groundtone.text import Span

SPAN_FORMAT_VERSION = "span-1"  # raise it with any change here: adapters are bound to it
MAX_TOKENS = 384  # question, heading and passage together; what is longer loses the passage's end
MAX_QUESTION_TOKENS = 64


@dataclass(frozen=True, slots=True)
class Shown:
    """One question and one passage. `offsets[i]`: characters of the passage under token i, None outside of it."""

    ids: list[int]
    offsets: list[Span | None]

    def tokens_of(self, start: int, end: int) -> tuple[int, int] | None:
        """First and last token that touch `passage[start:end]`; None where the end of the span was cut off."""
        touched = [i for i, span in enumerate(self.offsets) if span and span[0] < end and start < span[1]]
        if not touched:
            return None
        last = self.offsets[touched[-1]]
        return (touched[0], touched[-1]) if last and last[1] >= end else None


class SpanFormat:
    """Turns questions and passages into tokens with a fast tokenizer of the `tokenizers` library."""

    def __init__(self, tokenizer: Any, *, max_tokens: int = MAX_TOKENS) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self._max_tokens = max_tokens
        self._cls = tokenizer.token_to_id("[CLS]")
        self._sep = tokenizer.token_to_id("[SEP]")

    def show(self, questions: Sequence[str], headings: Sequence[str], passages: Sequence[str]) -> list[Shown]:
        """One row per (question, heading, passage)."""
        asked = self._tokenizer.encode_batch(list(questions), add_special_tokens=False)
        above = self._tokenizer.encode_batch(list(headings), add_special_tokens=False)
        read = self._tokenizer.encode_batch(list(passages), add_special_tokens=False)
        return [self._row(q.ids, h.ids, p) for q, h, p in zip(asked, above, read, strict=True)]

    def _row(self, question: list[int], heading: list[int], passage: Any) -> Shown:
        short = min(MAX_QUESTION_TOKENS, self._max_tokens // 4)
        question, heading = question[:short], heading[:short]
        room = self._max_tokens - len(question) - len(heading) - 3
        before = [self._cls, *question, self._sep]
        ids = [*before, *heading, *passage.ids[:room], self._sep]
        spans: list[Span | None] = [(int(a), int(b)) for a, b in passage.offsets[:room]]
        offsets = [None] * (len(before) + len(heading)) + spans + [None]
        return Shown(ids, offsets)

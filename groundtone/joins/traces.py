"""Traces of a document in other texts: runs of eight of its words, or its short sentences whole.

Letters and digits count, nothing between them: a trace is found through line breaks, table pipes, JSON escapes and
another case. Runs that other documents hold too are no traces. A stretch cut in two still shows as runs of its parts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from groundtone.text import Span, sentence_spans

__all__ = ["MARK", "Traces", "readable"]

MARK = "[forgotten]"
_RUN, _LEAST = 8, 4  # words
_CJK = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_TOKEN = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+")
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
_BLOCK_BYTES, _OVERLAP_BYTES = 4 << 20, 8 << 10


class Traces:
    """What to look for. `len()` is the number of different runs."""

    def __init__(self, texts: Iterable[str], *, others: Iterable[str] = ()) -> None:
        """The runs of `texts` that are not in `others`."""
        self._runs: dict[tuple[str, str], set[tuple[str, ...]]] = {}
        for text in texts:
            for start, end in sentence_spans(text):
                self._add([m.group().lower() for m in _TOKEN.finditer(text[start:end])])
        for text in others:
            tokens = [m.group().lower() for m in _TOKEN.finditer(text)]
            for at, run in list(self._matches(tokens)):
                self._runs[tokens[at], tokens[at + 1]].discard(run)

    def _add(self, tokens: list[str]) -> None:
        size = min(_RUN, len(tokens))
        if size >= _LEAST:
            for at in range(len(tokens) - size + 1):
                run = tuple(tokens[at : at + size])
                self._runs.setdefault((run[0], run[1]), set()).add(run)

    def __len__(self) -> int:
        return sum(len(runs) for runs in self._runs.values())

    def _matches(self, tokens: Sequence[str]) -> Iterator[tuple[int, tuple[str, ...]]]:
        """Places and runs, by the place."""
        for at, pair in enumerate(pairwise(tokens)):
            for run in self._runs.get(pair, ()):
                if tuple(tokens[at : at + len(run)]) == run:
                    yield at, run

    def spans(self, text: str) -> list[Span]:
        """The stretches of `text` that are traces, joined where they touch."""
        found = list(_TOKEN.finditer(text))
        joined: list[Span] = []
        for at, run in self._matches([m.group().lower() for m in found]):
            start, end = found[at].start(), found[at + len(run) - 1].end()
            if joined and start <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
            else:
                joined.append((start, end))
        return joined

    def within(self, text: str) -> bool:
        """Whether there is any."""
        return next(self._matches([m.group().lower() for m in _TOKEN.finditer(text)]), None) is not None

    def redact(self, text: str) -> str:
        """The text with `MARK` in place of every trace."""
        for start, end in reversed(self.spans(text)):
            text = f"{text[:start]}{MARK}{text[end:]}"
        return text

    def count_in_file(self, path: Path) -> int:
        """How many stretches of a file's bytes are traces, whatever kind of file it is."""
        count, tail = 0, b""
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                count += len(self.spans(readable(tail + block)))
                tail = block[-_OVERLAP_BYTES:]
        return count


def readable(data: bytes) -> str:
    """Bytes as UTF-8 with the escapes of JSON undone; what is no text falls away."""
    text = data.decode("utf-8", "ignore")
    if "\\" not in text:
        return text
    text = re.sub(r'\\[nrt"/bf]', " ", text)
    return _ESCAPE.sub(lambda m: chr(int(m[1], 16)), text)

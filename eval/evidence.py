"""Evidence as the claim detector reads it: sentences of passages, table rows spelled out, weights of their words."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from groundtone.prompts import split_heading
from groundtone.text import Span, content_words, is_table_row, row_as_sentence, sentence_spans, table_cells, words
from groundtone.types import Passage
from groundtone.values import Value, find_names, find_values

__all__ = ["Evidence", "EvidenceSentence", "evidence_sentences", "words_outside"]

_NEGATION = frozenset(("not", "never", "cannot", "n't", "don't", "doesn't", "isn't", "aren't", "can't", "won't"))


@dataclass(frozen=True)
class EvidenceSentence:
    """One sentence: it was made from `passage.text[start:end]`, and `text` is how a reader would say it."""

    passage_id: str
    text: str
    heading: str
    start: int
    end: int

    @cached_property
    def values(self) -> tuple[Value, ...]:
        """The values that the sentence or its heading holds."""
        return (*find_values(self.text), *find_values(self.heading))

    @cached_property
    def words(self) -> frozenset[str]:
        """Content words of sentence and heading, values left out: they are compared by meaning, not by spelling."""
        return frozenset(words_outside(self.text, find_values(self.text))) | frozenset(content_words(self.heading))


def words_outside(text: str, values: Sequence[Value]) -> list[str]:
    """Content words of `text` without those inside the given values, and without "not": negation is compared apart."""
    parts, last = [], 0
    for value in values:
        parts.append(text[last : value.start])
        last = value.end
    return [word for word in content_words(" ".join([*parts, text[last:]])) if word not in _NEGATION]


def evidence_sentences(passage: Passage) -> list[EvidenceSentence]:
    """The sentences of a passage in order. A table row takes its column names from the heading, or from the first row
    of its table where the heading names none."""
    heading, columns = split_heading(passage.heading)
    found: list[EvidenceSentence] = []
    position = 0
    header: list[str] = columns
    in_table = False
    for line in passage.text.splitlines(keepends=True):
        start, position = position, position + len(line)
        if is_table_row(line):
            if not in_table and not columns:
                header = table_cells(line)
            else:
                end = start + len(line.rstrip())
                found.append(EvidenceSentence(passage.id, row_as_sentence(header, line), heading, start, end))
            in_table = True
            continue
        in_table = in_table and line.strip().startswith("|")  # the rule under a header keeps the table open
        found += [_sentence(passage, heading, (start + a, start + b)) for a, b in sentence_spans(line)]
    return found


def _sentence(passage: Passage, heading: str, span: Span) -> EvidenceSentence:
    return EvidenceSentence(passage.id, passage.text[span[0] : span[1]], heading, *span)


class Evidence:
    """The sentences of some passages with inverse document frequencies among them; build once, check many claims."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        unique = {p.id: p for p in passages}
        self.sentences = tuple(s for p in unique.values() for s in evidence_sentences(p))
        self._frequency = Counter(word for s in self.sentences for word in s.words)

        self.words = frozenset(self._frequency)
        self.names = frozenset(n for s in self.sentences for text in (s.text, s.heading) for n in find_names(text))
        self._bag = frozenset(
            word for passage in unique.values() for word in words(f"{passage.heading} {passage.text}")
        )

    def knows(self, name: str) -> bool:
        """Whether every word of a name stands somewhere in the evidence."""
        return all(word in self._bag or word.removesuffix("'s") in self._bag for word in words(name.replace("’", "'")))

    def weight(self, word: str) -> float:
        """ln(1 + (N + 1) / (df + 1)): a word that no sentence holds weighs most, one in all of them ln 2."""
        return math.log(1 + (len(self.sentences) + 1) / (self._frequency[word] + 1))

    @property
    def heaviest(self) -> float:
        """The weight of a word that stands nowhere in the evidence."""
        return math.log(2 + len(self.sentences))

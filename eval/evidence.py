"""Evidence as the claim detector reads it: sentences of passages, table rows spelled out, weights of their words."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise

from groundtone.prompts import split_heading
from groundtone.text import content_words, is_table_row, row_as_sentence, sentence_spans, table_cells, words
from groundtone.types import Passage
from groundtone.values import Value, find_names, find_values

__all__ = ["Evidence", "EvidenceSentence", "evidence_sentences", "words_outside"]

PREFIX = 5  # letters that two forms of one word share: "deliver", "delivery"
PREFIX_LENGTHS = 3  # and by how many letters they may differ
NEAR = 0.8  # what such a match counts
WINDOW = 3  # content words within which two neighbours of a claim must stand in the evidence

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

    @cached_property
    def stems(self) -> tuple[str, ...]:
        """Content words of the sentence in their order, values included."""
        return tuple(content_words(self.text))


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
    return list(_sentences(passage.id, passage.heading, passage.text))


@lru_cache(maxsize=8192)  # every arm is held to the same passages
def _sentences(passage_id: str, whole_heading: str, passage_text: str) -> tuple[EvidenceSentence, ...]:
    heading, columns = split_heading(whole_heading)
    found: list[EvidenceSentence] = []
    position = prose = 0
    header: list[str] = columns
    in_table = False

    def read_prose(end: int) -> None:
        """What stands between tables: a sentence may go on over a line break."""
        spans = ((prose + a, prose + b) for a, b in sentence_spans(passage_text[prose:end]))
        found.extend(EvidenceSentence(passage_id, passage_text[a:b], heading, a, b) for a, b in spans)

    for line in passage_text.splitlines(keepends=True):
        start, position = position, position + len(line)
        if is_table_row(line):
            read_prose(start)
            prose = position
            if not in_table and not columns:
                header = table_cells(line)
            else:
                end = start + len(line.rstrip())
                found.append(EvidenceSentence(passage_id, row_as_sentence(header, line), heading, start, end))
            in_table = True
            continue
        in_table = in_table and line.strip().startswith("|")  # the rule under a header keeps the table open
    read_prose(position)
    return tuple(found)


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

    @cached_property
    def values(self) -> tuple[Value, ...]:
        """The values that any sentence or heading holds."""
        return tuple(value for sentence in self.sentences for value in sentence.values)

    @cached_property
    def _postings(self) -> dict[str, dict[int, float]]:
        """Per stem the sentences that hold it, by their index, each counting 1."""
        postings: dict[str, dict[int, float]] = {}
        for index, sentence in enumerate(self.sentences):
            for word in sentence.words:
                postings.setdefault(word, {})[index] = 1.0
        return postings

    @cached_property
    def _by_prefix(self) -> dict[str, list[str]]:
        forms: dict[str, list[str]] = {}
        for word in self._postings:
            if len(word) >= PREFIX and word.isalpha():
                forms.setdefault(word[:PREFIX], []).append(word)
        return forms

    def holders(self, stem: str) -> dict[int, float]:
        """The sentences that hold a stem, by their index: 1, or NEAR where they hold another form of the word."""
        found = self._postings.get(stem, {})
        if len(stem) < PREFIX or not stem.isalpha():
            return found
        forms = [
            form for form in self._by_prefix.get(stem[:PREFIX], []) if abs(len(form) - len(stem)) <= PREFIX_LENGTHS
        ]
        return {index: NEAR for form in forms for index in self._postings[form]} | found

    @cached_property
    def bigrams(self) -> frozenset[tuple[str, str]]:
        """Content words that follow each other in a sentence."""
        return frozenset(pair for sentence in self.sentences for pair in pairwise(sentence.stems))

    @cached_property
    def neighbours(self) -> frozenset[tuple[str, str]]:
        """Content words at most WINDOW apart in a sentence, in either order."""
        return frozenset(
            pair
            for sentence in self.sentences
            for gap in range(1, WINDOW + 1)
            for a, b in zip(sentence.stems, sentence.stems[gap:], strict=False)
            for pair in ((a, b), (b, a))
        )

    @cached_property
    def trigrams(self) -> frozenset[tuple[str, str, str]]:
        """Three words in a row, stop words included."""
        return frozenset(
            trigram
            for sentence in self.sentences
            for tokens in (words(sentence.text),)
            for trigram in zip(tokens, tokens[1:], tokens[2:], strict=False)
        )

    @property
    def heaviest(self) -> float:
        """The weight of a word that stands nowhere in the evidence."""
        return math.log(2 + len(self.sentences))

"""No weights: answers by quoting the best sentence of the passages shown, or refuses. The honest baseline.

Deterministic and fast. It cannot paraphrase, so whatever it says stands in a passage.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from groundtone.prompts import REFUSAL, split_heading
from groundtone.quoting import Quotation, answers, sentences
from groundtone.text import content_words, word_weights
from groundtone.types import Generation, Prompt, Snippet

HEADING_WEIGHT = 0.5  # a word of the question that only the section's title holds counts half
ORDER_PRIOR = 0.1  # the first passage's advantage over one far down, as a share of the question
RANK_PRIOR = 0.3  # the advantage of a passage's best sentence by the retriever's own score, where it gave one
MIN_OVERLAP = 0.2  # share of the question's weight that some sentence must hold, or the reply is a refusal
SECOND_GAIN = 0.2  # share that a second sentence must add to be quoted too
_TWO = re.compile(
    r"\band\b|[;,]", re.IGNORECASE
)  # where a reader points at one answer: a question that may ask for two


@dataclass(frozen=True, slots=True)
class _Sentence:
    quotation: Quotation
    words: frozenset[str]
    heading: frozenset[str]
    prior: float

    @property
    def text(self) -> str:
        return self.quotation.text


class ExtractiveModel:
    """Quotes one sentence, or two when the second covers what the first leaves out, each with its `[n]`.

    A sentence scores the inverse-document-frequency weight of the question's content words that it holds (words of
    its heading count HEADING_WEIGHT), as a share of the question's whole weight, plus a prior for earlier passages.
    Where a reader marked answers, the sentence around the best one is quoted instead.
    """

    name = "extractive"

    def __init__(self, *, min_overlap: float = MIN_OVERLAP) -> None:
        self._min_overlap = min_overlap

    def generate(self, prompts: Sequence[Prompt], *, max_new_tokens: int) -> list[Generation]:
        """One quotation or refusal per prompt; tokens are counted as words, only whole sentences are cut off."""
        return [self._one(prompt, max_new_tokens) for prompt in prompts]

    def stream(self, prompt: Prompt, *, max_new_tokens: int) -> Iterator[str]:
        """The same text, word by word."""
        yield from re.findall(r"\s*\S+", self._one(prompt, max_new_tokens).text)

    def _one(self, prompt: Prompt, max_new_tokens: int) -> Generation:
        quoted = self._quotes(prompt)
        while len(quoted) > 1 and sum(len(q.text.split()) + 1 for q in quoted) > max_new_tokens:
            quoted.pop()
        text = " ".join(q.cited() for q in quoted) or REFUSAL
        read = sum(len(message["content"].split()) for message in prompt.messages)
        return Generation(text, read, len(text.split()), "stop")

    def _quotes(self, prompt: Prompt) -> list[Quotation]:
        shown = [s for snippet in prompt.snippets for s in _sentences(snippet)]
        asked = set(content_words(prompt.question))
        if not shown or not asked:
            return []
        weight = word_weights(asked, [s.words | s.heading for s in shown])
        total = sum(weight.values())

        def held(sentence: _Sentence, wanted: set[str]) -> float:
            direct = sum(weight[w] for w in wanted & sentence.words)
            above = sum(weight[w] for w in (wanted & sentence.heading) - sentence.words)
            return (direct + HEADING_WEIGHT * above) / total

        def score(sentence: _Sentence) -> float:
            return held(sentence, asked) + sentence.prior

        read = next(iter(answers(prompt.snippets)), None)
        best = max(shown, key=score)  # the first of equals, so the order of passages decides
        if read is not None:
            best = next((s for s in shown if s.quotation.span == read.span), _quoted(read))
        elif max(held(sentence, asked) for sentence in shown) < self._min_overlap:
            return []
        if read is not None and not _TWO.search(prompt.question):
            return [read]
        left = asked - best.words - best.heading
        others = [s for s in shown if s is not best and s.text != best.text]
        second = max(others, key=lambda s: held(s, left), default=None)
        if second is not None and sum(weight[w] for w in left & second.words) / total >= SECOND_GAIN:
            return [best.quotation, second.quotation]
        return [best.quotation]


def _quoted(quotation: Quotation) -> _Sentence:
    """A quotation that is less than a whole sentence."""
    return _Sentence(quotation, frozenset(content_words(quotation.text)), frozenset(), 0.0)


def _sentences(snippet: Snippet) -> Iterator[_Sentence]:
    above = frozenset(content_words(split_heading(snippet.hit.passage.heading)[0]))
    ranks = {span: rank for rank, span in enumerate(snippet.hit.best, 1)}
    for quotation in sentences(snippet):
        rank = ranks.get(quotation.span)
        prior = (ORDER_PRIOR + (RANK_PRIOR / rank if rank else 0.0)) / snippet.number
        yield _Sentence(quotation, frozenset(content_words(quotation.text)), above, prior)

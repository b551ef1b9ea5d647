"""Reading what was found: the order of hits, the sentence that holds the answer, and refusing where none does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from groundtone.answer_spans import ReadingRetriever, best_value, mark, shared_words
from groundtone.assistant import Assistant
from groundtone.models.extractive import ExtractiveModel
from groundtone.models.reader import InSentence
from groundtone.text import sentence_spans
from groundtone.types import Hit, Passage

TEXTS = (
    "Bikes are rented by the day. A deposit is asked for.",
    "The Heron is blue. It can be kept for 48 hours. Then it costs more.",
    "Lunch is at noon.",
)


def shelf_hit(number: int, text: str) -> Hit:
    passage = Passage(f"p{number}", "d", "shelf.md", text, 0, len(text), "Rental")
    return Hit(passage, 0.8 - number / 10, best=((0, text.index(".") + 1),))


class Shelf:
    """The same three hits for every query."""

    def search(self, query: str, *, k: int, groups: Sequence[str] = ()) -> list[Hit]:
        return [shelf_hit(i, text) for i, text in enumerate(TEXTS)][:k]


@dataclass(frozen=True)
class Read:
    sentences: tuple[InSentence, ...]


class KnowsHours:
    """Points at "48 hours" with `score`, in other sentences at the first word without conviction."""

    def __init__(self, score: float) -> None:
        self.score = score

    def read(self, question: str, passages: Sequence[tuple[str, str]]) -> list[Read]:
        return self.read_many([(question, *passage) for passage in passages])

    def read_many(self, rows: Sequence[tuple[str, str, str]]) -> list[Read]:
        return [Read(tuple(self._part(text, *span) for span in sentence_spans(text))) for _, _, text in rows]

    def _part(self, text: str, start: int, end: int) -> InSentence:
        at = text.find("48 hours", start, end)
        answer, score = ((at, at + 8), self.score) if at >= 0 else ((start, start + 3), -99.0)
        return InSentence((start, end), answer, score)


def quoting(score: float, *, min_answer: float | None = 0.0, k: int = 2) -> Assistant:
    retriever = ReadingRetriever(Shelf(), KnowsHours(score), depth=3)
    return Assistant(
        "quote", generator=ExtractiveModel(), retriever=retriever, k=k, context="passages", min_answer=min_answer
    )


def test_the_passage_that_answers_comes_first_with_its_sentence() -> None:
    hits = ReadingRetriever(Shelf(), KnowsHours(5.0), depth=3).search("How long may I keep the Heron?", k=2)
    assert [hit.passage.id for hit in hits] == ["p1", "p0"]
    first = hits[0]
    assert first.answer is not None
    assert first.passage.text[first.answer[0] : first.answer[1]] == "48 hours"
    start, end = first.best[0]
    assert first.passage.text[start:end] == "It can be kept for 48 hours."
    assert (first.ranks["reader"], hits[1].ranks["reader"]) == (1, 2)
    assert first.score == shelf_hit(1, TEXTS[1]).score, "the search score stays what it was"


def test_hits_beyond_the_depth_follow_unread() -> None:
    hits = ReadingRetriever(Shelf(), KnowsHours(5.0), depth=1).search("Heron?", k=3)
    assert [hit.answer_score is None for hit in hits] == [False, True, True]


def test_a_quotation_is_the_sentence_around_the_answer() -> None:
    answer = quoting(5.0).ask("How long may I keep the Heron?")
    assert answer.text == "It can be kept for 48 hours [1]."
    (citation,) = answer.citations
    assert TEXTS[1][citation.evidence_start : citation.evidence_end] == "It can be kept for 48 hours."


def test_a_quotation_that_begins_inside_a_long_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a reader of "or for 48 hours ..." cannot tell that the condition before it was left out."""
    others = "and nobody else has asked for it since the morning of that day, "
    long = f"If it rains, {others * 3}it can be kept for 48 hours."
    monkeypatch.setattr(Shelf, "search", lambda *_, **__: [shelf_hit(0, long)])
    answer = quoting(5.0, k=1).ask("How long may I keep the Heron?")
    assert answer.text.startswith("… and nobody else")
    assert answer.text.endswith("it can be kept for 48 hours [1].")
    (citation,) = answer.citations
    assert "48 hours" in long[citation.evidence_start : citation.evidence_end]


def test_a_reader_that_finds_nothing_refuses_and_says_that_it_did() -> None:
    answer = quoting(-99.0).ask("How long may I keep the Heron?")
    assert (answer.refused, answer.refused_by) == (True, "reader")
    assert not quoting(-99.0, min_answer=None).ask("How long may I keep the Heron?").refused


def test_unread_hits_have_no_value_and_are_never_refused_by_the_reader() -> None:
    assert best_value(Shelf().search("?", k=3)) is None
    plain = Assistant("plain", generator=ExtractiveModel(), retriever=Shelf(), min_answer=99.0, context="passages")
    assert plain.ask("When is lunch?").refused_by != "reader"


def test_a_passage_without_sentences_has_no_answer() -> None:
    hit = shelf_hit(2, TEXTS[2])
    ((marked, worth),) = mark("When is lunch?", [hit], [Read(())])
    assert (marked.answer, marked.best) == (None, hit.best)
    assert worth == -math.inf


def test_shared_words_choose_between_sentences_and_do_not_count_for_refusing() -> None:
    text = "The Heron costs 49 euros. The Otter costs 38 euros."
    hit = shelf_hit(0, text)
    parts = tuple(InSentence(span, span, 1.0) for span in sentence_spans(text))
    ((found, with_words),) = mark("What does the Otter cost?", [hit], [Read(parts)])
    assert text[slice(*found.best[0])] == "The Otter costs 38 euros."
    assert found.answer_score == 1.0
    ((_, plain),) = mark("What does the Otter cost?", [hit], [Read(parts)], words=0.0)
    assert with_words > plain


def test_a_word_that_stands_everywhere_tells_nothing() -> None:
    ((both, one, none),) = shared_words("Otter price", [("", ["The Otter price.", "The price.", "A price? No."])])
    assert both > one
    assert one == pytest.approx(none)
    assert shared_words("of the", [("", ["The price."])]) == [[0.0]]

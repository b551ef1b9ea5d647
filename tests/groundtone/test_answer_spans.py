"""Reading what was found: the order of hits, the sentence that holds the answer, and refusing where none does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from groundtone.answer_spans import ReadingRetriever, best_value, mark, sentence_around
from groundtone.assistant import Assistant
from groundtone.models.extractive import ExtractiveModel
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
class Words:
    start: int
    end: int
    score: float


class KnowsHours:
    """Points at "48 hours" with `score`, elsewhere at the first word without conviction."""

    def __init__(self, score: float) -> None:
        self.score = score

    def read(self, question: str, passages: Sequence[tuple[str, str]]) -> list[Words]:
        found = []
        for _, text in passages:
            at = text.find("48 hours")
            found.append(Words(at, at + 8, self.score) if at >= 0 else Words(0, text.index(" "), -9.0))
        return found


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


def test_a_reader_that_finds_nothing_refuses_and_says_that_it_did() -> None:
    answer = quoting(-20.0).ask("How long may I keep the Heron?")
    assert (answer.refused, answer.refused_by) == (True, "reader")
    assert not quoting(-20.0, min_answer=None).ask("How long may I keep the Heron?").refused


def test_unread_hits_have_no_value_and_are_never_refused_by_the_reader() -> None:
    assert best_value(Shelf().search("?", k=3)) is None
    plain = Assistant("plain", generator=ExtractiveModel(), retriever=Shelf(), min_answer=99.0, context="passages")
    assert plain.ask("When is lunch?").refused_by != "reader"


def test_an_empty_span_is_no_answer() -> None:
    hit = mark(shelf_hit(2, TEXTS[2]), Words(0, 0, -1.0))
    assert hit.answer is None
    assert hit.best == shelf_hit(2, TEXTS[2]).best


def test_a_span_over_two_sentences_brings_both() -> None:
    text = TEXTS[1]
    start, end = sentence_around(text, (text.index("blue"), text.index("48")))
    assert text[start:end] == "The Heron is blue. It can be kept for 48 hours."

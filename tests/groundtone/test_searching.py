"""Many questions at once find what each finds alone; a follow-up is searched for in two phrasings and read in one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundtone.answer_spans import ReadingRetriever
from groundtone.assistant import Assistant
from groundtone.models.extractive import ExtractiveModel
from groundtone.models.reader import InSentence
from groundtone.searching import BatchRetriever, find, fused, phrasings
from groundtone.text import sentence_spans, words
from groundtone.types import Hit, Passage, Question, Turn

TEXTS = (
    "The Gannet weighs 21 kg. It folds.",
    "The Plover costs €90. It is green.",
    "The yard closes at 18:00.",
    "A Gannet is built within 8 weeks.",
    "Wages are paid on the 27th.",
)
HISTORY = (Turn("user", "What does the Gannet weigh?"), Turn("assistant", "It weighs 21 kg."))


class Shelf:
    """Texts by the share of the query's words; one query at a time."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []

    def search(self, query: str, *, k: int, groups: Sequence[str] = ()) -> list[Hit]:
        self.asked.append((query, *groups))
        wanted = set(words(query))
        scored = [(len(wanted & set(words(text))) / max(1, len(wanted)), -n, text) for n, text in enumerate(TEXTS)]
        return [
            Hit(Passage(f"p{-n}", "d", "d.md", text, 0, len(text)), score, best=((0, text.index(".") + 1),))
            for score, n, text in sorted(scored, reverse=True)
        ][:k]


class Batches(Shelf):
    """The same, many queries at once; remembers how many."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def search_many(self, queries: Sequence[str], *, k: int, groups: Sequence[str] = ()) -> list[list[Hit]]:
        self.sizes.append(len(queries))
        return [self.search(query, k=k, groups=groups) for query in queries]


@dataclass(frozen=True)
class Read:
    sentences: tuple[InSentence, ...]


class CountsLetters:
    """Scores a sentence by the letters that it shares with the question; remembers the questions of each call."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def read(self, question: str, passages: Sequence[tuple[str, str]]) -> list[Read]:
        return self.read_many([(question, *passage) for passage in passages])

    def read_many(self, rows: Sequence[tuple[str, str, str]]) -> list[Read]:
        self.calls.append([question for question, _, _ in rows])
        return [
            Read(
                tuple(
                    InSentence((a, b), (a, b), len(set(question) & set(text[a:b])) / 10)
                    for a, b in sentence_spans(text)
                )
            )
            for question, _, text in rows
        ]


QUERIES = st.lists(st.sampled_from(["gannet weighs", "plover green", "yard", "paid wages", "weeks", ""]), max_size=6)


@given(QUERIES, st.integers(1, 5))
def test_a_batch_finds_what_each_question_finds_alone(queries: list[str], k: int) -> None:
    asked = [(query,) for query in queries]
    assert find(Batches(), asked, k=k) == find(Shelf(), asked, k=k) == [Shelf().search(q, k=k) for q in queries]
    together = ReadingRetriever(Batches(), CountsLetters(), depth=3)
    alone = ReadingRetriever(Shelf(), CountsLetters(), depth=3)
    assert together.search_many(queries, k=k) == [alone.search(query, k=k) for query in queries]
    assert all(len(hits) == k for hits in together.search_many(queries, k=k))


def test_a_passage_counts_by_the_phrasing_that_fits_it_best() -> None:
    phrased = phrasings("How long until one is built?", HISTORY)
    assert phrased == ("What does the Gannet weigh? How long until one is built?", "How long until one is built?")
    lists = [Shelf().search(query, k=5) for query in phrased]
    scores = {
        hit.passage.id: max(h.score for hits in lists for h in hits if h.passage == hit.passage) for hit in lists[0]
    }
    found = fused(lists, k=5)
    assert {hit.passage.id: hit.score for hit in found} == scores
    assert [hit.score for hit in found] == sorted(scores.values(), reverse=True)
    assert fused(lists[:1], k=2) == lists[0][:2]
    assert fused([[], []], k=3) == []


def test_a_question_without_history_is_searched_as_it_is() -> None:
    assert phrasings("And the price?", ()) == ("And the price?",)
    assert phrasings("And the price?", HISTORY[1:]) == ("And the price?",)


def test_a_follow_up_is_read_alone_and_a_batch_at_once() -> None:
    shelf, reader = Batches(), CountsLetters()
    assistant = Assistant(
        "a", generator=ExtractiveModel(), retriever=ReadingRetriever(shelf, reader, depth=2), k=2, context="passages"
    )
    questions = [Question("1", "When is it built?", HISTORY), Question("2", "When are wages paid?")]
    list(assistant.answer_many(questions))
    assert shelf.sizes == [3]
    assert reader.calls == [["Gannet: When is it built?"] * 2 + ["When are wages paid?"] * 2]


@pytest.mark.parametrize("retriever", [Shelf(), Batches()])
def test_answers_are_the_same_one_by_one_and_everybody_sees_what_they_may(retriever: Shelf) -> None:
    questions = [
        Question("1", "What does the Gannet weigh?", groups=("staff",)),
        Question("2", "When are wages paid?"),
        Question("3", "When does the yard close?", groups=("staff",)),
    ]
    assert isinstance(retriever, BatchRetriever) == isinstance(retriever, Batches)
    assistant = Assistant("a", generator=ExtractiveModel(), retriever=retriever, k=2, context="passages")
    together = [(a.text, a.hits) for a in assistant.answer_many(questions)]
    assert set(retriever.asked) == {(q.text, *q.groups) for q in questions}
    assert together == [(a.text, a.hits) for q in questions for a in assistant.answer_many([q])]


def test_a_greeting_before_a_question_is_not_searched_for() -> None:
    turns = (Turn("user", "Hello!"), Turn("assistant", "Hello."))
    assert phrasings("What does it weigh?", turns) == ("What does it weigh?",)
    asked = (Turn("user", "Is the Gannet red?"), Turn("assistant", "Yes [1]."), Turn("user", "thanks"))
    assert phrasings("What does it weigh?", asked) == (
        "Is the Gannet red? What does it weigh?",
        "Gannet: What does it weigh?",
    )

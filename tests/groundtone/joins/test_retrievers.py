"""What stands in front of the index changes nothing that it was not asked to change."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from groundtone.joins.retrievers import Edit, Edited, Remembering, edited
from groundtone.types import Hit, Passage

TEXT = "Parcels are kept\nfor 14 days. Letters are kept for 3 days. Then they go back."
BEST = ((30, 58), (0, 29), (59, 77))


def hit(source: str = "post.md") -> Hit:
    return Hit(Passage("p", "d", source, TEXT, 100, 100 + len(TEXT)), 0.5, best=BEST)


class Counting:
    def __init__(self) -> None:
        self.asked: list[str] = []

    def search(self, query: str, *, k: int, groups: Sequence[str] = ()) -> list[Hit]:
        return self.search_many([query], k=k, groups=groups)[0]

    def search_many(self, queries: Sequence[str], *, k: int, groups: Sequence[str] = ()) -> list[list[Hit]]:
        self.asked += queries
        return [[hit()] for _ in queries]


def test_a_query_is_searched_once_for_all_arms() -> None:
    inner = Counting()
    memory = Remembering(inner)
    memory.warm(["a", "b", "a"], k=5)
    assert memory.search("a", k=5) == memory.search("a", k=5)
    memory.search("a", k=3)
    memory.search("a", k=5, groups=["staff"])
    assert inner.asked == ["a", "b", "a", "a"]


def test_an_edit_replaces_the_quote_across_line_breaks_and_moves_the_sentences() -> None:
    edit = Edit("post.md", "Parcels are kept for 14 days.", "Parcels are kept for 200 days.")
    changed = edited(hit(), edit)
    passage = changed.passage
    assert passage.text == "Parcels are kept for 200 days. Letters are kept for 3 days. Then they go back."
    assert passage.end - passage.start == len(passage.text)
    assert [passage.text[a:b] for a, b in changed.best] == [
        "Letters are kept for 3 days.",
        "Parcels are kept for 200 days.",
        "Then they go back.",
    ]


def test_other_documents_and_other_queries_stay_as_they_are() -> None:
    edit = Edit("other.md", "Parcels are kept for 14 days.", "x")
    assert edited(hit(), edit) == hit()
    assert edited(hit(), Edit("post.md", "not there", "x")) == hit()
    retriever = Edited(Counting(), {"asked": Edit("post.md", "Then they go back.", "Then they stay.")})
    assert retriever.search("unasked", k=1) == [hit()]
    assert retriever.search("asked", k=1)[0].passage.text.endswith("Then they stay.")


@given(st.text(max_size=40))
def test_spans_stay_inside_whatever_the_replacement(replacement: str) -> None:
    changed = edited(hit(), Edit("post.md", "Letters are kept for 3 days.", replacement))
    assert all(0 <= a <= b <= len(changed.passage.text) for a, b in changed.best)
    assert changed.passage.text[slice(*changed.best[2])] == "Then they go back."

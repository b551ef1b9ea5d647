from __future__ import annotations

from pathlib import Path

import pytest

from groundtone.errors import DataError
from retrieval.filters import Facts, allowed_documents
from retrieval.index import Index
from tests.retrieval.hashing_encoder import HashingEncoder

DOCUMENTS = [
    Facts("1", "people/leave.md", {"type": "policy", "year": 2025}),
    Facts("2", "people/pay.md", {"type": "policy", "groups": ["hr", "boss"]}),
    Facts("3", "prices.csv", {"type": "Table", "tags": ["a", "b"]}),
]


@pytest.mark.parametrize(
    ("groups", "where", "expected"),
    [
        ((), None, [True, False, True]),
        (("boss",), {}, [True, True, True]),
        (("hr",), {"type": "policy"}, [True, True, False]),
        ((), {"type": ("policy", "table")}, [True, False, True]),
        ((), {"year": 2025}, [True, False, False]),
        ((), {"year": "2025", "type": "table"}, [False, False, False]),
        ((), {"tags": "b"}, [False, False, True]),
        (("hr",), {"source": "people/*"}, [True, True, False]),
    ],
)
def test_groups_and_conditions(groups: tuple[str, ...], where: dict[str, object], expected: list[bool]) -> None:
    assert allowed_documents(DOCUMENTS, groups=groups, where=where).tolist() == expected


def test_a_misspelt_key_is_named() -> None:
    with pytest.raises(DataError, match=r"'tpye'.*did you mean 'type'"):
        allowed_documents(DOCUMENTS, groups=(), where={"tpye": "policy"})


def test_keys_of_hidden_documents_are_not_told() -> None:
    documents = [Facts("1", "a.md", {"type": "policy"}), Facts("2", "b.md", {"groups": ["board"], "merger": "acme"})]
    for key in ("salary", "merger"):
        with pytest.raises(DataError, match=r"they have: source, type$"):
            allowed_documents(documents, groups=("hr",), where={key: "1"})
    assert allowed_documents(documents, groups=("board",), where={"merger": "acme"}).tolist() == [False, True]
    assert allowed_documents(documents[1:], groups=(), where={"merger": "acme"}).tolist() == [False]


@pytest.mark.parametrize("kind", ["flat", "hnsw"])
def test_k_results_where_one_document_in_a_hundred_passes(tmp_path: Path, kind: str) -> None:
    root = tmp_path / "d"
    root.mkdir()
    for n in range(300):
        groups = "\ngroups: [board]" if n % 3 == 0 else ""
        (root / f"{n:03}.md").write_text(
            f"---\neffective: {'2026-01-01' if n % 60 == 30 else '2025-01-01'}{groups}\n---\n# Page {n}\n\n"
            f"The bonus of bike number {n} is {n} euros.\n"
        )
    with Index.open(tmp_path / "i.sqlite", encoder=HashingEncoder(), vectors=kind) as index:  # type: ignore[arg-type]
        index.update(root)
        newest = {"effective": "2026-01-01"}
        hits = index.search("bonus of bike number 7", k=5, where=newest, groups=["board"])
        assert {h.passage.source for h in hits} == {"030.md", "090.md", "150.md", "210.md", "270.md"}
        assert index.search("bonus", k=5, where=newest) == [], "they are the board's alone"
        only = index.search("bonus", k=5, where=newest | {"source": "2*"}, groups=["board"])
        assert sorted(h.passage.source for h in only) == ["210.md", "270.md"]

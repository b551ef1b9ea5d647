from __future__ import annotations

import pytest

from groundtone.types import Document
from retrieval.versions import outdated


def _doc(source: str, effective: str, title: str = "Leave") -> Document:
    return Document.of(source, f"Text of {source}", title=title, effective=effective)


@pytest.mark.parametrize(
    ("today", "expected"),
    [
        ("2025-06-01", {"old.md": "now.md"}),
        ("2026-01-01", {"old.md": "next.md", "now.md": "next.md"}),
        ("2023-01-01", {"old.md": "next.md", "now.md": "next.md"}),
    ],
)
def test_what_is_not_in_force_yet_outdates_nothing(today: str, expected: dict[str, str]) -> None:
    documents = [_doc("old.md", "2024-01-01"), _doc("now.md", "2025-01-01"), _doc("next.md", "2026-01-01")]
    assert {source: found.by for source, found in outdated(documents, today=today).items()} == expected


def test_a_version_in_the_name_waits_for_its_date_too() -> None:
    documents = [_doc("p-2025.md", "2025-01-01", "P 25"), _doc("p-2026.md", "2026-02-01", "P 26")]
    assert outdated(documents, today="2026-01-31") == {}
    assert outdated(documents, today="2026-02-01")["p-2025.md"].by == "p-2026.md"

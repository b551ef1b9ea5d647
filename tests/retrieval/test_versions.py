from __future__ import annotations

import pytest

from groundtone.types import Document
from retrieval.versions import outdated


def _doc(source: str, effective: str, title: str = "Leave", groups: tuple[str, ...] = ()) -> Document:
    limits = {"groups": list(groups)} if groups else {}
    return Document.of(source, f"Text of {source}", title=title, effective=effective, **limits)


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


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("product-a/intro.md", "hr/intro.md", False),
        ("hr/2024/intro.md", "hr/2026/welcome.md", True),
        ("hr/archive/intro.md", "hr/intro.md", True),
        ("HR/Old/v2/intro.md", "hr/intro.md", True),
        ("intro.md", "hr/intro.md", False),
    ],
)
def test_one_title_in_folders_about_different_things_makes_no_versions(old: str, new: str, same: bool) -> None:
    documents = [_doc(old, "2024-01-01", "Introduction"), _doc(new, "2025-01-01", "Introduction")]
    assert set(outdated(documents, today="2026-01-01")) == ({old} if same else set())


@pytest.mark.parametrize(
    ("older", "newer", "told"),
    [
        ((), ("board",), False),
        (("board",), (), True),
        (("board",), ("board", "hr"), True),
        (("board", "hr"), ("board",), False),
        (("hr",), ("board",), False),
    ],
)
def test_only_what_every_reader_of_the_older_one_may_read_outdates_it(
    older: tuple[str, ...], newer: tuple[str, ...], told: bool
) -> None:
    documents = [_doc("p-2024.md", "2024-01-01", "A", older), _doc("p-2025.md", "2025-01-01", "B", newer)]
    assert set(outdated(documents, today="2026-01-01")) == ({"p-2024.md"} if told else set())


def test_a_hidden_version_does_not_hide_that_another_one_is_current() -> None:
    documents = [
        _doc("p-2024.md", "2024-01-01"),
        _doc("p-2025.md", "2025-01-01"),
        _doc("p-2026.md", "2026-01-01", groups=("board",)),
    ]
    found = outdated(documents, today="2026-06-01")
    assert {source: one.by for source, one in found.items()} == {"p-2024.md": "p-2025.md"}

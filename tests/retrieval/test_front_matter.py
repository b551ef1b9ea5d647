"""Who may read a document is what its front matter says, or nobody; what is no front matter stays text."""

from __future__ import annotations

from pathlib import Path

import pytest

from groundtone.errors import ReadersError
from groundtone.types import Document
from retrieval.front_matter import front_matter_end
from retrieval.loaders import load
from retrieval.outline import outline

TEXT = "Salaries of the board."


def _load(tmp_path: Path, text: str, name: str = "pay.md") -> Document:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return load(tmp_path / name, tmp_path)


def _sentences(doc: Document) -> list[str]:
    sections = outline(doc.text, str(doc.meta["title"]))
    return [doc.text[unit.start : unit.end] for section in sections for unit in section.units]


@pytest.mark.parametrize(
    "front",
    [
        "---\ntitle: Pay: bands\nGroups: [board]\n---\n",
        "---\n- groups: [board]\n---\n",
        "---\ngroup: board\n---\n",
        "---\naccess: {groups: [board]}\n---\n",
        "---\naccess:\n  groups: [board]\n---\n",
        "---\ntitle: |\n  Pay\n  groups: [board]\n---\n",
        '---\n"groups": [board\n---\n',
        "---\ngroups: [board]\n\n# Pay\n",
        "\ufeff\n---\nGROUPS: [board]\n\n# Pay\n",
        "--- \n\ngroups : [board]\n----\n",
        "---\ngroups: [board]\nx: !!bool maybe\n---\n",
        f"---\ngroups: [board]\nx: {'[' * 5000}\n---\n",
        f"---\ngroups: [board]\nx: {'9' * 5000}\n---\n",
        f"---\nx: {'y' * 70_000}\ngroups: [board]\n---\n",
    ],
)
@pytest.mark.parametrize("name", ["pay.md", "pay.txt"])
def test_groups_that_were_meant_and_not_understood_are_refused(tmp_path: Path, front: str, name: str) -> None:
    with pytest.raises(ReadersError, match=rf"^{name}: .*groups.*shown to nobody"):
        _load(tmp_path, f"{front}\n{TEXT}\n", name)


@pytest.mark.parametrize("before", ["", "\n", "\n \t\n", "\ufeff\ufeff", "\n\ufeff\n"])
@pytest.mark.parametrize("key", ["groups", "Groups", '"GROUPS"'])
def test_groups_hold_whatever_stands_before_the_front_matter(tmp_path: Path, before: str, key: str) -> None:
    doc = _load(tmp_path, f"{before}---\n{key}: [hr, board]\n---\n\n{TEXT}\n")
    assert doc.meta["groups"] == ["board", "hr"]
    assert _sentences(doc) == [TEXT]


def test_a_plain_text_file_keeps_the_lines_of_its_front_matter(tmp_path: Path) -> None:
    front = (
        "---\ntitle: Pay bands of the board of directors\nread-by: everyone in the finance office\ngroups: [hr]\n---\n"
    )
    doc = _load(tmp_path, f"{front}\nSalaries of the board are paid on the\nfirst day of each month.\n", "pay.txt")
    assert doc.meta["groups"] == ["hr"]
    assert _sentences(doc) == ["Salaries of the board are paid on the first day of each month."]


@pytest.mark.parametrize(
    "block", ["The courier costs 5 euros per parcel.", "Ask: at the desk.\nIt is open.", "- one\n- two", "42"]
)
def test_text_between_two_rules_is_text(tmp_path: Path, block: str) -> None:
    doc = _load(tmp_path, f"---\n{block}\n---\n\n# Returns\n\nReturns are free.\n")
    assert front_matter_end(doc.text) == 0
    assert "groups" not in doc.meta
    assert block.split("\n")[0].removeprefix("- ") in " ".join(_sentences(doc))


@pytest.mark.parametrize(
    "block", ["title: Pay: bands\n# a comment\ntags:\n- a", "active: !!bool maybe", "", "# nothing"]
)
def test_a_front_matter_with_a_mistake_or_nothing_in_it_is_cut_out(tmp_path: Path, block: str) -> None:
    doc = _load(tmp_path, f"---\n{block}\n---\n\n{TEXT}\n")
    assert _sentences(doc) == [TEXT]
    assert "groups" not in doc.meta


@pytest.mark.parametrize(
    "value",
    [
        "!!bool maybe",
        "[" * 5000,
        "9" * 5000,
        f"{'1:' * 20_000}1",
        f"{'1:' * 20_000}1.5",
        "2026-02-31",
        "*none",
        "{<<: {a: 1}}",
    ],
)
def test_whatever_the_yaml_parser_raises_costs_the_front_matter_alone(tmp_path: Path, value: str) -> None:
    doc = _load(tmp_path, f"---\ntitle: Pay\nx: {value}\n---\n\n{TEXT}\n")
    assert _sentences(doc) == [TEXT]


def test_values_that_hold_themselves_or_one_another_often_are_read_in_no_time(tmp_path: Path) -> None:
    doubled = "".join(f"b{n}: &b{n} [*b{n - 1}, *b{n - 1}]\n" for n in range(1, 60))
    doc = _load(tmp_path, f"---\nb0: &b0 [x]\n{doubled}self: &me [*me]\n---\n\n{TEXT}\n")
    assert _sentences(doc) == [TEXT]


def test_a_page_that_begins_with_a_rule_has_no_front_matter(tmp_path: Path) -> None:
    page = "<html><body><!-- top --><hr><p>The courier costs 5 euros.</p><hr><p>Returns are free.</p></body></html>"
    doc = _load(tmp_path, page, "a.html")
    assert _sentences(doc) == ["The courier costs 5 euros.", "Returns are free."]

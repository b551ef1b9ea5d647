"""The handbook keeps its promises: dated documents of a readable length, and binaries that their sources rebuild."""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

from retrieval.loaders import load

DATA = Path(__file__).resolve().parents[2] / "data"
HANDBOOK = DATA / "handbook"
PROSE = sorted(path for path in HANDBOOK.rglob("*") if path.suffix in {".md", ".html", ".pdf", ".docx"})
DATE = re.compile(r"Effective from \d{1,2} [A-Z][a-z]+ 20\d\d")


@pytest.fixture(scope="module")
def builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_documents", DATA / "build_documents.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["build_documents"] = module  # slotted dataclasses look their module up while it is executed
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", PROSE, ids=lambda path: path.name)
def test_a_document_has_a_title_a_date_and_a_readable_length(path: Path) -> None:
    document = load(path, HANDBOOK)
    assert document.meta["title"]
    assert DATE.search(document.text)
    assert 230 <= len(document.text.split()) <= 800


@pytest.mark.parametrize(
    ("folder", "old", "new"),
    [
        ("customers", "returns-policy-2024.md", "returns-policy-2026.md"),
        ("people", "travel-expenses-2023.md", "travel-expenses-2026.md"),
    ],
)
def test_an_outdated_policy_says_so_and_names_its_successor(folder: str, old: str, new: str) -> None:
    outdated = (HANDBOOK / folder / old).read_text(encoding="utf-8")
    current = (HANDBOOK / folder / new).read_text(encoding="utf-8")
    title = current.splitlines()[0].removeprefix("# ")
    assert re.search(rf"Replaced on \d+ \w+ \d{{4}} by (?:the )?{title}", outdated)


def test_a_web_page_keeps_its_content_and_loses_its_furniture() -> None:
    page = HANDBOOK / "stores" / "millgate.html"
    text = load(page, HANDBOOK).text
    assert "Casper Loy" in text
    for furniture in ("Accept all", "All bells reserved", "Basket"):
        assert furniture in page.read_text(encoding="utf-8")
        assert furniture not in text


def test_the_binaries_hold_the_text_of_their_sources(builder: ModuleType) -> None:
    assert builder.stale(HANDBOOK) == []


def test_a_changed_or_missing_binary_is_named(builder: ModuleType, tmp_path: Path) -> None:
    paths = [source.path for source in builder.read_sources()]
    for path in paths:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(HANDBOOK / path, tmp_path / path)
    missing = tmp_path / "people" / "welcome-letter.pdf"
    missing.unlink()
    shutil.copyfile(HANDBOOK / "products" / "price-list.xlsx", tmp_path / "office" / "suppliers.xlsx")
    assert sorted(builder.stale(tmp_path)) == ["office/suppliers.xlsx", "people/welcome-letter.pdf"]


def test_building_twice_gives_the_same_bytes(builder: ModuleType) -> None:
    for source in builder.read_sources():
        write = builder.WRITERS[Path(source.path).suffix]
        assert write(source) == write(source), source.path


def test_the_manual_has_three_pages() -> None:
    document = load(HANDBOOK / "workshop" / "service-manual.pdf", HANDBOOK)
    assert len(document.meta["pages"]) == 3

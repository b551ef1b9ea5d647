"""A process that runs on past midnight: what was to come is in force, what was in force is outdated."""

from __future__ import annotations

from pathlib import Path

import pytest

from retrieval.index import Index
from tests.retrieval.hashing_encoder import HashingEncoder


def test_one_day_decides_which_version_is_current_and_which_holds(
    tmp_path: Path, encoder: HashingEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    for year in (2026, 2027):
        (folder / f"travel-{year}.md").write_text(
            f"---\ntitle: Travel\neffective: {year}-01-01\n---\n\n"
            f"A night in a hotel may cost {year - 1900} euros in every city of the country.\n"
        )

    def on(day: str) -> tuple[list[str], list[bool]]:
        monkeypatch.setattr("retrieval.index.today_utc", lambda: day)
        found = index.explain("hotel night cost", k=2)
        return [e.hit.passage.source for e in found], [e.scores["penalty"] > 0 for e in found]

    with Index.open(tmp_path / "i.sqlite", encoder=encoder) as index:
        index.update(folder)
        assert on("2026-12-31") == (["travel-2026.md", "travel-2027.md"], [False, False])
        cache = index._current().cache
        assert on("2027-01-01") == (["travel-2027.md", "travel-2026.md"], [False, True])
        assert index._current().cache is cache, "the vectors are the same"

"""The table that the serving benchmark writes into its page."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.serving_report import BEGIN, END, Part, Row, percentiles, replaced, spread, table

PAGE = Path(__file__).resolve().parents[2] / "docs/serving.md"


def test_every_figure_a_missed_target_and_the_durations_are_in_the_table() -> None:
    rows = (Row("throughput", "2.0 times", "3 times", reached=False), Row("memory", "70 MB"))
    text = table([Part("engine", rows, 12.4)], "2 cores")
    assert "| throughput | 2.0 times | 3 times: **missed** |" in text
    assert "| memory | 70 MB |  |" in text
    assert "engine 12 s" in text
    assert "2 cores" in text


def test_the_page_can_be_written_again_and_again_and_keeps_the_rest() -> None:
    page = PAGE.read_text(encoding="utf-8")
    once = replaced(page, "new table")
    assert once == replaced(replaced(page, "another"), "new table")
    assert once.split(BEGIN)[0] == page.split(BEGIN)[0]
    assert once.split(END)[1] == page.split(END)[1]
    with pytest.raises(ValueError, match="lacks the lines"):
        replaced("# Serving", "new table")


def test_a_percentile_is_no_larger_than_what_was_seen() -> None:
    assert percentiles([1.0, 2.0, 3.0], unit="s") == "p50 2.00, p95 2.90, p99 2.98 s (n=3)"
    assert spread([3.0, 1.0, 2.0], digits=1) == "2.0 [1.0, 3.0] (n=3)"

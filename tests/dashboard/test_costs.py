"""What tuning cost: suites in groups, curves and chains as written; missing parts leave a hole, not an error."""

from __future__ import annotations

from typing import Any

from dashboard import costs, trusting
from tests.dashboard.fixtures import est, summary


def test_every_suite_stands_in_one_group() -> None:
    groups = costs.suite_lines(summary("e", "t"))
    names = [line.name for lines in groups.values() for line in lines]
    assert sorted(names) == sorted(row["suite"].replace("_", " ") for row in summary("e", "t")["forgetting"])
    assert costs.group_of("all suites") == "all"
    assert costs.group_of("grounded_use") == "grounded"


def test_a_curve_shows_the_strengths_that_have_both_figures() -> None:
    whole: dict[str, Any] = {"figures": {"tone": est(0.8, 0.1)}, "evidence": {"forgetting": [{"suite": "all suites"}]}}
    whole["evidence"]["forgetting"][0]["difference"] = est(-0.1, 0.05)
    table = costs.retention_table({"points": [whole | {"strength": 0.5}, {"strength": 1.0}, None]})
    assert list(table["Point"]) == ["strength 0.5"]
    assert list(table["Low"].round(6)) == [-15]


def test_a_chain_shows_a_cell_per_stage_and_suite_and_escapes_names() -> None:
    chain: dict[str, Any] = {
        "stages": ["base", "<b>"],
        "suites": [{"suite": "sums"}],
        "matrix": {"sums": [est(0.9, 0.05), None]},
    }
    html = costs.chain_html({"chain": chain})
    assert ("90 %" in html, "n 80" in html, "<td>–</td>" in html, "<b>" in html) == (True, True, True, False)
    assert costs.chain_html({}) == costs.chain_html({"chain": {"stages": 3}}) == ""


def test_the_detector_card_says_what_was_not_measured() -> None:
    html = trusting.card_html({"precision": est(0.75, 0.1, 40), "note": "<i>"})
    assert ("0.75" in html, "n 40" in html, html.count("not measured"), "<i>" in html) == (True, True, 4, False)
    assert trusting.card_html({"n": 0}) == trusting.NO_CARD

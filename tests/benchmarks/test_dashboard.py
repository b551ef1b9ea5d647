from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import dashboard


def test_every_page_opens_and_reacts_over_the_project_that_it_builds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dashboard, "TIMES", 4)
    monkeypatch.setattr(sys, "argv", ["app.py"])
    dashboard.build(tmp_path, records=400, runs=2)
    found = dashboard.measure(tmp_path)
    assert {name.split()[0] for name in found} == {"overview", "hallucinations"}
    assert all(value.wall > 0 for value in found.values())

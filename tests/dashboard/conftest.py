"""Projects that the dashboard's tests open."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.dashboard.fixtures import build_project


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one finished evaluation and an index."""
    root = tmp_path / "otterwheel"
    build_project(root)
    (root / ".groundtone" / "index.sqlite").touch()
    return root

"""What every test shares: no network, and the folder of real data that some tests read when it is there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"

settings.register_profile("groundtone", deadline=None)  # a busy machine is no failure
settings.load_profile("groundtone")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of public data sets and documents, from GROUNDTONE_SHARED; the test is skipped where it is absent."""
    folder = Path(os.environ.get("GROUNDTONE_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"needs the shared data folder: {folder} is absent, set GROUNDTONE_SHARED")
    return folder

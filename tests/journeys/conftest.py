"""Journeys go through the command line, as a person would, in project folders of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = subprocess.CompletedProcess[str]
Call = Callable[..., Run]


@pytest.fixture(scope="session")
def groundtone() -> Call:
    """`groundtone(*arguments, code=0)`: runs the command, checks its exit code and that no traceback was shown."""

    def call(*arguments: str | Path, code: int | None = 0, stdin: str = "") -> Run:
        done = subprocess.run(
            [sys.executable, "-m", "groundtone.cli.main", *map(str, arguments)],
            capture_output=True,
            text=True,
            input=stdin,
            timeout=900,
            env=os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "2"},
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        if code is not None:
            assert done.returncode == code, f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return call

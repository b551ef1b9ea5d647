from __future__ import annotations

import os

import pytest

from benchmarks.crash_index import crash


@pytest.mark.skipif(os.name != "posix", reason="needs fork and SIGKILL")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_an_index_that_is_killed_at_any_moment_is_whole_afterwards() -> None:
    outcome = crash(10, seed=3)
    assert outcome.bad == []
    assert sum(outcome.seen.values()) == outcome.kills == 10

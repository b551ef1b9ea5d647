"""The pages in a real browser: a link opens its page, a cell of the heat map its queue, a key stores a verdict."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from groundtone.cli.dashboard_cmd import streamlit_command
from groundtone.feedback import Feedback
from groundtone.project import Project

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
ROOT = Path(__file__).parents[2]


@pytest.fixture
def address(project: Path) -> Iterator[str]:
    """A dashboard served on a free loopback port, stopped at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(streamlit_command(project, host="127.0.0.1", port=port, browser=False), cwd=ROOT, **quiet)
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2).close()
                break
            except OSError:
                assert server.poll() is None, "the Streamlit server ended at once"
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=20)


@pytest.fixture
def page() -> Iterator[Any]:
    """A fresh browser page; skips where there is no browser."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"no Chromium at {CHROMIUM}: apt-get install chromium, or set CHROMIUM to its path")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        opened = browser.new_page(viewport={"width": 1280, "height": 900})
        opened.set_default_timeout(90_000)  # a busy build machine is slow, not broken
        yield opened
        browser.close()


@pytest.mark.browser
def test_pages_open_by_link_and_a_reviewer_gets_from_a_cell_to_a_stored_verdict(
    address: str, page: Any, project: Path
) -> None:
    for path, headline in (
        ("chat", "Which answer would you send?"),  # a link to a page is the first thing that this server sees
        ("hallucinations", "Is this claim true to our documents?"),
        ("", "Can I ship this?"),
    ):
        page.goto(f"{address}/{path}")
        page.get_by_role("heading", name=headline).wait_for(timeout=90_000)
        page.get_by_test_id("stSidebarNav").get_by_text("Decide").wait_for()
        assert page.get_by_test_id("stException").count() == 0
    page.locator(".st-key-gt-link-base-closed a").click()
    page.get_by_role("heading", name="Is this claim true to our documents?").wait_for(timeout=90_000)
    page.locator(".gt-eyebrow", has_text="Base · closed book").wait_for()
    assert "arm=Base" in page.url
    page.locator(".st-key-say-contradicted button").wait_for()
    page.keyboard.press("3")
    page.get_by_text("1 of 24 judged").wait_for()
    (judged,) = Feedback(Project(project).feedback_path).judged()
    assert (judged.verdict.value, judged.about["arm"]) == ("contradicted", "base/closed")

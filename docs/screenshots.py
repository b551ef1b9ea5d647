"""Take the pictures of docs/images again: every page of the dashboard, light and dark.

    python docs/screenshots.py --project DIR [--out docs/images] [--widths 1280 1920]
        [--pages overview chat] [--schemes dark]

Needs Playwright (`pip install groundtone[dev]`) and a Chromium at /usr/bin/chromium or under --chromium.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from groundtone.cli.dashboard_cmd import streamlit_command

PAGES = {
    "overview": "",
    "hallucinations": "hallucinations",
    "chat": "chat",
    "forgetting": "forgetting",
    "tone": "tone",
    "retrieval": "retrieval",
    "training": "training",
    "data": "data",
}
CHROMIUM = Path("/usr/bin/chromium")
START_S = 60.0
ANSWER_MS = 600_000  # the first answer waits until the models are loaded


@contextlib.contextmanager
def served(project: Path) -> Iterator[str]:
    """A dashboard of `project` on a free loopback port, stopped at the end; yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        streamlit_command(project, host="127.0.0.1", port=port, browser=False),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(f"http://127.0.0.1:{port}/_stcore/health")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=20)


def _wait(address: str) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def settled(page: Any) -> None:
    """Wait until Streamlit has finished its run and its charts are drawn."""
    page.wait_for_selector(".gt-head h1, .gt-problem", timeout=180_000)
    page.wait_for_selector('[data-testid="stStatusWidget"]', state="detached", timeout=180_000)
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]', timeout=180_000)
    page.wait_for_timeout(1500)  # widgets are loaded when they are first used, behind a skeleton each
    page.wait_for_function("!document.querySelector('[data-testid=stSkeleton]')", timeout=180_000)
    page.wait_for_timeout(1500)


def converse(page: Any) -> None:
    """Ask the first question that the chat offers, if any, so that the picture shows two answers."""
    offered = page.locator(".st-key-try-0 button")
    if offered.count():
        offered.click()
        page.wait_for_selector(".st-key-vote-A-0 button, .gt-problem", timeout=ANSWER_MS)
        page.wait_for_timeout(1000)


def main() -> None:
    """Take the pictures."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--widths", type=int, nargs="+", default=[1280])
    parser.add_argument("--pages", nargs="+", choices=PAGES, default=list(PAGES))
    parser.add_argument("--schemes", nargs="+", choices=("light", "dark"), default=["light", "dark"])
    parser.add_argument("--chromium", type=Path, default=CHROMIUM)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with served(options.project) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(options.chromium), args=["--no-sandbox"])
        for scheme in options.schemes:
            for width in options.widths:
                page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
                for name in options.pages:
                    page.goto(f"{address}/{PAGES[name]}")
                    settled(page)
                    if name == "chat":
                        converse(page)
                    tall = page.evaluate(
                        "(document.querySelector('[data-testid=stMain]') ?? document.body).scrollHeight"
                    )
                    page.set_viewport_size({"width": width, "height": max(900, int(tall))})
                    page.wait_for_timeout(600)
                    target = options.out / f"{name}-{scheme}-{width}.png"
                    page.screenshot(path=str(target))
                    page.set_viewport_size({"width": width, "height": 900})
                    print(target, file=sys.stdout)
                page.close()
        browser.close()


if __name__ == "__main__":
    main()

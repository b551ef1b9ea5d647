"""The pages in a real browser: each row of the table of what takes less than three clicks, with its clicks counted.

Typing and keys are no clicks. The chat's models and the search's encoder are stand-ins in the server's process; all
else is as it is served.
"""

from __future__ import annotations

import os
import socket
import subprocess
import textwrap
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dashboard.claims import Claims
from dashboard.runs import load_evaluations
from dashboard.views_work import jobs_of
from eval.blame_report import BlamedSpan, blame_json
from groundtone.cli.dashboard_cmd import streamlit_command
from groundtone.feedback import Feedback
from groundtone.files import write_atomic
from groundtone.project import Project
from tests.dashboard.fixtures import build_project
from tests.dashboard.test_worker import FAKE

pytestmark = pytest.mark.browser
CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
ROOT = Path(__file__).parents[2]
WAIT_MS = 120_000  # a busy build machine is slow, not broken


class Hand:
    """A reader's hand on a page: it counts its clicks."""

    def __init__(self, page: Any, address: str, project: Path) -> None:
        self.page, self.address, self.project, self.clicks = page, address, project, 0

    def start(self, path: str, headline: str) -> None:
        """Open a page by its address, with no clicks made yet."""
        self.page.goto(f"{self.address}/{path}")
        self.arrived(headline)
        self.clicks = 0

    def arrived(self, headline: str) -> None:
        """Wait for a page."""
        self.page.get_by_role("heading", name=headline).wait_for()
        self.page.locator('[data-test-script-state="notRunning"]').wait_for()
        assert self.page.get_by_test_id("stException").count() == 0

    def click(self, place: Any) -> None:
        """One click."""
        place.click()
        self.clicks += 1

    def turn_to(self, title: str, headline: str) -> None:
        """One click in the navigation."""
        self.click(self.page.get_by_test_id("stSidebarNav").get_by_text(title))
        self.arrived(headline)


def stand_ins(folder: Path) -> Path:
    """A folder whose sitecustomize puts a chat and a search without models into the server's process."""
    code = f"""
        import sys, dashboard.views_retrieval, dashboard.views_work, dashboard.worker
        found = [{{"hit": {{"passage": {{"source": "delivery.md", "heading": "Times", "text": "It takes 3 days."}},
                   "score": 0.9, "ranks": {{"fused": 1}}}}, "ranks": {{}}}}]
        dashboard.worker.chat_command = lambda root: {FAKE!r}
        slow = "import signal, sys, time; signal.signal(signal.SIGINT, lambda *_: time.sleep(5) or sys.exit(1)); "
        slow += "print('ready', flush=True); time.sleep(600)"
        dashboard.views_work.command_of = lambda kind, root: [sys.executable, "-I", "-S", "-c", slow]
        dashboard.views_retrieval.explain = lambda asked, **more: found
    """
    write_atomic(folder / "sitecustomize.py", textwrap.dedent(code))
    return folder


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with two tuning runs that differ, an evaluation of each, and blame for the riskiest claim."""
    root = tmp_path_factory.mktemp("walk") / "otterwheel"
    for rate in (0.001, 0.002):
        build_project(root, resolved={"tuning": {"learning_rate": rate}})
    (root / ".groundtone" / "index.sqlite").touch()
    newest = load_evaluations(root).runs[0]
    entry = Claims(newest.path).queue(arm="tuned/rag")[0]
    span = BlamedSpan(
        entry.item,
        entry.arm,
        entry.key.rpartition(":")[0],
        "delivery.md",
        entry.start,
        entry.stop,
        entry.text,
        entry.verdict,
        ("days",),
        "learned in tuning",
        "two rows say it",
        "ignored evidence",
        "the passage was shown",
        "take the rows out",
        {},
    )
    write_atomic(newest.path / "blame.json", blame_json([span], run=newest.id, tuned_run=newest.candidate))
    return root


@pytest.fixture(scope="module")
def address(walked: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A dashboard served on a free loopback port, stopped at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    environment = os.environ | {"PYTHONPATH": str(stand_ins(tmp_path_factory.mktemp("stand_ins")))}
    command = streamlit_command(walked, host="127.0.0.1", port=port, browser=False)
    server = subprocess.Popen(command, cwd=ROOT, env=environment, **quiet)
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


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium; skips where there is no browser."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"no Chromium at {CHROMIUM}: apt-get install chromium, or set CHROMIUM to its path")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield opened
        opened.close()


@pytest.fixture
def hand(address: str, browser: Any, walked: Path) -> Iterator[Hand]:
    """A fresh page and a hand on it; what people said before is gone."""
    Project(walked).feedback_path.unlink(missing_ok=True)
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(WAIT_MS)
    yield Hand(page, address, walked)
    page.close()


def judged(hand: Hand) -> list[Any]:
    """What people said of claims."""
    return Feedback(Project(hand.project).feedback_path).judged()


OVERVIEW, REVIEW = "Can I ship this?", "Is this claim true to our documents?"


def test_the_riskiest_claim_is_judged_by_one_click_and_a_key_and_its_source_stands_beside_it(hand: Hand) -> None:
    hand.start("", OVERVIEW)
    hand.turn_to("Hallucinations", REVIEW)
    hand.page.locator(".gt-passage mark.gt-sentence").first.wait_for()  # its source: one click
    assert hand.clicks == 1
    hand.page.locator(".st-key-say-unsupported button").wait_for()
    hand.page.keyboard.press("2")
    hand.page.get_by_text("1 of 24 judged").wait_for()
    assert [(one.verdict.value, one.about["picked"]) for one in judged(hand)] == [("unsupported", "active")]
    assert hand.clicks == 1


def test_keys_move_through_the_queue_and_take_a_verdict_back(hand: Hand) -> None:
    hand.start("hallucinations", REVIEW)
    asked = hand.page.locator(".gt-question")
    first = asked.inner_text()
    hand.page.locator(".st-key-next button:not([disabled])").wait_for()
    hand.page.keyboard.press("j")
    hand.page.locator(".st-key-previous button:not([disabled])").wait_for()
    assert asked.inner_text() != first
    hand.page.keyboard.press("k")
    hand.page.locator(".st-key-previous button[disabled]").wait_for()
    assert asked.inner_text() == first
    hand.page.keyboard.press("5")
    hand.page.get_by_text("1 of 24 judged").wait_for()
    hand.page.keyboard.press("u")
    hand.page.get_by_text("0 of 24 judged").wait_for()
    assert judged(hand) == []


def test_a_cell_opens_its_own_queue(hand: Hand) -> None:
    hand.start("", OVERVIEW)
    hand.click(hand.page.locator(".st-key-gt-link-base-closed a"))
    hand.arrived(REVIEW)
    hand.page.locator(".gt-eyebrow", has_text="Base · closed book").wait_for()
    assert "arm=Base" in hand.page.url
    hand.page.locator(".st-key-say-contradicted button").wait_for()
    hand.page.keyboard.press("3")
    hand.page.get_by_text("1 of 24 judged").wait_for()
    assert [one.about["arm"] for one in judged(hand)] == ["base/closed"]
    assert hand.clicks == 1


def test_an_answer_is_fixed_into_a_training_row_by_three_clicks(hand: Hand) -> None:
    hand.start("", OVERVIEW)
    hand.turn_to("Hallucinations", REVIEW)
    correction = hand.page.locator("textarea").first
    hand.click(correction)
    correction.type("It is 95 km.")
    hand.click(hand.page.locator(".st-key-say-contradicted button"))
    hand.page.get_by_text("1 of 24 judged").wait_for()
    assert [one.verdict.correction for one in judged(hand)] == ["It is 95 km."]
    assert hand.clicks == 3


def test_what_broke_and_why_and_whether_the_detector_can_be_trusted(hand: Hand) -> None:
    hand.start("", OVERVIEW)
    hand.click(hand.page.get_by_text("broken").first)
    hand.page.locator(".gt-pair, .gt-note", has_text="").first.wait_for()
    assert hand.clicks == 1
    hand.start("", OVERVIEW)
    hand.turn_to("Hallucinations", REVIEW)
    hand.click(hand.page.get_by_text("Why did it say that?"))
    hand.page.get_by_text("two rows say it").wait_for()
    assert hand.clicks == 2
    hand.start("hallucinations", REVIEW)
    hand.click(hand.page.get_by_text("Is the detector trustworthy?"))
    hand.page.get_by_text("0 human verdicts: unverified. Judge").wait_for()
    assert hand.clicks == 1


def test_two_configs_are_compared_by_three_clicks(hand: Hand) -> None:
    hand.start("", OVERVIEW)
    hand.turn_to("Training runs", "What did training do?")
    table = hand.page.get_by_test_id("stDataFrame").first
    table.wait_for()
    hand.page.wait_for_timeout(1500)  # the table is a canvas: no element says that its rows are drawn
    table.click(position={"x": 16, "y": 88})  # the box of the second row
    hand.clicks += 1
    hand.click(hand.page.get_by_role("tab", name="Config differences"))
    hand.page.get_by_text("tuning.learning_rate").first.wait_for(state="attached")
    assert hand.clicks == 3


def test_a_question_is_voted_on_by_three_clicks(hand: Hand) -> None:
    hand.start("", OVERVIEW)
    hand.turn_to("Chat A/B", "Which answer would you send?")
    hand.click(hand.page.locator(".st-key-try-0 button"))
    vote = hand.page.locator(".st-key-vote-A-0 button")
    vote.wait_for()
    hand.click(vote)
    hand.page.get_by_text("You chose A").wait_for()
    (stored,) = Feedback(Project(hand.project).feedback_path).votes()
    assert stored.outcome == "chosen"
    assert hand.clicks == 3


def test_a_document_is_found_by_two_clicks(hand: Hand) -> None:
    hand.start("", OVERVIEW)
    hand.turn_to("Retrieval", "Why did it find, or miss, that?")
    asked = hand.page.get_by_label("Question")
    hand.click(asked)
    asked.type("How long does standard delivery take?")
    hand.page.keyboard.press("Enter")
    hand.page.get_by_text("Gold passage at rank 1").or_(hand.page.get_by_text("No gold passage")).first.wait_for()
    hand.page.get_by_text("delivery.md").first.wait_for(state="attached")
    assert hand.clicks == 2


def test_a_release_report_is_exported_by_one_click(hand: Hand) -> None:
    hand.start("", OVERVIEW)
    with hand.page.expect_download() as waited:
        hand.click(hand.page.get_by_role("button", name="Release report"))
    report = Path(waited.value.path()).read_text(encoding="utf-8")
    assert "<html" in report
    assert "http://" not in report.replace("http://www.w3.org", "")
    assert hand.clicks == 1


def test_work_is_cancelled_and_the_page_keeps_its_look(hand: Hand) -> None:
    hand.start("", OVERVIEW)
    hand.page.get_by_text("Start…").click()
    hand.page.get_by_role("button", name="Index the documents").first.click()
    cancel = hand.page.locator(".st-key-gt-cancel button:not([disabled])")
    cancel.wait_for()
    jobs = jobs_of(hand.project)
    while not (job := jobs.latest()) or "ready" not in jobs.log(job.id):
        hand.page.wait_for_timeout(200)
    cancel.click()
    hand.page.get_by_text("stopping; it finishes").wait_for()
    assert hand.page.locator(".gt-eyebrow").first.evaluate("e => getComputedStyle(e).textTransform") == "uppercase"
    hand.page.get_by_text("cancelled").wait_for()
    hand.arrived(OVERVIEW)


def test_nothing_is_fetched_from_outside_this_machine(hand: Hand) -> None:
    asked: list[str] = []
    hand.page.on("request", lambda request: asked.append(request.url))
    hand.start("", OVERVIEW)
    hand.turn_to("Training runs", "What did training do?")
    assert [url for url in asked if not url.startswith((hand.address, "data:", "blob:"))] == []


def test_a_phone_shows_whose_figure_is_whose_and_scrolls_no_page_sideways(hand: Hand) -> None:
    hand.page.set_viewport_size({"width": 390, "height": 800})
    for path, headline in (("", OVERVIEW), ("forgetting", "What did tuning cost?"), ("tone", "Does it sound like us")):
        hand.start(path, headline)
        wide = "e => e.scrollWidth - e.clientWidth"
        assert hand.page.get_by_test_id("stMain").evaluate(wide) == 0, path
        if not path:
            assert hand.page.locator(".gt-cell-name", has_text="Tuned · closed book").is_visible()

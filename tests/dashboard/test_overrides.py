"""What `groundtone dashboard --set` says counts in the app, and in the commands that its pages start."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from typer.testing import CliRunner

from dashboard import login
from dashboard.config import APP, overrides, set_flags
from groundtone.cli import dashboard_cmd
from groundtone.cli.main import app as commands
from tests.dashboard.test_pages import html

SETS = ["dashboard.read_only=true", "tuning.data=other.jsonl"]


def test_the_command_hands_its_overrides_to_the_app(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(dashboard_cmd, "run_until_stopped", lambda command: started.append(command) or -15)
    flags = [part for one in SETS for part in ("--set", one)]
    asked = ["dashboard", "--project", str(project), "--port", "18766", *flags]
    assert CliRunner().invoke(commands, asked).exit_code == 0
    handed = started[0][started[0].index("--") + 1 :]
    assert overrides(handed) == (*SETS, "dashboard.port=18766")


def test_a_page_hands_them_on_without_the_dashboards_own() -> None:
    assert set_flags([*(f"--set={one}" for one in SETS), "--project", "."]) == ["--set=tuning.data=other.jsonl"]
    assert set_flags([]) == []


def test_nobody_writes_where_the_command_line_says_so(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for flags, may_write in (([f"--set={SETS[0]}"], False), ([], True)):
        monkeypatch.setattr(sys, "argv", ["app.py", *flags, "--project", str(project)])
        assert login.viewer().may_write is may_write


def test_a_login_is_asked_for_where_the_command_line_says_so(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sets = ["--set=dashboard.login=password", "--set=dashboard.users={ann: {password: scrypt-x}}"]
    monkeypatch.setattr(sys, "argv", ["app.py", *sets, "--project", str(project)])
    app = AppTest.from_file(str(APP), default_timeout=30).run()
    assert not app.exception
    assert app.text_input(key="gt-login-name") is not None
    assert "HOLD" not in html(app)

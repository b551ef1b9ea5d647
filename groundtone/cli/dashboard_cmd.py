"""The command that opens the dashboard: Streamlit as a child process, on the loopback interface."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from groundtone.addresses import is_loopback
from groundtone.cli.options import PortOption, ProjectOption, SetOption, at_port, open_project
from groundtone.cli.show import next_step, note
from groundtone.errors import ProjectError, UserError
from groundtone.passwords import hash_password
from groundtone.settings import Settings


def dashboard(
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser window as well.")] = False,
    make_hash: Annotated[
        bool, typer.Option("--hash-password", help="Ask for a password, print its hash for dashboard.users, and stop.")
    ] = False,
    port: PortOption = None,
    project: ProjectOption = None,
    overrides: SetOption = None,
) -> None:
    """Show runs, answers and documents in the browser, and collect people's verdicts."""
    if make_hash:
        print(hash_password(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)))
        return
    sets = at_port(overrides, "dashboard", port)
    where, settings = open_project(project, sets)
    given = settings.dashboard
    _refuse_open_network(settings)
    _refuse_taken_port(given.host, given.port)
    note(f"http://{given.host}:{given.port}   (Ctrl-C stops it)")
    command = streamlit_command(where.root, host=given.host, port=given.port, browser=browser, overrides=sets)
    code = run_until_stopped(command)
    if code > 0:
        raise ProjectError(f"the dashboard ended with code {code}; its last lines above say why")
    next_step("groundtone tune", "teach it what people corrected", project=project)


def run_until_stopped(command: list[str]) -> int:
    """The child's exit code, negative or 0 when it was stopped: Ctrl-C reaches both processes, SIGTERM is passed on."""
    with subprocess.Popen(command) as child:
        signal.signal(signal.SIGTERM, lambda *_: child.terminate())
        try:
            return child.wait()
        except KeyboardInterrupt:
            child.terminate()
            child.wait()
            return 0


def streamlit_command(root: Path, *, host: str, port: int, browser: bool, overrides: Sequence[str] = ()) -> list[str]:
    """The child's command line; usage statistics and the file watcher are off.

    The project and the overrides are handed to the app, which reads groundtone.yaml itself.
    """
    options = {
        "server.address": host,
        "server.port": str(port),
        "server.headless": str(not browser).lower(),
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
    }
    spec = find_spec("dashboard")
    assert spec is not None
    assert spec.origin is not None
    app = Path(spec.origin).with_name("app.py")
    flags = [f"--{name}={value}" for name, value in options.items()]
    sets = [f"--set={one}" for one in overrides]
    return [sys.executable, "-m", "streamlit", "run", str(app), *flags, "--", *sets, "--project", str(root)]


def _refuse_open_network(settings: Settings) -> None:
    """Without a login the dashboard listens on this machine only, and a login needs people. Raises UserError."""
    config = settings.dashboard
    if config.login == "none" and not is_loopback(config.host):
        raise UserError(
            f"dashboard.host is {config.host!r}, but the dashboard has no login: set dashboard.login, or set the host "
            "to 127.0.0.1 and reach it from elsewhere through a tunnel such as `ssh -L 8501:127.0.0.1:8501 HOST`"
        )
    if config.login != "none" and not config.users:
        raise UserError(f"dashboard.login is {config.login!r} and dashboard.users is empty: name who may log in")
    if config.login == "password" and (bare := [name for name, user in config.users.items() if not user.password]):
        raise UserError(
            f"dashboard.users has no password for {', '.join(bare)}: "
            "`groundtone dashboard --hash-password` prints what to write there"
        )


def _refuse_taken_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UserError(
                f"port {port} on {host} cannot be used ({error.strerror}): another dashboard may be running; choose "
                "another with --port 8502"
            ) from error

"""`groundtone serve`: the OpenAI-compatible server as a child process, and the keys that it asks for."""

from __future__ import annotations

import sys
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from groundtone.cli.dashboard_cmd import run_until_stopped
from groundtone.cli.options import JsonOption, PortOption, ProjectOption, SetOption, at_port, find_project, open_project
from groundtone.cli.show import next_step, note, print_json, print_table
from groundtone.errors import MissingExtraError, ProjectError
from groundtone.keys import KeyFile

app = typer.Typer(invoke_without_command=True)
keys = typer.Typer(no_args_is_help=True, help="Make, list and revoke the keys that the server asks for.")
app.add_typer(keys, name="keys")

USER_ERROR = 2


@app.callback()
def serve(
    context: typer.Context, port: PortOption = None, project: ProjectOption = None, overrides: SetOption = None
) -> None:
    """Serve the model to OpenAI's clients: chat, completions, embeddings, models, feedback, health, metrics."""
    if context.invoked_subcommand is not None:
        return
    changed = at_port(overrides, "server", port)
    where, settings = open_project(project, changed)
    _check_extra()
    given = settings.server
    address = f"http://{given.host}:{given.port}/v1" if given.port else f"a free port of {given.host}, named below"
    note(f"{address}   (Ctrl-C stops it when the requests in work are finished)")
    flags = [flag for override in changed for flag in ("--set", override)]
    command = [sys.executable, "-m", "groundtone.server", "--project", str(where.root), *flags]
    code = run_until_stopped(command)
    if code == USER_ERROR:
        raise typer.Exit(USER_ERROR)  # it has said why
    if code > 0:
        raise ProjectError(f"the server ended with code {code}; its last lines above say why")
    next_step("groundtone dashboard", "read what people said of its answers", project=project)


@keys.command("add")
def add(
    name: Annotated[str, typer.Argument(help="Who or what the key is for; feedback is stored under this name.")],
    groups: Annotated[
        str,
        typer.Option(metavar="A,B", help="Groups whose documents and adapters the key may use, beside public ones."),
    ] = "",
    models: Annotated[
        str, typer.Option(metavar="A,B", help="Model ids that it may ask for; patterns such as *+rag. Default: all.")
    ] = "",
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key and show it once. From the first key on, the server asks for one."""
    text = _file(project).add(name, groups=_listed(groups), models=_listed(models))
    if as_json:
        print_json({"name": name, "key": text})
        return
    print(text)
    note("This is the only time that it is shown: only its hash is stored.")
    next_step("groundtone serve", "clients send it as their API key", project=project)


@keys.command("list")
def listed(project: ProjectOption = None, as_json: JsonOption = False) -> None:
    """Every key that was made, without its secret."""
    found = [{k: v for k, v in asdict(key).items() if k not in ("salt", "hash")} for key in _file(project).listed()]
    if as_json:
        print_json(found)
        return
    columns = ["id", "name", "groups", "models", "created", "revoked"]
    rows = [[", ".join(row[c]) if isinstance(row[c], tuple | list) else row[c] for c in columns] for row in found]
    print_table(columns, rows)
    next_step("groundtone serve keys add NAME", "make another one", project=project)


@keys.command("revoke")
def revoke(
    name: Annotated[str, typer.Argument(help="The key's name or id.")],
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a key's validity; a running server notices at once."""
    key = _file(project).revoke(name)
    if as_json:
        print_json({"id": key.id, "name": key.name, "revoked": key.revoked})
        return
    print(f"{key.name} ({key.id}) is revoked")
    next_step("groundtone serve keys list", "see which keys are left", project=project)


def _file(project: Path | None) -> KeyFile:
    return KeyFile(find_project(project).keys_path)


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _check_extra() -> None:
    """Raises MissingExtraError before a child process would."""
    if any(find_spec(name) is None for name in ("fastapi", "uvicorn", "prometheus_client")):
        raise MissingExtraError("`groundtone serve`", "serve")

"""Writes docs/cli.md from the commands and settings themselves: `python -m groundtone.cli.docs docs/cli.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel
from typer.core import TyperGroup

from groundtone.cli.main import app
from groundtone.cli.template import as_yaml, default_of, inner_model
from groundtone.project import write_atomic
from groundtone.settings import SECTIONS

_HEAD = """\
# Commands and settings

Written by `make docs` from the code; a test keeps the two the same.

Exit codes: 0 done, 1 gate not passed, 2 something the caller can mend (one line on stderr says how), 130 stopped with
Ctrl-C. Results go to stdout, everything else to stderr.
"""


def reference() -> str:
    """The whole page as Markdown."""
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    parts = [_HEAD, *(_command(name, command) for name, command in _flat(group))]
    parts.append("# Settings of groundtone.yaml\n\nFor one command: `--set section.key=value`.\n")
    parts += [_section(name, model) for name, model in SECTIONS.items()]
    return "\n".join(parts)


def _flat(group: TyperGroup, before: str = "") -> Iterator[tuple[str, Any]]:
    """Every command with its whole name; those of a group one by one ("data check")."""
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            if command.invoke_without_command:  # such as "serve", a command with commands of its own
                yield f"{before}{name}", command
            yield from _flat(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def _command(name: str, command: Any) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option"]
    usage = " ".join([f"groundtone {name}", *(_metavar(a) for a in arguments), "[OPTIONS]" if options else ""]).strip()
    rows = [f"| `{_metavar(a)}` | {a.help or ''} |" for a in arguments]
    rows += [f"| `{_flags(o)}` | {o.help or ''}{_default(o)} |" for o in options]
    table = "\n".join(["| | |", "|---|---|", *rows])
    text = "\n\n".join(" ".join(paragraph.split()) for paragraph in (command.help or "").split("\n\n"))
    return f"## {name}\n\n```\n{usage}\n```\n\n{text}\n\n{table}\n"


def _metavar(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


def _flags(option: Any) -> str:
    names = ", ".join(option.opts) + (f" / {', '.join(option.secondary_opts)}" if option.secondary_opts else "")
    return names if option.is_flag else f"{names} {_metavar(option)}"


def _default(option: Any) -> str:
    shown = option.default is not None and not option.is_flag and not option.multiple
    return f" Default: `{option.default}`." if shown else ""


def _section(name: str, model: type[BaseModel]) -> str:
    rows = [f"| `{key}` | `{value}` | {text} |" for key, value, text in _settings(name, model)]
    title = " ".join((model.__doc__ or "").split())
    return "\n".join([f"## `{name}`", "", title, "", "| key | default | |", "|---|---|---|", *rows, ""])


def _settings(path: str, model: type[BaseModel]) -> Iterator[tuple[str, str, str]]:
    for name, info in model.model_fields.items():
        inner = inner_model(info)
        if inner is not None:
            yield from _settings(f"{path}.{name}", inner)
        else:
            text = (info.description or "").replace("|", "\\|")
            yield f"{path}.{name}", as_yaml(default_of(info)), text


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m groundtone.cli.docs docs/cli.md")
    write_atomic(Path(sys.argv[1]), reference())

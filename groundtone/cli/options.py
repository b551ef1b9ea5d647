"""Options that commands share, and what every command does first: find the project, read its settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundtone.errors import DataError, ProjectError
from groundtone.project import Project

if TYPE_CHECKING:
    from groundtone.settings import Settings

ProjectOption = Annotated[
    Path | None,
    typer.Option(
        "--project",
        metavar="DIR",
        help="The project's folder. Default: the nearest folder upwards from here that holds a groundtone.yaml.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="SECTION.KEY=VALUE", help="Override one setting for this command; may be given repeatedly."
    ),
]
PortOption = Annotated[int | None, typer.Option("--port", help="Port to listen on, instead of the configured one.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on stdout and nothing else there.")]
ArmOption = Annotated[
    str,
    typer.Option(
        "--arm",
        help="Who answers: champion (what was promoted, else the base model), base, tuned (the newest run) or a tuning "
        "run's id; or one of base/rag, base/closed, tuned/rag, tuned/closed, prompted/rag, extractive/rag.",
    ),
]


def at_port(overrides: list[str] | None, section: str, port: int | None) -> list[str]:
    """The overrides with the port that --port names, which is `section`.port."""
    return [*(overrides or ()), *([] if port is None else [f"{section}.port={port}"])]


def readable(text: str) -> str:
    """A text given as an argument. Raises DataError for an empty one, and for bytes that are no UTF-8."""
    if not text.strip():
        raise DataError("the text is empty: write what you mean in quotation marks")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(f"{text[:80]!a} is no UTF-8 text: switch the terminal to UTF-8 and type it again") from error
    return text


def find_project(folder: Path | None) -> Project:
    """The project that --project names, or that the current folder lies in. Raises ProjectError where there is none."""
    if folder is None:
        return Project.find(Path.cwd())
    project = Project(folder)
    if not project.config_path.is_file():
        raise ProjectError(f"no {project.config_path}: run `groundtone init DOCS_FOLDER --project {folder}`")
    return project


def open_project(folder: Path | None, overrides: list[str] | None) -> tuple[Project, Settings]:
    """The project and its validated settings. Raises ProjectError or ConfigError."""
    from groundtone.settings import load_settings

    project = find_project(folder)
    return project, load_settings(project.root, tuple(overrides or ()))

"""Commands about the project as a whole: init, doctor, runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundtone.cli.options import JsonOption, ProjectOption, SetOption, find_project, open_project
from groundtone.cli.show import next_step, note, print_json, print_table
from groundtone.errors import ProjectError, UserError
from groundtone.manifest import Manifest
from groundtone.project import Project, write_atomic

if TYPE_CHECKING:
    from groundtone.cli.doctor import Check


def init(
    documents: Annotated[Path, typer.Argument(metavar="DOCS_FOLDER", help="The folder that holds your documents.")],
    model: Annotated[
        str | None,
        typer.Option(
            help="starter, extractive, a Hugging Face id, a folder, or provider:model. Default: starter in a checkout, "
            "which holds its weights, else extractive."
        ),
    ] = None,
    project: Annotated[
        Path | None, typer.Option("--project", metavar="DIR", help="Where to write. Default: the current folder.")
    ] = None,
) -> None:
    """Write a commented groundtone.yaml for your documents; an existing one is never overwritten."""
    from groundtone.cli.template import render
    from groundtone.models.weights import has_starter

    where = Project(project or Path.cwd())
    model = model or ("starter" if has_starter() else "extractive")
    folder = documents.expanduser().resolve()
    if not folder.is_dir():
        raise UserError(f"{documents} is no folder: name the one that holds your documents")
    if where.config_path.exists():
        raise ProjectError(
            f"{where.config_path} exists and was left alone: change documents.folder and model.id in it, or remove it"
        )
    inside = folder.is_relative_to(where.root)
    shown = folder.relative_to(where.root).as_posix() if inside else folder.as_posix()
    write_atomic(where.folder / ".gitignore", "*\n")  # runs and indexes do not belong into the user's repository
    write_atomic(where.config_path, render(folder=shown, model=model, root=where.root))
    print(f"wrote {where.config_path}")
    next_step("groundtone index", "read the documents", project=project)


def doctor(project: ProjectOption = None, overrides: SetOption = None, as_json: JsonOption = False) -> None:
    """Check machine, packages, models and project; name the command that mends what is missing.

    Exits with 2 when something is missing that the project needs.
    """
    from groundtone.cli.doctor import examine

    where, settings = open_project(project, overrides)
    checks = examine(where, settings)
    if as_json:
        print_json(checks)
    else:
        print_table(["", "what", "found"], [[c.state, c.name, c.found] for c in checks])
        missing = [c for c in checks if c.fix]
        if missing:
            print("\nTo mend it")
            print_table(["what", "do"], [[c.name, c.fix] for c in missing])
        _after_doctor(checks, indexed=where.index_path.is_file(), project=project)
    raise typer.Exit(2 if any(c.state == "missing" for c in checks) else 0)


def _after_doctor(checks: list[Check], *, indexed: bool, project: Path | None) -> None:
    if any(c.state == "missing" for c in checks):
        next_step("groundtone doctor", "look again when that is mended", project=project)
    elif indexed:
        next_step('groundtone ask "..."', "everything is there", project=project)
    else:
        next_step("groundtone index", "read the documents", project=project)


def runs(
    kind: Annotated[str | None, typer.Option(help="Only this kind: tune, eval ...")] = None,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """List runs, newest first, and whatever in the runs folder is no readable run."""
    where = find_project(project)
    manifests, problems, champion = where.runs(kind), where.run_problems(), where.champion()
    if as_json:
        rows = [m.model_dump(mode="json") | {"state": m.state()} for m in manifests]
        print_json({"runs": rows, "problems": problems, "champion": champion})
        return
    if manifests:
        table = [[m.id, m.state(), m.created[:16].replace("T", " "), _remark(m, champion)] for m in manifests]
        print_table(["run", "status", "created (UTC)", ""], table)
    else:
        print(f"no runs in {where.runs_folder}")
    for problem in problems:
        note(f"not a run: {problem}")
    if manifests:
        next_step("groundtone dashboard", "look at them in the browser", project=project)
    else:
        next_step("groundtone tune", "make the first one", project=project)


def _remark(manifest: Manifest, champion: str | None) -> str:
    if manifest.id == champion:
        return "champion"
    return str(manifest.notes.get("reason", ""))[:100] if manifest.status == "failed" else ""

"""The command that removes a document from everything that groundtone keeps, and proves it."""

from __future__ import annotations

from typing import Annotated

import typer

from groundtone.cli.options import JsonOption, ProjectOption, SetOption, open_project
from groundtone.cli.show import next_step, note, print_json, progress_bars
from groundtone.errors import DataError

NOT_PROVEN = 1


def forget(
    document: Annotated[
        str, typer.Argument(metavar="DOC", help="The document's source as search shows it, or its path.")
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do it. Without this, only what would go is shown.")] = False,
    file: Annotated[bool, typer.Option("--file", help="Remove the document's own file too.")] = False,
    restore: Annotated[
        bool, typer.Option("--restore", help="Let `groundtone index` read a forgotten document again.")
    ] = False,
    project: ProjectOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove a document from index, answers, verdicts and voice pairs; show the proof and the adapters that saw it.

    Exits with 1 when some file still holds words of it.
    """
    from groundtone.joins.forget import forget as remove
    from groundtone.joins.forget import summary
    from retrieval.forgotten import unbury

    where, settings = open_project(project, overrides)
    if restore:
        if not unbury(where.index_path, document):
            raise DataError(f"{document!r} is not among the forgotten documents; give the source as it was forgotten")
        next_step("groundtone index", "read it again if its file is there", project=project)
        return
    with progress_bars() as progress:
        found = remove(where, settings, document, really=yes, delete_file=file, progress=progress)
    if as_json:
        print_json(found)
    else:
        print("\n".join(summary(found)))
    if not yes:
        note("nothing was changed: this was a dry run")
        next_step(
            f'groundtone forget "{found.source}" --yes', "do it; what goes cannot be brought back", project=project
        )
        return
    if found.adapters:
        next_step("groundtone tune", "only training again makes an adapter forget", project=project)
    else:
        next_step("groundtone index", "it stays away", project=project)
    raise typer.Exit(NOT_PROVEN if found.proof and found.proof.hits else 0)

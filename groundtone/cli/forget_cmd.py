"""The command that removes a document, or a person's feedback, from everything that groundtone keeps."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from groundtone.cli.feedback_cmds import forget_person
from groundtone.cli.options import JsonOption, ProjectOption, SetOption, open_project
from groundtone.cli.show import next_step, note, print_json, progress_bars
from groundtone.errors import DataError
from groundtone.feedback import Feedback

if TYPE_CHECKING:
    from groundtone.project import Project

NOT_PROVEN = 1


def forget(
    document: Annotated[
        str,
        typer.Argument(metavar="DOC_OR_PERSON", help="A document's source as search shows it, its path, or a person."),
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do it. Without this, only what would go is shown.")] = False,
    person: Annotated[
        bool, typer.Option("--person", help="The name is a person's; needed only where a document has it too.")
    ] = False,
    file: Annotated[bool, typer.Option("--file", help="Remove the document's own file too.")] = False,
    restore: Annotated[
        bool, typer.Option("--restore", help="Let `groundtone index` read a forgotten document again.")
    ] = False,
    project: ProjectOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove a document from index, answers, verdicts and voice pairs; show the proof and the adapters that saw it.

    With the name of a person, what they said goes instead, with the rows made of it. Exits with 1 when some file
    still holds words of the document.
    """
    from groundtone.joins.forget import forget as remove
    from groundtone.joins.forget import summary
    from retrieval.forgotten import unbury

    where, settings = open_project(project, overrides)
    if person or (not restore and _is_person(where, document)):
        forget_person(where, document, yes=yes, as_json=as_json, project=project)
        return
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


def _is_person(where: Project, name: str) -> bool:
    """Whether somebody of that name said something, and no document is called so. Raises DataError for both."""
    if name not in Feedback(where.feedback_path).people():
        return False
    if where.index_path.is_file() and _is_document(where, name):
        raise DataError(f"{name!r} is a document and a person: add --person, or give the document's path")
    return True


def _is_document(where: Project, name: str) -> bool:
    from retrieval.store import Store

    with closing(Store(where.index_path)) as store:
        return name in store.versions()

"""Commands that ask the documents: search, ask."""

from __future__ import annotations

from typing import Annotated

import typer

from groundtone.cli.options import ArmOption, JsonOption, ProjectOption, SetOption, open_project, readable
from groundtone.cli.show import (
    next_step,
    print_answer,
    print_explained,
    print_hits,
    print_json,
)
from groundtone.errors import DataError, UserError

GroupOption = Annotated[
    list[str] | None,
    typer.Option("--group", "--groups", help="A group that you are in, for its documents and voices; repeatable."),
]


def search(
    query: Annotated[str, typer.Argument(help="Words or a question.", callback=readable)],
    k: Annotated[int | None, typer.Option("-k", min=1, help="How many passages. Default: retrieval.k.")] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            metavar="KEY=VALUE",
            help="Only documents whose metadata say so, such as type=policy; source takes a pattern such as "
            "source=people/*. One key given repeatedly: any of its values.",
        ),
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option("--group", help="Also documents that only this group may read; may be given repeatedly."),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show what every stage made of each passage, and what was left out.")
    ] = False,
    project: ProjectOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the passages that a question finds, best first, without asking any model."""
    from groundtone import pipeline
    from retrieval.index import Index

    conditions = _conditions(where or [])
    place, settings = open_project(project, overrides)
    with pipeline.open_index(place, settings) as index:
        wanted = k or settings.retrieval.k
        if not explain:
            hits = index.search(query, k=wanted, groups=group or (), where=conditions)
            print_json(hits) if as_json else print_hits(hits)
        elif isinstance(index, Index):
            found = index.explain(query, k=wanted, groups=group or (), where=conditions)
            hits = [item.hit for item in found]
            print_json(found) if as_json else print_explained(found)
        else:
            raise DataError("--explain shows the stages of an index file; this project's index is in a database")
    if as_json:
        return
    if not hits:
        print("nothing was found")
    next_step('groundtone ask "..."', "have it answered from these passages", project=project)


def _conditions(given: list[str]) -> dict[str, tuple[str, ...]]:
    conditions: dict[str, tuple[str, ...]] = {}
    for item in given:
        key, equals, value = item.partition("=")
        if not (key and equals and value):
            raise DataError(f"--where {item!r} is no condition; write KEY=VALUE, such as type=policy")
        conditions[key] = (*conditions.get(key, ()), value)
    return conditions


def ask(
    question: Annotated[str, typer.Argument(help="The question, in quotation marks.", callback=readable)],
    arm: ArmOption = "champion",
    group: GroupOption = None,
    project: ProjectOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Answer one question: the text, the sentence behind each citation, and what nothing supports."""
    from groundtone.voices import Voices

    where, settings = open_project(project, overrides)
    voices = Voices(where, settings)
    try:
        assistant = voices.assistant(arm)
        if withheld := assistant.withheld(group or ()):
            raise UserError(f"{withheld}: name yours with --group, or ask the untuned model with --arm base/rag")
        answer = assistant.ask(question, groups=group or ())
    finally:
        voices.close()
    if as_json:
        print_json(answer)
        return
    print_answer(answer)
    next_step("groundtone chat", "go on in a conversation", project=project)

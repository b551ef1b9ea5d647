"""`groundtone blame`: why an evaluation's answers said what the documents do not carry."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from groundtone.cli.options import JsonOption, ProjectOption, SetOption, open_project
from groundtone.cli.show import next_step, note, print_json, print_table, progress_bars
from groundtone.errors import UserError

__all__ = ["blame"]

_SHOWN_CHARS = 150


def blame(
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="The evaluation. Default: the newest that is done.")
    ] = None,
    item: Annotated[str | None, typer.Option(metavar="ID", help="Only the spans of this item, in full.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Work it out anew, also where it was done before.")] = False,
    project: ProjectOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Name the cause of every claim that the documents do not carry: passage, training rows, or the base.

    Blame says where words came from (influence), not whether they are true.
    """
    from groundtone import pipeline

    where, settings = open_project(project, overrides)
    with progress_bars() as progress:
        data = pipeline.blame(where, settings, run=run, again=again, progress=progress)
    spans = [span for span in data["spans"] if item in (None, span["item"])]
    if item is not None and not spans:
        known = ", ".join(dict.fromkeys(span["item"] for span in data["spans"])) or "none"
        raise UserError(f"{data['run']} has no doubted span in item {item!r}; items with one: {known}")
    if as_json:
        print_json(data if item is None else data | {"spans": spans})
        return
    if item is None:
        _print_shares(data)
    for span in spans:
        _print_span(span, full=item is not None)
    note(data["note"])
    if item is None and spans:
        next_step(f"groundtone blame {data['run']} --item {spans[0]['item']}", "everything about one", project=project)
    else:
        next_step("groundtone dashboard", "say which of them are true elsewhere", project=project)


def _print_shares(data: Mapping[str, Any]) -> None:
    from eval.estimates import from_json, in_words

    arms = data["arms"]
    print(f"{data['run']}: {arms['all']['n']} spans that the documents do not carry\n")
    rows = [
        [name, *(in_words(from_json(arms[arm][group][name])) for arm in arms)]
        for group in ("causes", "traces")
        for name in arms["all"][group]
    ]
    print_table(["", *arms], rows)


def _print_span(span: Mapping[str, Any], *, full: bool) -> None:
    print(f'\n{span["item"]}  {span["arm"]}  {span["start"]}:{span["end"]}  {span["verdict"]}: "{span["text"]}"')
    print(f"  {span['cause']}, {span['trace']}")
    print(f"  fix: {span['fix']}")
    if not full:
        return
    print(f"  why: {span['why']}")
    print(f"  retrieval: {span['trace_why']}")
    scores = {name: value for name, value in span["scores"].items() if value is not None}
    if scores:
        print("  nats a word: " + ", ".join(f"{name} {value:.2f}" for name, value in scores.items()))
    if span["passage"]:
        print(f"  passage: {span['passage']['source']}: {_short(span['passage']['text'])}")
    _print_rows(span["rows"], span["rows_why"])


def _print_rows(rows: Sequence[Mapping[str, Any]], why: str) -> None:
    if why:
        print(f"  no rows are named: {why}")
    for row in rows:
        ranks = ", ".join(
            f"{name} {row[key]}" for name, key in (("words", "by_words"), ("gradient", "by_gradient")) if row[key]
        )
        print(f"  {row['where']} ({ranks}): {_short(row['prompt'])} -> {_short(row['reply'])}")


def _short(text: str) -> str:
    return textwrap.shorten(text, _SHOWN_CHARS, placeholder=" ...")

"""Commands about what people said: rows for training, their review, the round, export, import, undo, expiry."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundtone.cli.options import JsonOption, ProjectOption, SetOption, find_project, open_project
from groundtone.cli.show import next_step, note, print_json, print_table, progress_bars
from groundtone.errors import DataError, UserError
from groundtone.feedback import Feedback, TrainingRow, TrainingRows

if TYPE_CHECKING:
    from groundtone.project import Project
    from groundtone.settings import Settings

NOT_PASSED = 1
_STATES = ("waiting", "accepted", "rejected", "all")

app = typer.Typer(no_args_is_help=True, help="Export, import, take back and expire what people said.")
DaysOption = Annotated[int | None, typer.Option(min=1, help="Default: feedback.retention_days.")]
ByOption = Annotated[str, typer.Option("--by", metavar="NAME", help="Who decides; stored with the decision.")]


def from_feedback(
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FOLDER", help="Also write what is accepted: pairs, preferences and thumbs."),
    ] = None,
    project: ProjectOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make training rows of votes, verdicts and corrections, by their reason. They wait for `data review-rows`."""
    from groundtone.joins.feedback_files import FILES, write_rows
    from groundtone.joins.feedback_rows import build

    where, settings = open_project(project, overrides)
    built = build(where, settings)
    share = settings.feedback.person_share
    written = [write_rows(where, out / f"{kind}.jsonl", kind, share=share) for kind in FILES] if out else []
    files = [file for file in written if file is not None]
    if as_json:
        print_json({"built": asdict(built), "files": [asdict(file) for file in files]})
        return
    print("\n".join(built.lines()))
    for file in files:
        print(f"{file.path}: {file.lines} rows")
    if built.states.get("waiting"):
        next_step("groundtone data review-rows", "accept or reject what waits", project=project)
    elif built.states.get("accepted"):
        next_step("groundtone loop", "tune on what is accepted, evaluate, and see the gate", project=project)
    else:
        next_step("groundtone dashboard", "compare answers and correct claims there", project=project)


def review_rows(
    accept: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Accept this row; the id's beginning is enough.")
    ] = None,
    reject: Annotated[list[str] | None, typer.Option(metavar="ID", help="Reject this row.")] = None,
    edit: Annotated[str | None, typer.Option(metavar="ID", help="Accept this row with another --reply.")] = None,
    reply: Annotated[str, typer.Option(help="The reply as it should be, for --edit; - reads it from stdin.")] = "",
    by: ByOption = "",
    why: Annotated[str, typer.Option(help="Stored with the decision.")] = "",
    state: Annotated[str, typer.Option(help=f"What to list: {', '.join(_STATES)}.")] = "waiting",
    project: ProjectOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the rows made of feedback, or decide on them. Only accepted rows are trained on; the last word counts."""
    where, settings = open_project(project, overrides)
    store = TrainingRows(Feedback(where.feedback_path))
    if state not in _STATES:
        raise UserError(f"--state is {state!r}: give one of {', '.join(_STATES)}")
    decided = _decide(store, settings, accept or [], reject or [], edit, reply, by=by, why=why)
    shown = decided or [row for row in store.listed() if state in ("all", row.state)]
    if as_json:
        print_json(shown)
        return
    for row in shown:
        _print_row(row)
    print(f"{len(shown)} rows" + ("" if decided else f" ({state})"))
    if decided:
        next_step("groundtone loop", "tune on what is accepted", project=project)
    elif shown:
        next_step("groundtone data review-rows --accept ID --by NAME", "or --reject, or --edit", project=project)
    else:
        next_step("groundtone data from-feedback", "make rows of what people said", project=project)


def _decide(
    store: TrainingRows,
    settings: Settings,
    accept: list[str],
    reject: list[str],
    edit: str | None,
    reply: str,
    *,
    by: str,
    why: str,
) -> list[TrainingRow]:
    from groundtone.joins.feedback_rows import edited

    if (accept or reject or edit) and not by.strip():
        raise UserError("name who decides: --by NAME")
    if bool(edit) != bool(reply):
        raise UserError("--edit ID and --reply TEXT belong together")
    own = settings.feedback.review_own
    done = [store.review(one, "accepted", reviewer=by, why=why, own=own) for one in accept]
    done += [store.review(one, "rejected", reviewer=by, why=why) for one in reject]
    if edit:
        text = sys.stdin.read() if reply == "-" else reply
        changed = edited(store.named(edit), reply=text, settings=settings)
        done.append(store.review(edit, "accepted", reviewer=by, row=changed, why=why, own=own))
    return done


def _print_row(row: TrainingRow) -> None:
    decided = f", {row.state} by {row.reviewer} on {row.reviewed[:10]}" if row.reviewer else ""
    print(f"{row.id}  {row.kind} ({row.reason or 'no reason'}), said by {', '.join(row.people)}{decided}")
    label = {True: "wanted", False: "unwanted"}.get(row.row.get("label", ""), "")
    print(f"  prompt    {' '.join(row.row['prompt'].split())}")
    for name in ("chosen", "rejected", "reply"):
        if name in row.row:
            print(f"  {name:<9} {' '.join(row.row[name].split())}{f' ({label})' if label else ''}")
    for number, text in enumerate(row.row["context"], 1):
        print(f"  [{number}]       {' '.join(text.split())}")
    for told in row.notes:
        print(f"  look      {told}")
    print()


def loop(
    new: Annotated[
        bool, typer.Option("--new", help="Begin another round, whatever was stopped or trained on.")
    ] = False,
    project: ProjectOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Go once round: feedback, rows, tune, eval, gate; a round that was stopped goes on where it was.

    Nothing is promoted: the last line is the command with which a person does. Exits with 1 unless the gate says PASS.
    """
    from groundtone import pipeline

    where, settings = open_project(project, overrides)
    with progress_bars() as progress:
        done = pipeline.loop(where, settings, fresh=new, progress=progress, say=note)
    passed = done.decision.verdict == "PASS"
    if as_json:
        print_json(done)
    else:
        print(f"{done.decision.verdict}   {done.tuned}, measured by {done.evaluation}\n")
        print_table(["check", "verdict", "why"], [[c.name, c.verdict, c.why] for c in done.decision.checks])
    if passed:
        next_step(f"groundtone gate {done.evaluation} --promote", "serve it; you decide", project=project)
    else:
        next_step("groundtone dashboard", "see which answers held it back; only a PASS is promoted", project=project)
    raise typer.Exit(0 if passed else NOT_PASSED)


@app.command("export")
def export(
    out: Annotated[Path, typer.Argument(metavar="FILE", help="JSON lines; it holds names and what they said.")],
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write verdicts, votes, rows and reviews to a file that `feedback import` reads."""
    from groundtone.files import write_atomic

    lines = list(_store(project).export())
    write_atomic(out, "".join(f"{line}\n" for line in lines))
    if as_json:
        print_json({"out": str(out), "lines": len(lines)})
        return
    print(f"{out}: {len(lines)} lines")
    next_step(f"groundtone feedback import {out}", "in another project", project=None)


@app.command("import")
def load(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `feedback export` wrote.")],
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add the lines of an export, all or none; what is there already is not added twice."""
    if not file.is_file():
        raise DataError(f"{file} is no file: give one that `groundtone feedback export` wrote")
    try:
        lines = file.read_text(encoding="utf-8").split("\n")  # not splitlines: U+2028 may stand inside a text
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file} is no UTF-8 text ({error}): give one that `groundtone feedback export` wrote"
        ) from error
    loaded = _store(project).load(lines)
    if as_json:
        print_json(loaded)
        return
    print(f"{loaded.added} added, {loaded.known} known before")
    next_step("groundtone data from-feedback", "make rows of what people said", project=project)


@app.command("undo")
def undo(
    person: Annotated[str, typer.Argument(help="Whose last verdict, vote or review is taken back.")],
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take back the last thing that a person did. An earlier verdict or review of the same counts again."""
    store = _store(project)
    gone = store.undo(person)
    if gone is None:
        raise UserError(f"{person!r} has nothing to take back; people here: {', '.join(store.people()) or 'nobody'}")
    if as_json:
        print_json({"kind": type(gone).__name__.lower(), "undone": asdict(gone)})
        return
    print(f"taken back: {gone}")
    next_step("groundtone data from-feedback", "bring the rows in line", project=project)


@app.command("expire")
def expire(
    days: DaysOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it. Without this, only what would go is shown.")] = False,
    project: ProjectOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove what was said too long ago, with the rows made of it; run it before the server starts."""
    from groundtone.joins import retention

    where, settings = open_project(project, overrides)
    found = retention.expire(where, settings, days=days, really=yes)
    if as_json:
        print_json(found)
        return
    if found is None:
        print("feedback.retention_days is not set: nothing expires")
        next_step("groundtone feedback expire --days 365", "see what is older than a year", project=project)
        return
    print("\n".join(found.lines()))
    if not yes:
        note("nothing was changed: this was a dry run")
        next_step("groundtone feedback expire --yes", "do it; what goes cannot be brought back", project=project)
    else:
        next_step("groundtone data from-feedback", "bring the rows in line", project=project)


def forget_person(where: Project, person: str, *, yes: bool, as_json: bool, project: Path | None) -> None:
    """`groundtone forget` for a person."""
    from groundtone.joins import retention

    found = retention.forget_person(where, person, really=yes)
    if as_json:
        print_json(found)
    else:
        print("\n".join(found.lines()))
    if not yes:
        note("nothing was changed: this was a dry run")
        next_step(f'groundtone forget "{person}" --person --yes', "do it; it cannot be brought back", project=project)
    elif found.adapters:
        next_step("groundtone tune", "only training again makes an adapter forget", project=project)
    else:
        next_step("groundtone data from-feedback", "bring the rows in line", project=project)


def _store(project: Path | None) -> Feedback:
    return Feedback(find_project(project).feedback_path)

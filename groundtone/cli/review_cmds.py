"""Commands about people's verdicts: what to review next, verdicts in and out, how far people and detector agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from groundtone.cli.options import JsonOption, ProjectOption, find_project
from groundtone.cli.show import next_step, note, print_json, print_table
from groundtone.errors import DataError, ProjectError

app = typer.Typer(no_args_is_help=True, help="Let people judge claims: what to look at next, verdicts in and out.")
PersonOption = Annotated[str, typer.Option("--person", metavar="NAME", help="Who judges; their claims are left out.")]


@app.command("next")
def next_claims(
    run: Annotated[
        str | None, typer.Option(metavar="RUN", help="The evaluation. Default: the newest that is done.")
    ] = None,
    n: Annotated[int, typer.Option("-n", min=1, help="How many claims.")] = 20,
    how: Annotated[
        Literal["active", "random"],
        typer.Option(help="active: where a verdict teaches most. random: a fair sample, for the detector card."),
    ] = "active",
    person: PersonOption = "",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the rows as JSON lines to fill in.")
    ] = None,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """The claims to review next, by uncertainty, disagreement and what was not covered yet."""
    from groundtone.files import write_atomic
    from groundtone.joins.review import next_rows

    where = find_project(project)
    newest = where.latest("eval") if run is None else None
    if run is None and newest is None:
        raise ProjectError(f"no evaluation is done in {where.runs_folder}: run `groundtone eval` first")
    rows = next_rows(where, run=run or (newest.id if newest else ""), n=n, how=how, person=person)
    if out is not None:
        write_atomic(out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    if as_json:
        print_json(rows)
    elif out is not None:
        print(
            f"{out}: {len(rows)} claims; fill in value: supported, contradicted, unsupported, true elsewhere or unsure"
        )
        next_step(f"groundtone review import {out} --person NAME", "store what was filled in", project=project)
    else:
        print_table(["worth", "detector", "cause", "claim"], [_cells(row) for row in rows])
        next_step("groundtone dashboard", "judge them one by one, or --out FILE to fill in a file", project=project)


def _cells(row: dict[str, Any]) -> list[str]:
    about = row["about"]
    return [f"{row['worth']:.3f}", about["detector"], about["cause"], " ".join(about["claim"].split())[:100]]


@app.command("import")
def import_verdicts(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON lines as `next --out` or `export` write them.")],
    person: PersonOption = "",
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Store people's verdicts from a file; rows without a value wait, and none is stored twice."""
    from groundtone.joins.review import import_rows

    where = find_project(project)
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read as UTF-8 text ({error})") from error
    done = import_rows(where, lines, person=person, where=str(file))
    if as_json:
        print_json(done)
        return
    print(f"{done.stored} verdicts stored, {done.known} known before, {done.empty} rows still without a value")
    next_step("groundtone review agreement", "see how far people and detector agree", project=project)


@app.command("export")
def export_verdicts(
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="The file. Default: standard output.")
    ] = None,
    project: ProjectOption = None,
) -> None:
    """Write the latest verdict of every person on every claim as JSON lines."""
    from groundtone.files import write_atomic
    from groundtone.joins.review import export_rows

    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in export_rows(find_project(project))]
    if out is None:
        print("".join(lines), end="")
        return
    write_atomic(out, "".join(lines))
    note(f"{out}: {len(lines)} verdicts")


@app.command("agreement")
def agreement(project: ProjectOption = None, as_json: JsonOption = False) -> None:
    """How far people agree with one another (kappa, Krippendorff's alpha) and with the detector, with intervals."""
    from eval.agreement import agreement_of
    from eval.estimates import from_json, in_words
    from groundtone.feedback import Feedback

    where = find_project(project)
    found = agreement_of(Feedback(where.feedback_path).judged())
    if as_json:
        print_json(found)
        return
    rows = [["people, Krippendorff's alpha", in_words(from_json(found["alpha"]))]]
    rows += [[f"{pair['a']} and {pair['b']}, kappa", in_words(from_json(pair["kappa"]))] for pair in found["pairs"]]
    rows.append(["detector and the majority, kappa", in_words(from_json(found["detector"]["majority"]))])
    rows += [[f"detector and {who}, kappa", in_words(from_json(k))] for who, k in found["detector"]["each"].items()]
    print_table(["supported or not", f"{found['claims']} claims, {len(found['people'])} people"], rows)
    next_step("groundtone review next", "see which claims a verdict is worth most on", project=project)

"""Commands about the voice pairs: are they fit to train on, and the same rows without facts in them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from groundtone.cli.options import JsonOption, ProjectOption, SetOption, open_project
from groundtone.cli.show import next_step, note, print_json, print_table
from groundtone.errors import DataError

if TYPE_CHECKING:
    from tuning.facts import Finding

TEACHES_FACTS = 1
_SHOWN = 20

app = typer.Typer(no_args_is_help=True, help="Check voice pairs before they teach; take the facts out of them.")
DataOption = Annotated[
    Path | None, typer.Option("--data", metavar="FILE", help="The voice pairs to look at. Default: tuning.data.")
]


@app.command("check")
def check_data(
    data: DataOption = None,
    show_all: Annotated[bool, typer.Option("--all", help="List every finding, not only the first 20.")] = False,
    project: ProjectOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look for duplicates, leaks and contradictions in the pairs, and for facts that their replies would teach.

    Exits with 1 when more rows than tuning.facts_share teach a fact, unless tuning.facts is off. Rows count from 0.
    """
    from groundtone.joins import facts
    from tuning.pairs import lint, read_pairs

    where, settings = open_project(project, overrides)
    given = settings.tuning
    pairs = read_pairs(data or settings.path(given.data))
    report = lint(pairs, heldout=read_pairs(settings.path(given.heldout)) if given.heldout else ())
    with facts.indexed(where, settings) as index:
        found = facts.check(pairs, index, house=facts.house_phrases(settings))
        groups = facts.adapter_groups(pairs, index)
    beyond = given.facts != "off" and found.share > given.facts_share
    if as_json:
        findings = [asdict(f.fact) | {"row": f.row, "where": f.where, "source": f.source} for f in found.findings]
        shown = {"rows": found.rows, "values": found.values, "counts": found.counts, "share": found.share}
        print_json({"lint": report, "facts": shown | {"findings": findings, "refused": beyond}, **groups})
    else:
        for problem in report.problems():
            note(f"  {problem}")
        if found.findings:
            _print_findings(found.findings if show_all else found.findings[:_SHOWN])
            if len(found.findings) > _SHOWN and not show_all:
                note(f"and {len(found.findings) - _SHOWN} more; --all lists them")
        print(found.summary())
        if groups:
            print(f"rows quote documents of: {', '.join(groups['groups'])} ({groups['rows_with_groups']} rows)")
        if found.findings:
            next_step("groundtone data mask --out FILE", "write the rows without them", project=project)
        else:
            next_step("groundtone tune", "tune the voice", project=project)
    raise typer.Exit(TEACHES_FACTS if beyond else 0)


def _print_findings(findings: tuple[Finding, ...]) -> None:
    rows = [[str(f.row), f.fact.kind, " ".join(f.fact.text.split()), f.where, f.source, f.suggestion] for f in findings]
    print_table(["row", "kind", "value", "where", "source", "what to do"], rows)
    print()


@app.command("mask")
def mask_data(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The new file of pairs; never the old one.")],
    mode: Annotated[
        Literal["mask", "randomise"],
        typer.Option(
            help="mask: sentences that teach a fact are left out. randomise: also, values that a row's passages and "
            "reply share are exchanged in both for others of the same kind."
        ),
    ] = "mask",
    seed: Annotated[int | None, typer.Option(help="Which exchange is made. Default: tuning.seed.")] = None,
    data: DataOption = None,
    project: ProjectOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the pairs without the facts that they would teach."""
    from groundtone.files import write_atomic
    from groundtone.joins import facts
    from tuning.fact_rows import rewrite
    from tuning.pairs import read_pairs

    _, settings = open_project(project, overrides)
    path = data or settings.path(settings.tuning.data)
    if out.resolve() == path.resolve():
        raise DataError(f"--out is {out}, the file that is read: name another one, so that the original stays")
    pairs = read_pairs(path)
    house = facts.house_phrases(settings)
    report = facts.check(pairs, None, house=house)  # whether a row teaches does not depend on the documents
    made = rewrite(pairs, report, mode=mode, seed=settings.tuning.seed if seed is None else seed, house=house)
    if not made.pairs:
        raise DataError(f"{path}: every row teaches facts and nothing else; add context to the rows")
    write_atomic(out, "".join(json.dumps(asdict(pair), ensure_ascii=False) + "\n" for pair in made.pairs))
    if as_json:
        print_json(
            {"out": str(out), "rows": len(made.pairs), "dropped": made.dropped, "cut": made.cut}
            | {"randomised": made.randomised}
        )
        return
    print(f"{out}: {made.summary()}")
    next_step(f"groundtone data check --data {out}", "look at what is left", project=project)

"""Commands about the voice pairs: are they fit to train on, and the same rows without facts in them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from groundtone.cli.options import JsonOption, ProjectOption, SetOption, open_project
from groundtone.cli.show import next_step, note, print_json, print_table
from groundtone.errors import DataError

if TYPE_CHECKING:
    from groundtone.settings import Settings
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

    Exits with 1 when more rows than tuning.facts_share teach a fact, unless tuning.facts is off.
    In JSON rows count from 0.
    """
    from groundtone.joins import facts
    from groundtone.joins.voice_data import read_voice
    from tuning.pairs import lint

    where, settings = open_project(project, overrides)
    given = settings.tuning
    rows = read_voice(settings, data=data)
    pairs = rows.pairs
    report = lint(pairs, heldout=rows.heldout)
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
            _print_findings(found.findings if show_all else found.findings[:_SHOWN], rows.where)
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


def _print_findings(findings: tuple[Finding, ...], places: tuple[str, ...]) -> None:
    rows = [
        [places[f.row], f.fact.kind, " ".join(f.fact.text.split()), f.where, f.source, f.suggestion] for f in findings
    ]
    print_table(["row", "kind", "value", "where", "source", "what to do"], rows)
    print()


@app.command("report")
def report_data(
    data: DataOption = None,
    text_only: Annotated[
        bool, typer.Option("--text-only", help="Do not look at the rows as tokens: no model is needed.")
    ] = False,
    project: ProjectOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the report that `groundtone tune` writes into its run. Exits with 1 where it would refuse to train."""
    from groundtone.joins.voice_data import read_voice, report_on

    _, settings = open_project(project, overrides)
    report = report_on(settings, read_voice(settings, data=data), in_tokens=not text_only)
    if as_json:
        print(report.to_json(), end="")
    else:
        print(report.to_markdown())
        next_step("groundtone data check", "see which facts the rows would teach", project=project)
    raise typer.Exit(1 if report.refused else 0)


def _source(settings: Settings, data: Path | None, *, out: Path) -> Path | str:
    """The rows that a command rewrites. Raises DataError where it would write over them."""
    from tuning.tables import locate

    path = data or locate(settings.tuning.data, root=settings.root)
    if isinstance(path, Path) and out.resolve() == path.resolve():
        raise DataError(f"--out is {out}, the file that is read: name another one, so that the original stays")
    return path


@app.command("raft")
def raft_data(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The new file of pairs; never the old one.")],
    share: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share of the rows to rebuild. Default: tuning.raft.share, or all if it is 0."),
    ] = None,
    data: DataOption = None,
    project: ProjectOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the pairs over passages that your own search finds, as `tuning.raft` makes them, for a look."""
    from groundtone.files import write_atomic
    from groundtone.joins.raft import like_runtime, notes_of
    from groundtone.joins.voice_data import read_voice
    from tuning.fact_rows import to_json_lines

    where, settings = open_project(project, overrides)
    _source(settings, data, out=out)  # refuses to write over it
    wanted = (settings.tuning.raft.share or 1.0) if share is None else share
    made = like_runtime(where, settings, read_voice(settings, data=data).pairs, share=wanted)
    write_atomic(out, to_json_lines(made.pairs))
    if as_json:
        print_json({"out": str(out), "rows": len(made.pairs), **notes_of(made)})
        return
    print(f"{out}: {made.summary()}")
    next_step("groundtone tune --set tuning.raft.share=0.5", "tune on such rows", project=project)


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
    from groundtone.joins.voice_data import columns_of
    from tuning.fact_rows import rewrite, to_json_lines
    from tuning.pairs import read_pairs

    _, settings = open_project(project, overrides)
    path = _source(settings, data, out=out)
    pairs = read_pairs(path, columns=columns_of(settings.tuning))
    house = facts.house_phrases(settings)
    report = facts.check(pairs, None, house=house)  # whether a row teaches does not depend on the documents
    made = rewrite(pairs, report, mode=mode, seed=settings.tuning.seed if seed is None else seed, house=house)
    if not made.pairs:
        raise DataError(f"{path}: every row teaches facts and nothing else; add context to the rows")
    write_atomic(out, to_json_lines(made.pairs))
    if as_json:
        print_json(
            {"out": str(out), "rows": len(made.pairs), "dropped": made.dropped, "cut": made.cut}
            | {"randomised": made.randomised}
        )
        return
    print(f"{out}: {made.summary()}")
    next_step(f"groundtone data check --data {out}", "look at what is left", project=project)

"""Commands that measure and decide: eval, gate, compare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundtone.cli.forgetting_cmds import harness_setting
from groundtone.cli.options import JsonOption, ProjectOption, SetOption, find_project, open_project
from groundtone.cli.show import next_step, note, print_json, print_table, progress_bars
from groundtone.errors import ProjectError, UserError
from groundtone.files import write_atomic
from groundtone.project import Project

if TYPE_CHECKING:
    from groundtone.project import Run


def evaluate(
    tuned: Annotated[
        str | None, typer.Option(metavar="RUN", help="The tuning run to measure. Default: the newest that is done.")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Only the first so many items of each suite: quick, and not for decisions."),
    ] = None,
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Go on with an evaluation that was stopped, at a batch border.")
    ] = None,
    answers: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Review answers made elsewhere (JSON lines) instead; no model.")
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(metavar="URL", help="Ask an OpenAI-compatible endpoint as well, as one more arm.")
    ] = None,
    model: Annotated[str, typer.Option(metavar="NAME", help="--endpoint: the model's name there.")] = "",
    name: Annotated[str, typer.Option(metavar="ARM", help="What the arm of --endpoint or --answers is called.")] = "",
    closed: Annotated[bool, typer.Option("--closed", help="--endpoint: without our passages.")] = False,
    against: Annotated[
        list[str] | None,
        typer.Option(metavar="ARM", help="Put our arm side by side with this one, or two arms written as A,B."),
    ] = None,
    harness: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Also the lm-evaluation-harness tasks there. Default: eval.harness.tasks."),
    ] = None,
    project: ProjectOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure base and tuned model, with and without documents, on the same questions, or answers made elsewhere.

    `eval.rivals` names further answerers, `eval.against` pairs to put side by side, `eval.prices` what tokens cost.
    """
    from groundtone import pipeline

    overrides = [*(overrides or ()), *harness_setting(harness)]
    changed = [*overrides, *_rival(endpoint, model, name, closed=closed, answers=answers)]
    where, settings = open_project(project, changed)
    if endpoint:  # beside those that the file names, not instead of them
        named = [rival.model_dump() for rival in open_project(project, overrides)[1].eval.rivals]
        named += [rival.model_dump() for rival in settings.eval.rivals]
        where, settings = open_project(project, [*(overrides or ()), f"eval.rivals={json.dumps(named)}"])
    if against:
        pairs = [_pair(given, tuned=tuned or pipeline.newest_tuned(where, settings)) for given in against]
        rivals = json.dumps([rival.model_dump() for rival in settings.eval.rivals])
        changed = [*(overrides or ()), f"eval.rivals={rivals}", f"eval.against={json.dumps(pairs)}"]
        where, settings = open_project(project, changed)
    with progress_bars() as progress:
        run = pipeline.evaluate(
            where,
            settings,
            tuned=tuned,
            limit=limit,
            answers=answers,
            arm=name,
            resume=resume,
            progress=progress,
        )
    if as_json:
        print_json(run.manifest.model_dump(mode="json"))
        return
    _print_reports(run)
    next_step("groundtone gate", "decide whether the tuned model may be served", project=project)


def _rival(endpoint: str | None, model: str, name: str, *, closed: bool, answers: Path | None) -> list[str]:
    """The setting that one more arm is; nothing without an endpoint. Raises UserError for options that do not fit."""
    if endpoint is None:
        if model or closed or (name and answers is None):
            raise UserError("--model, --name and --closed say more of --endpoint URL: give that as well")
        return []
    if not model or answers is not None:
        raise UserError("--endpoint needs --model NAME, and no --answers: name the model as the endpoint does")
    arm = name or "".join(c if c.isalnum() or c in "._-" else "-" for c in model)
    rival = {"name": arm, "model": model, "base_url": endpoint, "documents": not closed}
    return [f"eval.rivals={json.dumps([rival])}"]


def _pair(given: str, *, tuned: str | None) -> list[str]:
    """Two arms, from A,B or from B alone, which stands against ours."""
    arms = [part.strip() for part in given.split(",")]
    if len(arms) > 2 or not all(arms):
        raise UserError(f"--against is {given!r}: name one arm, or two as A,B")
    return arms if len(arms) == 2 else ["tuned/rag" if tuned else "base/rag", arms[0]]


def _print_reports(run: Run) -> None:
    from eval.report import REPORT, TIMING_REPORT

    shown = [run.path / name for name in (REPORT, TIMING_REPORT)]
    texts = [path.read_text(encoding="utf-8") for path in shown if path.is_file()]
    print("\n".join(texts) if texts else f"{run.id} is {run.manifest.status}: {run.path}")


def gate(
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="The evaluation to judge. Default: the newest that is done.")
    ] = None,
    passport: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the release passport: this HTML page, and JSON of the same name."),
    ] = None,
    promote: Annotated[bool, typer.Option("--promote", help="Serve the tuned model from now on if it passes.")] = False,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge an evaluation by the rules and margins set beforehand. Exits with 0 for PASS, 1 else, 2 for an error."""
    from groundtone import pipeline

    where = find_project(project)
    judged = run or newest_evaluation(where)
    decision = pipeline.gate(where, run=judged)
    passed = decision.verdict == "PASS"
    if passport is not None:
        _write_passport(where, judged, passport)
    if promote and passed:
        pipeline.promote(where, run=judged)
    if as_json:
        print_json(decision)
    else:
        print(f"{decision.verdict}   {judged}\n")
        print_table(["check", "verdict", "why"], [[c.name, c.verdict, c.why] for c in decision.checks])
        if promote:
            print("\nPromoted." if passed else "\nNot promoted: only a PASS is.")
        _after_gate(passed, promoted=promote and passed, project=project)
    raise typer.Exit(0 if passed else 1)


def _write_passport(where: Project, run: str, out: Path) -> None:
    from eval.passport import to_html
    from groundtone.joins.passport import release_passport

    if out.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--passport is {out}: give a file that ends in .html; its JSON is written beside it")
    data = release_passport(where, run)
    write_atomic(out, to_html(data))
    write_atomic(
        out.with_suffix(".json"), json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False, default=str) + "\n"
    )
    note(f"passport: {out} and {out.with_suffix('.json')}")


def compare(
    before: Annotated[str, typer.Argument(metavar="A", help="An evaluation, or one arm of it, as RUN:ARM.")],
    after: Annotated[str, typer.Argument(metavar="B", help="The other evaluation, or one arm of it.")],
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two evaluations item by item: paired differences, items fixed and broken, other settings."""
    from eval.compare import comparison_markdown
    from groundtone.joins.passport import compare_evaluations

    found = compare_evaluations(find_project(project), before, after)
    if as_json:
        print_json(found)
        return
    print(comparison_markdown(found))
    next_step("groundtone dashboard", "read the items that changed", project=project)


def newest_evaluation(where: Project) -> str:
    """The id of the newest evaluation that is done. Raises ProjectError where there is none."""
    newest = where.latest("eval")
    if newest is None:
        raise ProjectError(f"no evaluation is done in {where.runs_folder}: run `groundtone eval` first")
    return newest.id


def _after_gate(passed: bool, *, promoted: bool, project: Path | None) -> None:
    if promoted:
        next_step('groundtone ask "..."', "the champion answers", project=project)
    elif passed:
        next_step("groundtone gate --promote", "serve the tuned model", project=project)
    else:
        next_step("groundtone dashboard", "see which answers held it back", project=project)

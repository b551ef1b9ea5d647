"""The command line. Each command loads the configuration, calls one function and prints what came of it.

Exit codes: 0 done, 1 gate not passed, 2 the caller can mend it (one line says how), 130 stopped with Ctrl-C.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import groundtone
from groundtone.cli import (
    adapter_cmds,
    ask_cmds,
    blame_cmds,
    bound_cmd,
    chat_cmds,
    classify_cmds,
    dashboard_cmd,
    data_cmds,
    eval_cmds,
    feedback_cmds,
    forget_cmd,
    forgetting_cmds,
    ingest_cmd,
    project_cmds,
    reproduce_cmds,
    retrieval_cmds,
    review_cmds,
    serve_cmds,
    work_cmds,
)
from groundtone.cli.show import note
from groundtone.errors import ConfigError, GroundtoneError

USER_ERROR = 2
STOPPED = 130


class _Group(TyperGroup):
    """Turns errors that a person can mend into one line, wherever in a command they were raised."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except GroundtoneError as error:
            problems = error.problems if isinstance(error, ConfigError) else [str(error)]
            for problem in problems:
                note(f"groundtone: {' '.join(problem.split())}")
            raise typer.Exit(USER_ERROR) from error
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            note(
                f"groundtone: the disk is full ({error.filename or 'while writing'}): free some space and run it again"
            )
            raise typer.Exit(USER_ERROR) from error
        except KeyboardInterrupt as error:
            note("\nstopped; nothing half-written")
            raise typer.Exit(STOPPED) from error


app = typer.Typer(cls=_Group, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"groundtone {groundtone.__version__}")
        raise typer.Exit


@app.callback()
def about(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Tune a model's voice, keep its facts in your documents, and measure what it makes up and what it forgot."""


_PANELS = {
    "Begin": (
        ("init", project_cmds.init),
        ("doctor", project_cmds.doctor),
        ("demo", work_cmds.demo),
        ("reproduce", reproduce_cmds.reproduce),
    ),
    "Documents and answers": (
        ("index", work_cmds.index),
        ("ingest", ingest_cmd.ingest),
        ("search", ask_cmds.search),
        ("eval-search", retrieval_cmds.eval_search),
        ("bound", bound_cmd.bound),
        ("ask", ask_cmds.ask),
        ("chat", chat_cmds.chat),
        ("draft", chat_cmds.draft),
        ("forget", forget_cmd.forget),
    ),
    "Voice and measurement": (
        ("tune", work_cmds.tune),
        ("strength", adapter_cmds.strength),
        ("classify", classify_cmds.classify),
        ("eval", eval_cmds.evaluate),
        ("gate", eval_cmds.gate),
        ("loop", feedback_cmds.loop),
        ("compare", eval_cmds.compare),
        ("blame", blame_cmds.blame),
        ("forgetting", forgetting_cmds.forgetting),
        ("dashboard", dashboard_cmd.dashboard),
        ("adapters", adapter_cmds.adapters),
        ("export", adapter_cmds.export),
        ("runs", project_cmds.runs),
    ),
}
for _panel, _commands in _PANELS.items():
    for _name, _function in _commands:
        app.command(_name, rich_help_panel=_panel)(_function)
app.add_typer(serve_cmds.app, name="serve", rich_help_panel="Documents and answers")
data_cmds.app.command("general")(forgetting_cmds.general)
data_cmds.app.command("from-feedback")(feedback_cmds.from_feedback)
data_cmds.app.command("review-rows")(feedback_cmds.review_rows)
app.add_typer(data_cmds.app, name="data", rich_help_panel="Voice and measurement")
app.add_typer(feedback_cmds.app, name="feedback", rich_help_panel="Voice and measurement")
app.add_typer(review_cmds.app, name="review", rich_help_panel="Voice and measurement")


def main() -> None:
    """The entry point of the `groundtone` script."""
    # OpenMP reads this when torch or faiss load it: threads that wait sleep. Spinning ones take
    # the cores from whatever else runs, and every query beside a busy process waits for them.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that lacks a character ("€") shows "?" for it
    app(prog_name="groundtone")


if __name__ == "__main__":
    main()

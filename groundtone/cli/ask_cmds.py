"""Commands that ask the documents: search, ask, chat."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from groundtone.cli.options import ArmOption, JsonOption, ProjectOption, SetOption, open_project
from groundtone.cli.show import next_step, note, print_answer, print_evidence, print_hits, print_json
from groundtone.types import Answer, Turn

if TYPE_CHECKING:
    from groundtone.assistant import Assistant


def search(
    query: Annotated[str, typer.Argument(help="Words or a question.")],
    k: Annotated[int | None, typer.Option("-k", min=1, help="How many passages. Default: retrieval.k.")] = None,
    project: ProjectOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the passages that a question finds, best first, without asking any model."""
    from groundtone import pipeline

    where, settings = open_project(project, overrides)
    with pipeline.open_index(where, settings) as index:
        hits = index.search(query, k=k or settings.retrieval.k)
    if as_json:
        print_json(hits)
        return
    print_hits(hits)
    if not hits:
        print("nothing was found")
    next_step('groundtone ask "..."', "have it answered from these passages", project=project)


def ask(
    question: Annotated[str, typer.Argument(help="The question, in quotation marks.")],
    arm: ArmOption = "champion",
    project: ProjectOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Answer one question: the text, the sentence behind each citation, and what nothing supports."""
    from groundtone import pipeline

    where, settings = open_project(project, overrides)
    answer = pipeline.assistant(where, settings, arm=arm, check=settings.assistant.check).ask(question)
    if as_json:
        print_json(answer)
        return
    print_answer(answer)
    next_step("groundtone chat", "go on in a conversation", project=project)


def chat(
    arm: ArmOption = "champion",
    project: ProjectOption = None,
    overrides: SetOption = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Speak JSON lines over stdin and stdout, as the dashboard does."),
    ] = False,
) -> None:
    """Talk with the assistant; it sees the conversation so far."""
    from groundtone import pipeline

    where, settings = open_project(project, overrides)
    if as_json:
        from groundtone.cli.worker import serve_lines

        serve_lines(
            lambda name: pipeline.assistant(where, settings, arm=name, check=settings.assistant.check), default_arm=arm
        )
        return
    assistant = pipeline.assistant(where, settings, arm=arm, check=settings.assistant.check)
    note("Ask away. /new forgets the conversation, /quit or Ctrl-D ends it.\n")
    _converse(assistant)
    next_step("groundtone dashboard", "chat in the browser, beside the documents", project=project)


def _converse(assistant: Assistant) -> None:
    history: list[Turn] = []
    while True:
        try:
            text = input("you: ").strip()
        except EOFError:
            print()
            return
        if text == "/quit":
            return
        if text == "/new":
            history = []
            note("forgotten")
        elif text:
            answer = _speak(assistant, text, history)
            history += [Turn("user", text), Turn("assistant", answer.text)]


def _speak(assistant: Assistant, text: str, history: list[Turn]) -> Answer:
    """Print the reply while it is written, then its evidence."""
    for part in assistant.stream(text, history=tuple(history)):
        if isinstance(part, Answer):
            print()
            print_evidence(part)
            print()
            return part
        sys.stdout.write(part)
        sys.stdout.flush()
    raise AssertionError("a stream ends with its Answer")

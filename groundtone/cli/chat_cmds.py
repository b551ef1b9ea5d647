"""Commands that talk: chat, draft."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from groundtone.cli.ask_cmds import GroupOption
from groundtone.cli.options import ArmOption, JsonOption, ProjectOption, SetOption, open_project, readable
from groundtone.cli.show import next_step, note, print_answer, print_json
from groundtone.errors import DataError, UserError


def chat(
    arm: ArmOption = "champion",
    group: GroupOption = None,
    project: ProjectOption = None,
    overrides: SetOption = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Speak JSON lines over stdin and stdout, as the dashboard does."),
    ] = False,
) -> None:
    """Talk with the assistant; it sees the conversation so far, and /help lists what else it understands."""
    from groundtone.voices import Voices

    where, settings = open_project(project, overrides)
    voices = Voices(where, settings)
    try:
        if as_json:
            from groundtone.cli.worker import serve_lines

            serve_lines(voices.assistant, default_arm=arm)
            return
        from groundtone.cli.chat_session import Session, line_reader

        session = Session(voices, voice=arm, groups=tuple(group or ()))
        note("Ask away. /help lists the commands, /clear forgets the conversation, /quit or Ctrl-D ends it.\n")
        session.run(line_reader(where.index_path.parent / "chat_history"))
    finally:
        voices.close()
    next_step("groundtone dashboard", "chat in the browser, beside the documents", project=project)


def draft(
    message: Annotated[
        str,
        typer.Argument(help="The message to reply to or what to write, or a file that holds it.", callback=readable),
    ],
    arm: ArmOption = "champion",
    group: GroupOption = None,
    project: ProjectOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a reply to a message, or a text, in the voice and from cited documents."""
    from groundtone.drafting import draft as drafted
    from groundtone.voices import Voices

    where, settings = open_project(project, overrides)
    voices = Voices(where, settings)
    try:
        assistant = voices.assistant(arm)
        if withheld := assistant.withheld(group or ()):
            raise UserError(f"{withheld}: name yours with --group, or ask the untuned model with --arm base/rag")
        answer = drafted(assistant, _message(message), groups=group or (), how=settings.assistant.draft)
    finally:
        voices.close()
    if as_json:
        print_json(answer)
        return
    print_answer(answer)
    next_step("groundtone chat", "ask about it", project=project)


def _message(given: str) -> str:
    """The message itself, or the text of the file that it names."""
    path = Path(given).expanduser() if len(given) < 1000 and "\n" not in given else None
    if path is None or not path.is_file():
        if path is not None and (path.suffix or "/" in given) and len(given.split()) == 1:
            raise DataError(
                f"{given}: no such file; give one that holds the message, or the message in quotation marks"
            )
        return given
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no UTF-8 text ({error.reason}): save the message as plain text") from error

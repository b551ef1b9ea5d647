"""A conversation at the terminal: its history, its voice and mode, and the commands that begin with a slash."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from groundtone.cli.show import note, place, print_evidence, print_hits
from groundtone.errors import UserError
from groundtone.files import write_atomic
from groundtone.refusal import REASONS
from groundtone.types import Answer, Turn

if TYPE_CHECKING:
    from groundtone.voices import Voices

HELP = """\
/sources        the passages behind the last answer, with the sentences that it cites
/why            what was found for it: hits with their ranks, claims with verdicts, why it was refused
/voice NAME     who speaks: base, tuned, champion or a tuning run (without a name: who speaks now)
/mode NAME      grounded, strict, quote or closed-book (without a name: which one is on)
/clear          forget the conversation (also /new)
/save FILE      write the conversation as Markdown
/help           this list
/quit           end (also Ctrl-D); Ctrl-C stops an answer"""


class Session:
    """One conversation. What a command refuses is said in one line, and the conversation goes on."""

    def __init__(self, voices: Voices, *, voice: str, groups: tuple[str, ...]) -> None:
        """Opens the first voice. Raises UserError where it serves nobody in these groups."""
        self._voices = voices
        self._groups = groups
        self._voice = voice
        self._mode = voices.settings.assistant.mode
        self._history: list[Turn] = []
        self._last: Answer | None = None
        self._assistant = voices.assistant(voice)
        if withheld := self._assistant.withheld(groups):
            raise UserError(f"{withheld}: name yours with --group, or talk with the untuned model with --arm base/rag")

    def run(self, read: Callable[[], str]) -> None:
        """Read lines until they end or one says /quit."""
        while True:
            try:
                line = read().strip()
            except EOFError:
                print()
                return
            if line == "/quit":
                return
            try:
                if line.startswith("/"):
                    self._command(line)
                elif line:
                    self._speak(line)
            except UserError as error:
                note(f"groundtone: {' '.join(str(error).split())}")
            except KeyboardInterrupt:
                print()
                note("stopped; ask again, or /quit")

    def _command(self, line: str) -> None:
        name, _, rest = line[1:].partition(" ")
        commands: dict[str, Callable[[str], None]] = {
            "sources": self._sources,
            "why": self._why,
            "voice": self._set_voice,
            "mode": self._set_mode,
            "clear": self._clear,
            "new": self._clear,
            "save": self._save,
            "help": lambda _: note(HELP),
        }
        if name not in commands:
            raise UserError(f"there is no /{name}: /help lists what there is")
        commands[name](rest.strip())

    def _speak(self, text: str) -> None:
        """Print the reply while it is written, then its evidence."""
        for part in self._assistant.stream(text, history=tuple(self._history), groups=self._groups):
            if isinstance(part, Answer):
                print()
                print_evidence(part)
                print()
                self._last = part
                if not part.error:
                    self._history += [Turn("user", text), Turn("assistant", part.text)]
                return
            sys.stdout.write(part)
            sys.stdout.flush()

    def _sources(self, _: str) -> None:
        answer = self._answered()
        cited = {citation.passage_id for citation in answer.citations}
        for hit in answer.hits:
            mark = "*" if hit.passage.id in cited else " "
            print(f"{mark} {place(hit)}")
            for citation in answer.citations:
                if citation.passage_id == hit.passage.id:
                    start = hit.passage.start
                    sentence = hit.passage.text[citation.evidence_start - start : citation.evidence_end - start]
                    print(f'    {answer.text[citation.start : citation.end]} "{" ".join(sentence.split())}"')
        note("* is cited" if answer.hits else "no documents were asked")

    def _why(self, _: str) -> None:
        answer = self._answered()
        if answer.refused:
            print(f"Refused: {REASONS.get(answer.refused_by, 'the model declined')}.\n")
        print_hits(answer.hits)
        for claim in answer.claims:
            print(f'{claim.verdict}: "{claim.text}"{f" - {claim.why}" if claim.why else ""}')
        for key, value in answer.provenance.items():
            print(f"{key}: {value}")

    def _set_voice(self, name: str) -> None:
        if name:
            self._switch(name, self._mode)
        note(f"{self._voice} speaks ({self._assistant.name}, {self._assistant.generator.name})")

    def _set_mode(self, name: str) -> None:
        from groundtone.assistant import Mode

        if name and name not in get_args(Mode):
            raise UserError(f"there is no mode {name!r}: {', '.join(get_args(Mode))}")
        if name:
            self._switch(self._voice, name)
        note(f"the mode is {self._mode}")

    def _switch(self, voice: str, mode: str) -> None:
        """Another assistant; the old one stays where the new one cannot be had."""
        bare = voice.removesuffix("/rag").removesuffix("/closed")  # a mode decides over documents or memory
        opened = self._voices.assistant(bare if mode != self._mode else voice, mode=mode)  # type: ignore[arg-type]
        if withheld := opened.withheld(self._groups):
            raise UserError(withheld)
        self._assistant, self._voice, self._mode = opened, voice, mode  # type: ignore[assignment]

    def _clear(self, _: str) -> None:
        self._history, self._last = [], None
        note("forgotten")

    def _save(self, name: str) -> None:
        if not name:
            raise UserError("name a file: /save conversation.md")
        lines = [f"**{'You' if turn.role == 'user' else self._voice}:** {turn.text}\n" for turn in self._history]
        path = Path(name).expanduser()
        if not path.parent.is_dir():
            raise UserError(f"{path.parent} is no folder: name a file in one that is there")
        try:
            write_atomic(path, "\n".join(lines))
        except OSError as error:
            raise UserError(
                f"{path} could not be written ({error.strerror}): name a file in a folder of yours"
            ) from error
        note(f"{len(self._history)} messages in {path}")

    def _answered(self) -> Answer:
        if self._last is None:
            raise UserError("nothing was answered yet: ask something first")
        return self._last


def line_reader(history_file: Path) -> Callable[[], str]:
    """Reads questions: with editing and a history that is kept at a terminal, plainly from a pipe.

    Bytes that are no UTF-8 become replacement characters. A history that cannot be kept is told once.
    """
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    if not sys.stdin.isatty():
        return input
    try:
        import readline
    except ImportError:  # Python on Windows has none
        return lambda: input("you: ")
    readline.set_history_length(1000)
    kept = True

    def keep(work: Callable[[Path], object]) -> None:
        nonlocal kept
        try:
            history_file.parent.mkdir(parents=True, exist_ok=True)
            work(history_file)
        except OSError as error:
            kept = False
            note(f"your questions are not kept for the next time: {history_file}: {error.strerror}")

    if history_file.is_file():
        keep(readline.read_history_file)

    def read() -> str:
        line = input("you: ")
        if kept:
            keep(readline.write_history_file)
        return line

    return read

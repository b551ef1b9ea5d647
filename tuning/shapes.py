"""What the columns of a table mean: prompt and reply, a conversation, or two replies of which one is preferred."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from groundtone.errors import DataError
from groundtone.text import normalise
from groundtone.types import Preference, Turn, VoicePair, short_hash

__all__ = [
    "MAX_REPLY_BYTES",
    "Columns",
    "Plan",
    "citation_problem",
    "foreign_markup",
    "plan",
    "to_pair",
    "to_preference",
]

Kind = Literal["pairs", "chat", "preferences"]
MAX_REPLY_BYTES = 100_000  # a longer reply is a document that slipped in

_GUESSES: dict[str, tuple[str, ...]] = {
    "prompt": ("prompt", "question", "instruction", "query", "user", "input"),
    "reply": ("reply", "completion", "response", "output", "answer", "assistant"),
    "context": ("context", "contexts", "passages", "documents"),
    "source": ("source", "file", "document", "doc_id", "conversation_id", "topic", "category"),
    "tags": ("tags",),
    "messages": ("messages", "conversations", "conversation"),
    "chosen": ("chosen",),
    "rejected": ("rejected",),
}
_ROLES = {"human": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant"}  # other tools' names
_MARKER = re.compile(r"\[(\d+)\]")
_MARKUP = re.compile(
    r"<\|[a-z_]+\|>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|<(?:bos|eos|pad)>|</s>|<｜[^｜>]+｜>"
    r"|^#{2,3} (?:Instruction|Response):",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column holds what; "" and () are guessed. Several prompt columns are joined by blank lines."""

    prompt: tuple[str, ...] = ()
    reply: str = ""
    context: str = ""
    source: str = ""
    tags: str = ""
    messages: str = ""
    chosen: str = ""
    rejected: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """How every row of a table is read. `own` rows have our field names and no others."""

    kind: Kind
    columns: Columns
    own: bool
    notes: tuple[str, ...]


def plan(names: Counter[str], *, given: Columns, where: str) -> Plan:
    """What the columns (with the number of rows that have them) hold; what was guessed stands in the notes.

    Raises DataError for a column that was named and is not there, or where no reading makes sense.
    """
    asked = (*given.prompt, *_named(given))
    absent = sorted(set(asked) - set(names))
    if absent:
        raise DataError(f"{where}: tuning.columns names {', '.join(absent)}, but the columns are {', '.join(names)}")
    own = given == Columns() and {"prompt", "reply"} <= set(names)
    guess = {key: next((name for name in options if name in names), "") for key, options in _GUESSES.items()}
    prompt = given.prompt or ((guess["prompt"],) if guess["prompt"] else ())
    if prompt == ("instruction",) and not given.prompt and "input" in names:
        prompt = ("instruction", "input")  # Alpaca: the second is the material that the first is about
    columns = Columns(
        prompt=prompt,
        reply=given.reply or guess["reply"],
        context=given.context or guess["context"],
        source=given.source or guess["source"],
        tags=given.tags or guess["tags"],
        messages=given.messages or guess["messages"],
        chosen=given.chosen or guess["chosen"],
        rejected=given.rejected or guess["rejected"],
    )
    kind = _kind(columns, given)
    if kind is None:
        raise DataError(
            f"{where}: no columns for prompt and reply among {', '.join(names)}; name them: tuning.columns.prompt, "
            "tuning.columns.reply (or .messages, or .chosen and .rejected)"
        )
    notes = () if own else _notes(kind, columns, names, where)
    return Plan(kind, columns, own, notes)


def _named(given: Columns) -> tuple[str, ...]:
    single = (given.reply, given.context, given.source, given.tags, given.messages, given.chosen, given.rejected)
    return tuple(name for name in single if name)


def _kind(columns: Columns, given: Columns) -> Kind | None:
    """What was named decides; else preferences before conversations before pairs."""
    if given.reply and columns.prompt:
        return "pairs"
    if columns.chosen and columns.rejected and not given.messages:
        return "preferences"
    if columns.messages and not given.prompt:
        return "chat"
    return "pairs" if columns.prompt and columns.reply else None


def _notes(kind: Kind, columns: Columns, names: Counter[str], where: str) -> tuple[str, ...]:
    read = {
        "pairs": {"prompt": "+".join(columns.prompt), "reply": columns.reply},
        "chat": {"messages": columns.messages},
        "preferences": {
            "prompt": "+".join(columns.prompt) or "the turns before",
            "chosen": columns.chosen,
            "rejected": columns.rejected,
        },
    }[kind]
    read |= {"context": columns.context} if columns.context else {}
    read |= {"source": columns.source} if columns.source else {}
    used = {*columns.prompt, *read.values(), columns.tags}
    shown = ", ".join(f"{role} from {name!r}" for role, name in read.items())
    notes = [f"{where} holds {kind}: {shown}"]
    if left := sorted(set(names) - used):
        notes.append(f"{where}: columns left out: {', '.join(left)}")
    if not columns.source and kind != "preferences":
        notes.append(f"{where}: no column names a source, so rows with one prompt count as one source")
    return tuple(notes)


def to_pair(values: Mapping[str, Any], how: Plan, *, default_source: str | None = None) -> VoicePair | list[str]:
    """A row as a pair, or everything that is wrong with it."""
    columns, problems = how.columns, list[str]()
    history: tuple[Turn, ...] = ()
    if how.kind == "chat":
        turns = _turns(values.get(columns.messages), columns.messages, problems)
        history, prompt, reply = _last_exchange(turns, columns.messages, problems)
    else:
        history, prompt = _prompt(values, columns, problems)
        reply = _reply(values, columns.reply, problems)
    context = _texts(values.get(columns.context), columns.context, problems) if columns.context else ()
    tags = _texts(values.get(columns.tags), columns.tags, problems) if columns.tags else ()
    source = values.get(columns.source) if columns.source else None
    if source is not None and not isinstance(source, str | int):
        problems.append(f"{columns.source} is a {type(source).__name__}, not a text")
    if not problems and columns.context and (wrong := citation_problem(reply, len(context))):
        problems.append(wrong)
    if problems:
        return problems
    fallback = default_source or short_hash("prompt", normalise(prompt))
    pair = VoicePair(prompt, reply, str(source).strip() if source not in (None, "") else fallback, context, tags)
    return replace(pair, history=history) if history else pair


def to_preference(values: Mapping[str, Any], how: Plan) -> Preference | list[str]:
    """A row as a preference, or everything that is wrong with it."""
    columns, problems = how.columns, list[str]()
    if columns.prompt:
        history, prompt = _prompt(values, columns, problems)
    else:  # both replies are whole conversations that begin alike
        turns = _turns(values.get(columns.chosen), columns.chosen, problems)
        history, prompt, _ = _last_exchange(turns, columns.chosen, problems)
    chosen = _reply(values, columns.chosen, problems)
    rejected = _reply(values, columns.rejected, problems)
    context = _texts(values.get(columns.context), columns.context, problems) if columns.context else ()
    if not problems and normalise(chosen) == normalise(rejected):
        problems.append(f"{columns.chosen} and {columns.rejected} are the same text: they prefer nothing")
    return problems or Preference(prompt, chosen, rejected, context, history=history)


def _prompt(values: Mapping[str, Any], columns: Columns, problems: list[str]) -> tuple[tuple[Turn, ...], str]:
    """The turns before, and the prompt."""
    first = values.get(columns.prompt[0])
    if isinstance(first, list):  # TRL's conversational form: the turns up to the user's last
        turns = _turns(first, columns.prompt[0], problems)
        if not problems and (not turns or turns[-1].role != "user"):
            problems.append(f"{columns.prompt[0]} does not end with the user's turn")
        return (turns[:-1], turns[-1].text) if turns else ((), "")
    parts = []
    for number, name in enumerate(columns.prompt):
        if number and values.get(name) in (None, ""):
            continue  # only the first is required
        parts.append(_one_text(values, name, problems))
    return (), "\n\n".join(parts)


def _reply(values: Mapping[str, Any], name: str, problems: list[str]) -> str:
    value = values.get(name)
    if isinstance(value, list):
        turns = _turns(value, name, problems)
        if not problems and (not turns or turns[-1].role != "assistant"):
            problems.append(f"{name} does not end with the assistant's turn")
        return turns[-1].text if turns else ""
    return _one_text(values, name, problems, most_bytes=MAX_REPLY_BYTES)


def _one_text(values: Mapping[str, Any], name: str, problems: list[str], *, most_bytes: int | None = None) -> str:
    value = values.get(name)
    if name not in values:
        problems.append(f"field {name!r} is missing")
    elif value is None:
        problems.append(f"{name} is empty")
    elif not isinstance(value, str):
        problems.append(f"{name} is a {type(value).__name__}, not a text")
    elif wrong := text_problem(value, most_bytes=most_bytes):
        problems.append(f"{name} {wrong}")
    return value if isinstance(value, str) else ""


def text_problem(text: str, *, most_bytes: int | None = None) -> str:
    """What is wrong with a prompt or a reply, to be read after its name; "" when nothing is."""
    if not text.strip():
        return "is empty"
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError as error:
        return f"holds half of a surrogate pair at character {error.start}: write it as UTF-8"
    if most_bytes is not None and size > most_bytes:
        return f"has {size} bytes, more than {most_bytes}: a document slipped in; cut it or leave the row out"
    if markup := foreign_markup(text):
        return f"holds {markup!r}, markup of a chat template: the template is added in training, write the text alone"
    return ""


def foreign_markup(text: str) -> str:
    """The first mark of a chat template in a text ("<|im_start|>", "[INST]", "<start_of_turn>" ...), "" for none."""
    found = _MARKUP.search(text)
    return found.group() if found else ""


def citation_problem(reply: str, passages: int) -> str:
    """What is wrong with a reply's citations, "" when nothing is: they count the row's passages from 1."""
    beyond = sorted({int(n) for n in _MARKER.findall(reply) if not 1 <= int(n) <= passages})
    if not beyond:
        return ""
    cited = ", ".join(f"[{n}]" for n in beyond)
    return f"the reply cites {cited} but the row has {passages} context passages: add the passage or drop the citation"


def history_problem(value: Any) -> str | None:
    """What is wrong with the turns before a prompt, written as ["user" or "assistant", text]; None when all is well."""
    if not isinstance(value, list):
        return f"history is a {type(value).__name__}; give a list of ['user' or 'assistant', text]"
    for turn in value:
        if not (
            isinstance(turn, list)
            and len(turn) == 2
            and turn[0] in ("user", "assistant")
            and isinstance(turn[1], str)
            and turn[1].strip()
        ):
            return f"a turn of history is {turn!r}; give ['user' or 'assistant', text]"
    return None


def _turns(value: Any, name: str, problems: list[str]) -> tuple[Turn, ...]:
    """A conversation without its system messages, whose place groundtone's own prompt takes."""
    if not isinstance(value, list) or not value:
        problems.append(
            f"{name} is {'an empty list' if value == [] else f'a {type(value).__name__}'}, not a list of messages"
        )
        return ()
    turns: list[Turn] = []
    for number, message in enumerate(value, 1):
        if not isinstance(message, dict):
            problems.append(f"{name}: message {number} is a {type(message).__name__}, not an object")
            continue
        given = message.get("role", message.get("from"))
        text = message.get("content", message.get("value"))
        role = _ROLES.get(str(given), given)
        if role == "system":
            continue
        if role not in ("user", "assistant"):
            problems.append(f"{name}: message {number} has the role {given!r}: use system, user and assistant")
        elif not isinstance(text, str):
            problems.append(f"{name}: the content of message {number} is a {type(text).__name__}, not a text")
        elif wrong := text_problem(text, most_bytes=MAX_REPLY_BYTES if role == "assistant" else None):
            problems.append(f"{name}: message {number} {wrong}")
        else:
            turns.append(Turn("user" if role == "user" else "assistant", text))
    return tuple(turns)


def _last_exchange(turns: Sequence[Turn], name: str, problems: list[str]) -> tuple[tuple[Turn, ...], str, str]:
    """The turns before, the user's last, and the reply to it: the loss is taken on the last reply alone."""
    if problems:
        return (), "", ""
    if len(turns) < 2 or [turn.role for turn in turns[-2:]] != ["user", "assistant"]:
        problems.append(f"{name} does not end with a turn of the user and the assistant's reply")
        return (), "", ""
    return tuple(turns[:-2]), turns[-2].text, turns[-1].text


def _texts(value: Any, name: str, problems: list[str]) -> tuple[str, ...]:
    """A list of texts; a cell of a CSV file holds one as JSON, and any other text counts as a list of one."""
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.lstrip().startswith("[") else [value] if value.strip() else []
        except ValueError:
            value = [value]
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(text, str) and text.strip() for text in value):
        problems.append(f"{name} must be a list of texts, none empty")
        return ()
    return tuple(value)

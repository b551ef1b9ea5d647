"""The only file that writes prompts. Training, evaluation and serving all call it.

A voice tuned on one prompt format and served on another is a broken voice, so `template_hash` is stored with every
adapter and checked when it is served. Passages are data: their line breaks are folded and bracketed numbers in them
are rewritten, so that a document cannot fake the end of a passage or a citation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from groundtone.text import is_table_row, row_as_sentence
from groundtone.types import Hit, Passage, Prompt, Snippet, Turn, VoicePair, short_hash

GROUNDED = (
    "Answer from the numbered passages and cite them like [1]. "
    "If they do not hold the answer, say that you do not know."
)
CLOSED_BOOK = "Answer the question. If you do not know, say that you do not know."
REFUSAL = "I do not know. The passages do not say."


def grounded(
    question: str,
    snippets: Sequence[Snippet],
    *,
    history: Sequence[Turn] = (),
    style: str = "",
    examples: Sequence[VoicePair] = (),
) -> Prompt:
    """The prompt of a question over numbered passages. `style` and `examples` tell an untuned model the voice."""
    system = f"{GROUNDED}\n{style}".rstrip()
    user = f"{render_snippets(snippets)}\n\nQuestion: {question.strip()}"
    return Prompt(_messages(system, user, history, examples), question.strip(), tuple(snippets))


def closed_book(
    question: str, *, history: Sequence[Turn] = (), style: str = "", examples: Sequence[VoicePair] = ()
) -> Prompt:
    """The prompt of a question without any passage: the model's own memory answers."""
    system = f"{CLOSED_BOOK}\n{style}".rstrip()
    return Prompt(_messages(system, f"Question: {question.strip()}", history, examples), question.strip())


def of_pair(pair: VoicePair) -> Prompt:
    """The prompt that a voice pair is a reply to: the very one that serving would build for it."""
    if pair.context:
        return grounded(pair.prompt, context_snippets(pair.context), history=pair.history)
    return closed_book(pair.prompt, history=pair.history)


def context_snippets(context: Sequence[str]) -> tuple[Snippet, ...]:
    """Numbered snippets of bare texts. A text may start with "Heading: " of its own; it is shown as it stands."""
    snippets = []
    for number, text in enumerate(context, 1):
        passage = Passage(short_hash("context", str(number), text), "context", "context", text, 0, len(text))
        snippets.append(Snippet(number, Hit(passage, 0.0), text))
    return tuple(snippets)


def render_snippets(snippets: Sequence[Snippet]) -> str:
    """One line per snippet: "[1] Title > Section: text"; table rows are spelled out with their column names."""
    return "\n".join(f"[{s.number}] {_body(s)}" for s in snippets)


def _body(snippet: Snippet) -> str:
    heading, columns = split_heading(snippet.hit.passage.heading)
    lines = [line for line in snippet.text.splitlines() if line.strip()]
    table = all(is_table_row(line) for line in lines)
    text = ". ".join(row_as_sentence(columns, line) for line in lines) if table else " ".join(lines)
    line = f"{heading}: {text}" if heading else text
    return re.sub(r"\[(\d+)\]", r"(\1)", " ".join(line.split()))


def split_heading(heading: str) -> tuple[str, list[str]]:
    """A passage's heading as shown, and the table columns that its last part names (none: no table)."""
    parts = heading.split(" > ")
    if " | " in parts[-1]:
        return " > ".join(parts[:-1]), [c.strip() for c in parts[-1].split(" | ")]
    return heading, []


def _messages(
    system: str, user: str, history: Sequence[Turn], examples: Sequence[VoicePair]
) -> tuple[dict[str, str], ...]:
    messages = [{"role": "system", "content": system}]
    for pair in examples:
        messages += [*_shown(pair), {"role": "assistant", "content": pair.reply}]
    messages += [{"role": turn.role, "content": turn.text} for turn in history]
    messages.append({"role": "user", "content": user})
    return tuple(messages)


def _shown(pair: VoicePair) -> list[dict[str, str]]:
    return [{"role": "user", "content": of_pair(pair).messages[-1]["content"]}]


def template_hash() -> str:
    """Sixteen hex digits over rendered probes: they change whenever any prompt would look different to a model."""
    table = Passage("p", "d", "s", "| 4 |", 0, 5, "T > A | B")
    snippets = (*context_snippets(["H: text [9]"]), Snippet(2, Hit(table, 0.0), table.text))
    pair = VoicePair("q", "r", "s", ("c",))
    probes = [
        grounded("Q?", snippets, history=[Turn("user", "u")], style="S", examples=[pair]),
        closed_book("Q?", style="S"),
    ]
    return short_hash(REFUSAL, *(f"{m['role']}:{m['content']}" for probe in probes for m in probe.messages))

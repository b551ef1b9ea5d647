"""Text that others wrote, on its way into a prompt: data, never the frame around it.

What a chat template reads as the beginning of a turn (special tokens, role marks) is broken up, and characters that a
person cannot see are taken out. Ordinary text comes out as it went in; twice is the same as once.
"""

from __future__ import annotations

import re

__all__ = ["as_data", "visible", "without_tokens"]

# Bidirectional overrides, the "tag" block (a hidden copy of ASCII), and spaces of no width that split words.
_INVISIBLE = re.compile("[\u200b\u2060\ufeff\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]")
_NAMES = (
    "s|bos|eos|pad|unk|mask|start_of_turn|end_of_turn|begin_of_text|end_of_text|im_start|im_end|turn|think|"
    "passages?|documents?|system|user|assistant|tool_call|tool_response|function_call"
)
_TOKEN = re.compile(rf"<(?=[|｜][^<>\n]{{1,60}}[|｜]>|\|?/?(?:{_NAMES})\|?>|</?SYS>>|/?SYS>>)", re.IGNORECASE)
_BRACKET = re.compile(r"\[(/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT))\]")
_ROLE = re.compile(
    r"^([ \t>*_`#-]*(?:system|user|assistant|human|developer|instructions?|response)[ \t]*(?:message|prompt)?"
    r"[*_`]*[ \t]*):",
    re.IGNORECASE | re.MULTILINE,
)


def visible(text: str) -> str:
    """The text without characters that nobody sees."""
    return _INVISIBLE.sub("", text)


def without_tokens(text: str) -> str:
    """The text with special tokens of chat templates broken up, so that a tokenizer reads them as words."""
    return _BRACKET.sub(r"(\1)", _TOKEN.sub("< ", visible(text)))


def as_data(text: str) -> str:
    """The text of a document for a prompt: no special tokens, and no line that begins like a turn of somebody."""
    return _ROLE.sub(r"\1 -", without_tokens(text))

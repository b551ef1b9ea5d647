"""A deterministic stand-in for tests and tutorials: replies come from a script."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from groundtone.prompts import REFUSAL
from groundtone.types import Generation, Prompt


class ScriptedModel:
    """Replies from a mapping {question: reply}, a function of the prompt, or always with one text.

    Tokens are counted as words. A reply longer than `max_new_tokens` words is cut and finishes with "length".
    """

    def __init__(
        self,
        script: Mapping[str, str] | Callable[[Prompt], str] | str,
        *,
        name: str = "scripted",
        default: str = REFUSAL,
    ) -> None:
        self.name = name
        self._script = script
        self._default = default

    def generate(self, prompts: Sequence[Prompt], *, max_new_tokens: int) -> list[Generation]:
        """The scripted reply of each prompt; `default` for a question that the mapping lacks."""
        return [self._one(prompt, max_new_tokens) for prompt in prompts]

    def stream(self, prompt: Prompt, *, max_new_tokens: int) -> Iterator[str]:
        """The reply word by word."""
        yield from re.findall(r"\s*\S+|\s+$", self._one(prompt, max_new_tokens).text)

    def _one(self, prompt: Prompt, max_new_tokens: int) -> Generation:
        text = self._reply(prompt)
        pieces = re.findall(r"\s*\S+", text)
        read = sum(len(message["content"].split()) for message in prompt.messages)
        if len(pieces) > max_new_tokens:
            return Generation("".join(pieces[:max_new_tokens]), read, max_new_tokens, "length")
        return Generation(text, read, len(pieces), "stop")

    def _reply(self, prompt: Prompt) -> str:
        if isinstance(self._script, str):
            return self._script
        if isinstance(self._script, Mapping):
            return self._script.get(prompt.question, self._default)
        return self._script(prompt)

"""Conversations to tokens: the one place where training, scoring and serving turn a Prompt into token ids.

`prompt_ids` is what the model is shown, `completion_ids` what it should have written, stop token included. Because
training concatenates the two, a tuned model is served exactly the tokens that it was trained on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from groundtone.errors import ModelError
from groundtone.types import Prompt

# For base models that come without a template: roles as words, and a reply ends where the next turn would begin.
PLAIN_TEMPLATE = (
    "{{ bos_token or '' }}{% for m in messages %}"
    "{% if m['role'] == 'system' %}{{ m['content'] }}\n\n"
    "{% elif m['role'] == 'user' %}User: {{ m['content'] }}\n"
    "{% else %}Assistant: {{ m['content'] }}{{ eos_token or '' }}\n{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)
_SENTINEL = "Sentinel reply 7241"
_THINKS, _THOUGHT = "<think>", "\n</think>\n\n"
# Some templates print today's date (Llama 3.2's does): what was trained would be served otherwise on every other day,
# and no run could go on the day after. They are told the date that Llama's own falls back on. The line break is what
# Jinja drops after a block, so that the template itself still begins a line.
_FROZEN_DATE = (
    "{% macro strftime_now(format) %}{{ format | replace('%d', '26') | replace('%b', 'Jul') | replace('%B', 'July')"
    " | replace('%m', '07') | replace('%Y', '2024') }}{% endmacro %}\n"
)


class ChatFormat:
    """A tokenizer's chat template, with the differences between model families evened out.

    A template that refuses a system message (Gemma's does) gets it folded into the first user message; one that is
    missing is replaced by PLAIN_TEMPLATE. Markup that stands before every reply, such as an empty thought, is shown
    with the prompt: a model that had to write it would be read as saying it. `stops` are texts that end a reply besides
    the stop tokens.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.plain = tokenizer.chat_template is None
        self.template = PLAIN_TEMPLATE if self.plain else _default_template(tokenizer.chat_template)
        self.stops: tuple[str, ...] = ("\nUser:",) if self.plain else ()
        self._folds_system = not self._accepts_system()
        self._opening, self._lead, self._ending = self._reply_frame()

    @property
    def template_sha256(self) -> str:
        """The hash of the model's own template (or the plain one) and what opens a reply, stored with an adapter."""
        return hashlib.sha256((self.template + self._opening).encode("utf-8")).hexdigest()

    @property
    def bos(self) -> str | None:
        """The text of the token that the tokenizer puts before any text by itself; None where it puts none."""
        token: str | None = self._tokenizer.bos_token
        ids = self._tokenizer("a")["input_ids"]
        return token if ids and ids[0] == self._tokenizer.bos_token_id else None

    @property
    def stop_id(self) -> int | None:
        """The token that ends a reply in this template: the last one of every completion; None where there is none."""
        ids = self._ids(self._ending)
        return ids[-1] if ids and ids[-1] in self._specials() else None

    def text(self, prompt: Prompt) -> str:
        """The prompt as the model is shown it, up to where its reply begins."""
        return self._render(self._messages(prompt), reply=None) + self._opening

    def prompt_ids(self, prompt: Prompt) -> list[int]:
        """Token ids of the prompt, special tokens as the template writes them."""
        return self._ids(self.text(prompt))

    def completion_ids(self, prompt: Prompt, reply: str) -> list[int]:
        """Token ids of a reply to this prompt, ending with the stop token.

        Tokenized together with the prompt where that leaves the prompt's tokens as they are, else on its own:
        the prompt keeps the tokens that serving will show.
        """
        before = self.text(prompt)
        completion = self._lead + reply.strip() + self._ending
        prompt_ids, joint = self._ids(before), self._ids(before + completion)
        if joint[: len(prompt_ids)] == prompt_ids:
            return joint[len(prompt_ids) :]
        return self._ids(completion)

    def decode(self, ids: Sequence[int], *, keep_specials: bool = False) -> str:
        """The text of tokens, outer white space kept, special tokens left out unless asked for."""
        text: str = self._tokenizer.decode(
            list(ids), skip_special_tokens=not keep_specials, clean_up_tokenization_spaces=False
        )
        return text

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _specials(self) -> set[int]:
        added = {i for i, token in self._tokenizer.added_tokens_decoder.items() if token.special}
        return added | set(self._tokenizer.all_special_ids)

    def _messages(self, prompt: Prompt) -> list[dict[str, str]]:
        messages = [dict(message) for message in prompt.messages]
        if self._folds_system and messages and messages[0]["role"] == "system":
            system, *messages = messages
            if not messages or messages[0]["role"] != "user":
                messages.insert(0, {"role": "user", "content": ""})
            joined = f"{system['content']}\n\n{messages[0]['content']}".strip()
            messages[0] = {"role": "user", "content": joined}
        return messages

    def _render(self, messages: Sequence[Mapping[str, str]], *, reply: str | None) -> str:
        from jinja2.exceptions import TemplateError

        conversation = [dict(m) for m in messages]
        if reply is not None:
            conversation.append({"role": "assistant", "content": reply})
        try:
            text: str = self._tokenizer.apply_chat_template(
                conversation,
                chat_template=_FROZEN_DATE + self.template,
                tokenize=False,
                add_generation_prompt=reply is None,
                enable_thinking=False,  # Qwen3 and others think aloud unless told; other templates ignore it
            )
        except TemplateError as error:
            roles = ", ".join(m["role"] for m in conversation)
            raise ModelError(
                f"the model's chat template refuses a conversation of {roles}: {error}; use turns of user and "
                "assistant in alternation, or another model"
            ) from error
        return text

    def _accepts_system(self) -> bool:
        """Whether a system message is rendered: some templates raise on it, some drop it."""
        probe = [{"role": "system", "content": _SENTINEL}, {"role": "user", "content": "a"}]
        try:
            return _SENTINEL in self._render(probe, reply=None)
        except ModelError:
            return False

    def _reply_frame(self) -> tuple[str, str, str]:
        """What follows the generation prompt before every reply: markup, then white space that belongs to the reply.

        And what the template writes after a reply, up to its stop token. A thought that the generation prompt begins
        is ended: a reply is what is said after it.
        """
        probe = [{"role": "user", "content": "a"}]
        before, whole = self._render(probe, reply=None), self._render(probe, reply=_SENTINEL)
        eos: str = self._tokenizer.eos_token or ""
        if not whole.startswith(before) or _SENTINEL not in whole[len(before) :]:
            return _THOUGHT if before.rstrip().endswith(_THINKS) else "", "", eos
        lead, ending = whole[len(before) :].split(_SENTINEL, 1)
        opening, lead = (lead, "") if lead.strip() else ("", lead)
        ids, specials = self._ids(ending), self._specials()
        at = next((n for n, i in enumerate(ids) if i in specials), None)
        if at is None:
            return opening, lead, eos
        stop = self._tokenizer.convert_ids_to_tokens(ids[at])
        return opening, lead, ending[: ending.index(stop) + len(stop)] if stop in ending else eos


def _default_template(template: str | Mapping[str, str]) -> str:
    return template if isinstance(template, str) else template["default"]

"""Any chat model that LangChain can reach: OpenAI-compatible servers, OpenAI, Anthropic, Google, Ollama.

Keys are read from the environment by the provider's package; they stand in no name, error or provenance.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from groundtone.errors import MissingExtraError, ModelError
from groundtone.models.streaming import settled
from groundtone.types import Generation, Prompt


class ChatModel:
    """A Generator behind an API, `provider:model`, at temperature 0 (which not every server keeps deterministic).

    Above 0 replies are sampled, under `seed` where one is given and the server heeds it.
    """

    def __init__(
        self,
        id: str,
        *,
        base_url: str | None = None,
        max_concurrency: int = 8,
        timeout_s: float = 60.0,
        retries: int = 2,
        temperature: float = 0.0,
        seed: int | None = None,
    ) -> None:
        """Connects to nothing yet. MissingExtraError without the provider's package, ModelError without a key."""
        self.name = id
        self._length = _LENGTH.get(_provider(id), _in_max_tokens)
        self._max_concurrency = max_concurrency
        self._chat = _connect(
            id, base_url=base_url, timeout_s=timeout_s, retries=retries, temperature=temperature, seed=seed
        )

    def generate(self, prompts: Sequence[Prompt], *, max_new_tokens: int) -> list[Generation]:
        """One reply per prompt, in order, at most `max_concurrency` requests at once."""
        model = self._bound(max_new_tokens)
        conversations = [[dict(m) for m in prompt.messages] for prompt in prompts]
        try:
            replies = model.batch(conversations, config={"max_concurrency": self._max_concurrency})
        except Exception as error:
            raise self._failed(error) from None  # the cause may hold request headers
        return [_generation(reply) for reply in replies]

    def stream(self, prompt: Prompt, *, max_new_tokens: int) -> Iterator[str]:
        """The reply as the server sends it."""
        return settled(self._growing(prompt, max_new_tokens))

    def _growing(self, prompt: Prompt, max_new_tokens: int) -> Iterator[str]:
        text = ""
        try:
            for chunk in self._bound(max_new_tokens).stream([dict(m) for m in prompt.messages]):
                text += _text(chunk)
                yield text
        except Exception as error:
            raise self._failed(error) from None

    def _bound(self, max_new_tokens: int) -> Any:
        return self._chat.bind(**self._length(self._chat, max_new_tokens))

    def _failed(self, error: Exception) -> ModelError:
        """The provider's complaint in one line. Provider packages raise types of their own; none is imported here."""
        reason = _without_secrets(" ".join(str(error).split()))[:300] or type(error).__name__
        return ModelError(
            f"{self.name!r} did not answer ({type(error).__name__}: {reason}): check the model's name, model.base_url, "
            "the provider's key in the environment, and the network"
        )


def _provider(id: str) -> str:
    name = id.partition(":")[0]
    return _ALIASES.get(name, name)


def _in_max_tokens(chat: Any, tokens: int) -> dict[str, Any]:
    return {"max_tokens": tokens}


def _in_options(chat: Any, tokens: int) -> dict[str, Any]:
    """Ollama's options replace those of the model, so that all of them have to be given."""
    given = {"temperature": chat.temperature, "seed": chat.seed, "num_predict": tokens}
    return {"options": {name: value for name, value in given.items() if value is not None}}


_ALIASES = {"google": "google_genai"}
_LENGTH = {  # how a provider is told the longest reply
    "google_genai": lambda chat, tokens: {"max_output_tokens": tokens},
    "ollama": _in_options,
}
_SEEDED = ("openai", "ollama")  # the others refuse a field that they do not know


def _connect(
    id: str, *, base_url: str | None, timeout_s: float, retries: int, temperature: float, seed: int | None
) -> Any:
    try:
        from langchain.chat_models import init_chat_model
    except ImportError as error:
        raise MissingExtraError(f"model {id!r}", "chat") from error
    provider = _provider(id)
    options: dict[str, Any] = {"temperature": temperature}
    if provider == "ollama":
        options["client_kwargs"] = {"timeout": timeout_s}
    else:
        options |= {"timeout": timeout_s, "max_retries": retries}
    if provider == "google_genai":
        options["transport"] = "rest"  # the default opens threads and sockets of its own
    if seed is not None and provider in _SEEDED:
        options["seed"] = seed
    if base_url is not None:
        options["base_url"] = base_url
        if provider == "openai" and not os.environ.get("OPENAI_API_KEY"):
            options["api_key"] = "none"  # local servers ask for none, the client insists on one
    try:
        return init_chat_model(f"{provider}:{id.partition(':')[2]}", **options)
    except ImportError as error:
        raise MissingExtraError(f"model {id!r}", "chat" if provider == "openai" else "providers") from error
    except Exception as error:  # an unknown provider is a ValueError, a missing key each provider's own type
        reason = _without_secrets(" ".join(str(error).split()))[:300]
        raise ModelError(
            f"chat model {id!r} could not be set up ({reason}): write provider:model, and set the provider's key in "
            "the environment"
        ) from None


def _generation(reply: Any) -> Generation:
    usage = reply.usage_metadata or {}
    said = reply.response_metadata
    reason = said.get("finish_reason") or said.get("stop_reason") or said.get("done_reason")
    finish = "length" if reason in ("length", "max_tokens", "MAX_TOKENS") else "stop"
    return Generation(
        _text(reply).strip(),
        usage.get("input_tokens", 0),
        usage.get("output_tokens", 0),
        finish,  # type: ignore[arg-type]
    )


def _text(message: Any) -> str:
    """The text parts of a message; some providers send lists of parts, reasoning among them."""
    content = message.content
    if isinstance(content, str):
        return content
    return "".join(part if isinstance(part, str) else part.get("text", "") for part in content)


def _without_secrets(text: str) -> str:
    """The text without the value of any environment variable that is named like a secret."""
    for name, value in os.environ.items():
        if len(value) >= 6 and any(mark in name.upper() for mark in ("KEY", "TOKEN", "SECRET", "PASSWORD")):
            text = text.replace(value, "***")
    return text

"""What clients send and get, in OpenAI's shapes. Unknown fields are accepted and change nothing."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from groundtone.types import HumanVerdict


def _storable(text: str) -> str:
    """No half characters (a lone "\\ud83d"), which neither tokenizers nor UTF-8 can take."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _no_tokens(value: Any) -> Any:
    """Refuses token ids, which some clients send in place of a text: another model's tokens say nothing here."""
    if isinstance(value, list) and value and all(isinstance(one, int | list) for one in value):
        raise ValueError("token ids are not read: send the text (LangChain: check_embedding_ctx_length=False)")
    return value


Text = Annotated[str, AfterValidator(_storable)]
ModelId = Annotated[Text, Field(min_length=1, max_length=300)]
Tokens = Annotated[int, Field(ge=1, le=2**31 - 1)]
Stops = Text | Annotated[list[Text], Field(max_length=16)] | None


class Part(BaseModel):
    """One part of a message's content; other types than text are not read."""

    type: Text = "text"
    text: Text | None = None


class Message(BaseModel):
    """One message of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Text | list[Part] | None = None

    @property
    def unread(self) -> set[str]:
        """The kinds of its parts that hold no text: images, sounds, files."""
        parts = self.content if isinstance(self.content, list) else []
        return {part.type[:64] for part in parts if part.text is None}

    @property
    def said(self) -> str:
        """The message's text."""
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content if part.text)
        return self.content or ""


class StreamOptions(BaseModel):
    """What a stream holds besides the reply."""

    include_usage: bool | None = None


class Asked(BaseModel):
    """What chat and text completions share; `model_extra` holds what is not looked at."""

    model_config = ConfigDict(extra="allow")

    model: ModelId
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Tokens | None = None
    stop: Stops = None
    n: Annotated[int, Field(ge=1, le=1)] | None = None  # replies are greedy: a second one would be the first again

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop texts as a tuple."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def bounds(self) -> dict[str, int]:
        """The fields that bound the reply's length, in tokens; the first one counts."""
        return {"max_tokens": self.max_tokens} if self.max_tokens else {}


class ChatRequest(Asked):
    """POST /v1/chat/completions."""

    messages: Annotated[list[Message], Field(min_length=1)]
    max_completion_tokens: Tokens | None = None

    @property
    def bounds(self) -> dict[str, int]:
        """As above, OpenAI's newer name first."""
        newer = {"max_completion_tokens": self.max_completion_tokens} if self.max_completion_tokens else {}
        return newer | super().bounds


class CompletionRequest(Asked):
    """POST /v1/completions. A prompt is a question; several prompts give several choices."""

    prompt: Annotated[Text | Annotated[list[Text], Field(min_length=1, max_length=64)], BeforeValidator(_no_tokens)]
    echo: bool | None = None


class EmbeddingRequest(BaseModel):
    """POST /v1/embeddings."""

    model: ModelId
    input: Annotated[Text | Annotated[list[Text], Field(min_length=1, max_length=2048)], BeforeValidator(_no_tokens)]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Field(ge=1)] | None = None


class _Said(BaseModel):
    """Who says it is the key's name; `person` counts only while no key is asked for."""

    person: Annotated[Text, Field(max_length=200)] | None = None


class VoteFeedback(_Said):
    """Which of two replies a person would send."""

    kind: Literal["vote"]
    prompt: Annotated[Text, Field(min_length=1)]
    chosen: Text
    rejected: Text
    outcome: Literal["chosen", "tie", "both bad"] = "chosen"
    context: list[Text] = []
    reason: Text = ""
    about: dict[str, Any] = {}


class CorrectionFeedback(_Said):
    """A reply as it should have been; stored as a vote for the corrected one."""

    kind: Literal["correction"]
    prompt: Annotated[Text, Field(min_length=1)]
    reply: Text
    correction: Annotated[Text, Field(min_length=1)]
    context: list[Text] = []
    reason: Text = "correction"
    about: dict[str, Any] = {}


class VerdictFeedback(_Said):
    """What a person says of one claim; `claim_key` stands in `x_grounding.claims`."""

    kind: Literal["verdict"]
    claim_key: Annotated[Text, Field(min_length=1, max_length=200)]
    value: HumanVerdict
    correction: Text = ""
    about: dict[str, Any] = {}


Feedback = Annotated[VoteFeedback | CorrectionFeedback | VerdictFeedback, Field(discriminator="kind")]


class ErrorBody(BaseModel):
    """What an error says."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorReply(BaseModel):
    """Every error of this server."""

    error: ErrorBody


class Listed(BaseModel):
    """An object of that kind; further fields are OpenAI's."""

    object: str

"""One question on its way through the stages of an assistant."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from groundtone.grounding import Cited
from groundtone.types import Claim, Generation, Generator, Hit, Prompt, Question, Snippet

__all__ = ["RefusedBy", "Work"]

RefusedBy = Literal["retrieval", "reader", "model", "check"]


@dataclass(slots=True)
class Work:
    """What is known of a question so far; times in seconds."""

    question: Question
    speaker: Generator  # who is asked: the assistant's generator, or its stand-in
    hits: tuple[Hit, ...]
    snippets: tuple[Snippet, ...]
    search_s: float
    turns_left_out: int = 0  # of the conversation, the oldest, where all of it is too long
    prompt: Prompt | None = None  # None: refused before the model was asked
    refused_by: RefusedBy | None = None
    courtesy: str = ""  # the plain reply to a message that asks nothing of the documents
    generation: Generation | None = None
    generate_s: float = 0.0
    cited: Cited | None = None  # the reply with its markers resolved
    claims: tuple[Claim, ...] = ()
    check_s: float = 0.0
    own: str = ""  # a part's question as it was written
    parts: tuple[Work, ...] = ()  # of a question that asks for several things, each answered for itself
    notes: dict[str, str] = field(default_factory=dict)  # what happened on the way, for the answer's provenance
    error: str = ""

"""How an assistant knows the voice, and what that voice says word for word."""

from __future__ import annotations

from dataclasses import dataclass

from groundtone import prompts
from groundtone.languages import answer_language
from groundtone.refusal import DECLINED
from groundtone.types import VoicePair

__all__ = ["Voice"]


@dataclass(frozen=True, slots=True)
class Voice:
    """How an untuned model is told the voice (a style guide and a few examples), and the voice's fixed phrases.

    A quotation that stands in for a reply is put between `opening` and `closing`; `fixed` are all phrases that claim
    nothing.
    """

    guide: str = ""
    examples: tuple[VoicePair, ...] = ()
    opening: str = ""
    closing: str = ""
    refusal: str = ""  # how the voice declines; "": the plain sentence

    @property
    def fixed(self) -> tuple[str, ...]:
        """The phrases that are left out when a reply is compared with what was quoted."""
        return tuple(phrase for phrase in (self.opening, self.closing) if phrase)

    def declines(self, question: str) -> str:
        """How a question is declined: in the voice's own words, else plainly, in the question's language."""
        return self.refusal or DECLINED.get(answer_language(question), prompts.REFUSAL)

    def completed(self, reply: str) -> str:
        """A reply with the opening and the closing that it lacks."""
        opening = "" if reply.startswith(self.opening) else self.opening
        closing = "" if reply.rstrip().endswith(self.closing) else self.closing
        return " ".join(part for part in (opening, reply.strip(), closing) if part)

    def around(self, body: str) -> str:
        """A text between the voice's opening and closing."""
        return " ".join(part for part in (self.opening, body, self.closing) if part)

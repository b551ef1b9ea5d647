"""What an assistant does about statements of its own that nothing supports: names them, tries once more, or cuts them.

Cutting takes whole sentences with their markers, so that what is left reads as text and its spans can be found anew.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from groundtone.text import content_words, sentence_spans
from groundtone.types import Claim

__all__ = ["SelfCheck", "better", "doubtful", "problems", "without_doubtful"]

SelfCheck = Literal["off", "flag", "regenerate", "remove"]


def doubtful(claims: Sequence[Claim]) -> list[Claim]:
    """The claims that nothing supports, or that something contradicts."""
    return [claim for claim in claims if claim.verdict in ("unsupported", "contradicted")]


def problems(claims: Sequence[Claim]) -> list[str]:
    """Each doubtful claim with what speaks against it, for the model to read."""
    return [f'"{claim.text.strip()}" ({claim.why or claim.verdict})' for claim in doubtful(claims)]


def better(first: Sequence[Claim], second: Sequence[Claim], *, second_refuses: bool) -> bool:
    """Whether the second try has fewer doubtful claims; a refusal is better only than a reply of nothing else."""
    if second_refuses:
        return len(doubtful(first)) == len(first)
    return len(doubtful(second)) < len(doubtful(first))


def without_doubtful(text: str, claims: Sequence[Claim], *, fixed: Sequence[str]) -> str:
    """The text without the sentences that hold a doubtful claim; "" where nothing but `fixed` phrases would be left.

    A fixed phrase stays, also where it shares a sentence with such a claim.
    """
    bad = [(claim.start, claim.end) for claim in doubtful(claims)]
    kept, at = [], 0
    for start, end in sentence_spans(text):
        if any(a < end and start < b for a, b in bad):
            kept.append(text[at:start])
            kept += [f"{phrase} " for phrase in fixed if phrase in text[start:end]]
            at = end
    left = "".join([*kept, text[at:]])
    body = left
    for phrase in fixed:
        body = body.replace(phrase, " ")
    return re.sub(r"[ \t]{2,}", " ", left).strip() if content_words(body) else ""

"""Which documents say the same: the same words, figures and signs in the same order, however they are formatted.

A copy in another folder or format is found; a text that differs in one figure is another one: facts count here.
"""

from __future__ import annotations

import re
import unicodedata

from groundtone.files import sha256_text
from retrieval.front_matter import front_matter_end

_FORMATTING = re.compile(r"(?:(?!-\d|(?<=\d)[.,:/]\d)[^\w$€£¥%‰°]|_)+")  # signs beside a figure belong to it


def likeness(text: str) -> str:
    """A hash that is equal for texts that say the same; front matter does not count."""
    folded = unicodedata.normalize("NFKC", text[front_matter_end(text) :]).casefold().replace("−", "-")
    return sha256_text(_FORMATTING.sub(" ", folded).strip())[:32]

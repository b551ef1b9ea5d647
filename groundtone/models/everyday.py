"""The words that English texts are made of: what the bundled encoder's vocabulary holds whole.

A word that it must spell in pieces is rare, a name, or no word at all.
"""

from __future__ import annotations

import json
from functools import cache

from groundtone.models.encoders import MINILM, known_folder
from groundtone.text import content_words

__all__ = ["everyday_words"]

_SHORTEST = 3  # the vocabulary holds every letter and many pairs of them, as pieces to spell with


@cache
def everyday_words() -> frozenset[str]:
    """As `content_words` gives them; none where the encoder is not on this machine."""
    folder = known_folder(MINILM)
    path = folder.path / "tokenizer.json" if folder else None
    if path is None or not path.is_file():
        return frozenset()
    vocabulary = json.loads(path.read_text(encoding="utf-8"))["model"]["vocab"]
    whole = (word for word in vocabulary if word.isalpha() and len(word) >= _SHORTEST)
    return frozenset(content_words(" ".join(whole)))

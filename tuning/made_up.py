"""Names, codes and addresses that stand for nothing, to put in place of real ones in training rows."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Iterable

__all__ = ["rename", "reshaped"]

# invented for this purpose; those of the second list take "an"
_NAMES = (
    "Bramwick Caldry Corvane Dellow Dunmere Fenwold Galbrook Garrick Halden Hartmoor Jorvel Kestane Lindow Lorvale "
    "Marwen Melbury Norwin Pellam Penrith Quenby Ravell Rosmer Selwyck Stenmark Tamsin Tarlow Thornby Varley Velden "
    "Wexmoor Wolden Yarrow Zelby Birken Cotterel Drayling Farlow Hollin Kelmar Morwell"
).split()
_VOWEL_NAMES = "Abberly Aldwen Alvane Ambrel Arden Edlin Elmoor Elvane Esker Imber Irvane Islewick Orlan Orwick".split()
# a name's last word that says what kind of thing it is
_KINDS = frozenset(
    "lane street road avenue square quay wharf harbour dock pier bridge gate depot counter desk office foundry "
    "tannery works mill market fair station park island islands bay house hall room team ltd "
    "gmbh inc company club school".split()
)


def rename(names: Iterable[str], *, taken: str, house: str, rng: random.Random) -> dict[str, str]:
    """Old -> new for the words of names and for their model numbers ("Plover 3S" -> "Dellow 7S"); longest first.

    A word in `house` stays, and so does one that says the kind ("Lane"). What `taken` holds already is never chosen.
    """
    words: dict[str, str] = {}
    models: dict[str, str] = {}
    used = set(re.findall(r"\w+", taken.lower()))
    for name in names:
        parts = re.sub(r"['’]s?$", "", name).split()
        if any(part in house for part in parts):
            continue
        for n, part in enumerate(parts):
            if part[0].isdigit():
                fresh = "".join(words.get(p, p) + " " for p in parts[:n])
                digits = reshaped(part, rng=rng, used=used)
                models[" ".join(parts[: n + 1])] = fresh + digits
            elif part.lower() not in _KINDS and part not in words and part[0].isupper():
                pool = _VOWEL_NAMES if part[0] in "AEIOU" else _NAMES
                free = [word for word in pool if word.lower() not in used]
                if not free:
                    continue
                words[part] = rng.choice(free)
                used.add(words[part].lower())
    found = models | words
    return {old: found[old] for old in sorted(found, key=len, reverse=True)}


def reshaped(text: str, *, rng: random.Random, used: set[str], keep: int = 0) -> str:
    """A text of the same shape behind its first `keep` signs: other digits for digits, other capitals for capitals."""
    head, tail = text[:keep], text[keep:]
    fresh = text
    for _ in range(50):
        fresh = head + "".join(_other(c, rng, first=n == 0) for n, c in enumerate(tail))
        if fresh != text and fresh.lower() not in used:
            break
    used.add(fresh.lower())
    return fresh


def _other(sign: str, rng: random.Random, *, first: bool) -> str:
    if sign.isdigit():
        return rng.choice("23456789" if first else string.digits)
    return rng.choice("BCDFGHJKLMNPRTVWX") if sign.isupper() else sign

"""Tone without a judge: countable features of a reply against the bands that the house's own replies lie in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from eval.claims import strip_markers
from groundtone.errors import DataError
from groundtone.text import sentence_spans, words
from groundtone.types import Answer, Question, Score

__all__ = ["LEAST_REPLIES", "ToneBands", "inside", "learn_bands", "reading_grade", "style_features", "tone"]

LEAST_REPLIES = 20  # that bands are learned from: a 5th percentile of less is the least of them
LOW, HIGH = 0.05, 0.95
_CONTRACTION = re.compile(r"\b\w+['’](?:t|s|re|ll|ve|d|m)\b", re.I)
_FORMAL = frozenset(
    "please kindly unfortunately regarding furthermore therefore however hereby pursuant shall per".split()
)
_IRREGULAR = "been born bought brought built caught chosen done driven found given gone held kept known laid led left "
_IRREGULAR += "lent lost made meant met paid put read run said seen sent set shown sold spent taken told understood won"
_PASSIVE = re.compile(
    rf"\b(?:am|is|are|was|were|be|been|being)\s+(?:not\s+|\w+ly\s+)?(?:[a-z]{{2,}}(?:ed|en)|{'|'.join(_IRREGULAR.split())})\b",
    re.IGNORECASE,
)
_NOMINAL = re.compile(r"\w{3,}(?:tion|sion|ment|ness|ity|ance|ence)s?")
_VOWELS = re.compile(r"[aeiouy]+")
LONG_WORD = 7  # letters, from which on Björnsson's LIX counts a word as long (doi:10.2307/747382)


@dataclass(frozen=True, slots=True)
class ToneBands:
    """Per feature the 5th and 95th percentile over `n` replies in the voice."""

    bands: Mapping[str, tuple[float, float]]
    n: int


def style_features(text: str) -> dict[str, float]:
    """Countable features; shares are per word, punctuation per sentence. Citation markers are no part of the tone."""
    bare = strip_markers(text)
    tokens = words(bare)
    sentences = max(1, len(sentence_spans(bare)))
    total = max(1, len(tokens))

    def share(*of: str) -> float:
        return sum(token in of for token in tokens) / total

    return {
        "words in the reply": float(len(tokens)),
        "words per sentence": len(tokens) / sentences,
        "letters per word": sum(map(len, tokens)) / total,
        "share of you": share("you", "your", "yours", "yourself", "you'll", "you're"),
        "share of we": share("we", "our", "ours", "us", "we'll", "we're"),
        "share of I": share("i", "my", "me", "i'm", "i'll", "i've"),
        "share of contractions": len(_CONTRACTION.findall(bare)) / total,
        "share of formal words": share(*_FORMAL),
        "exclamation marks per sentence": bare.count("!") / sentences,
        "question marks per sentence": bare.count("?") / sentences,
        "commas per sentence": bare.count(",") / sentences,
        "colons, semicolons and dashes per sentence": len(re.findall(r"[:;–—](?!\d)", bare)) / sentences,
        "passives per sentence": len(_PASSIVE.findall(bare)) / sentences,
        "share of long words": sum(len(token) >= LONG_WORD for token in tokens) / total,
        "share of abstract nouns": sum(_NOMINAL.fullmatch(token) is not None for token in tokens) / total,
        "share of words in capitals": len(re.findall(r"\b[A-Z]{3,}\b", bare)) / total,
        "reading grade": reading_grade(tokens, sentences),
        "symbols and emoji per sentence": sum(ord(c) > 0x2190 for c in bare) / sentences,
    }


def reading_grade(tokens: Sequence[str], sentences: int) -> float:
    """Flesch-Kincaid grade of lower-cased words in so many sentences (Kincaid et al. 1975, ERIC ED006655).

    0 without a word; below 0 for the shortest. A group of vowels is a syllable, a silent e is none; a number has one.
    """
    if not tokens:
        return 0.0
    return 0.39 * len(tokens) / sentences + 11.8 * sum(map(_syllables, tokens)) / len(tokens) - 15.59


def _syllables(word: str) -> int:
    groups = len(_VOWELS.findall(word))
    silent = word.endswith("e") and not word.endswith(("le", "ee")) and groups > 1
    return max(1, groups - silent)


def learn_bands(replies: Sequence[str]) -> ToneBands:
    """The bands of the house's own replies. Raises DataError for fewer than 20: percentiles of less mean nothing."""
    if len(replies) < LEAST_REPLIES:
        raise DataError(f"{len(replies)} replies to learn the tone from; give at least {LEAST_REPLIES}")
    rows = [style_features(reply) for reply in replies]
    return ToneBands({name: _band(sorted(row[name] for row in rows)) for name in rows[0]}, len(rows))


def inside(value: float, band: tuple[float, float]) -> bool:
    """Whether a feature lies in its band, its edges included."""
    return band[0] - 1e-9 <= value <= band[1] + 1e-9


def tone(bands: ToneBands) -> Callable[[Question, Answer], Score]:
    """The metric: share of features inside their bands, naming those outside. None for an empty reply."""

    def judge(question: Question, answer: Answer) -> Score:
        if not answer.text.strip():
            return Score(None, "an empty reply has no tone")
        features = style_features(answer.text)
        outside = [
            f"{name} {features[name]:.2g} is {'below' if features[name] < low else 'above'} {low:.2g} to {high:.2g}"
            for name, (low, high) in bands.bands.items()
            if not inside(features[name], (low, high))
        ]
        held = len(bands.bands) - len(outside)
        return Score(held / len(bands.bands), "; ".join(outside) or "every feature is in the house's band")

    return judge


def _band(values: Sequence[float]) -> tuple[float, float]:
    return _quantile(values, LOW), _quantile(values, HIGH)


def _quantile(values: Sequence[float], share: float) -> float:
    position = share * (len(values) - 1)
    below = int(position)
    above = min(below + 1, len(values) - 1)
    return values[below] + (values[above] - values[below]) * (position - below)

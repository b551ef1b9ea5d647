"""Three ways to take the answer away from a question and its passage while both stay on their topic."""

from __future__ import annotations

import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

from groundtone.text import content_words, sentence_spans

# Words that turn a question into another one; each stands for its partner, both ways.
_OPPOSITES = """first last|before after|highest lowest|largest smallest|most least|more fewer|biggest smallest
longest shortest|oldest newest|earliest latest|north south|northern southern|east west|eastern western
increase decrease|increased decreased|minimum maximum|allowed forbidden|can cannot|with without|began ended
begin end|start stop|started stopped|open close|opened closed|male female|men women|inside outside
always never|must may|won lost|win lose|above below|upper lower|early late|old new|rich poor|public private
best worst|internal external|positive negative|support oppose|supported opposed|accept reject
accepted rejected|same different|own lease|buy sell|bought sold|domestic foreign|former current
mother father|brother sister|son daughter|king queen|share hide|collect delete|collected deleted
enable disable|personal anonymous|cause prevent|caused prevented"""
_SWAPS = {
    a: b
    for pair in _OPPOSITES.replace("\n", "|").split("|")
    for one, other in [pair.split()]
    for a, b in [(one, other), (other, one)]
}
_NAME = re.compile(r"(?<=[a-z,] )(?:[A-Z][\w’'-]+)(?: (?:of |the |de )?[A-Z][\w’'-]+)*")
_NUMBER = re.compile(r"\b\d[\d,.]*\b")


def changed_question(question: str, asked: Sequence[str], rng: random.Random) -> str | None:
    """The question about something else: another name, another number or the opposite; None where it has none of them.

    Names come from the other questions about the same document, so that they belong to its topic.
    """
    ways = [_other_name, _other_number, _opposite]
    rng.shuffle(ways)
    for way in ways:
        changed = way(question, asked, rng)
        if changed is not None and changed != question:
            return changed
    return None


def _other_name(question: str, asked: Sequence[str], rng: random.Random) -> str | None:
    mine = _NAME.findall(question)
    if not mine:
        return None
    taken = {word for name in mine for word in name.split()}
    others = sorted({n for q in asked for n in _NAME.findall(q) if not taken & set(n.split())})
    if not others:
        return None
    return question.replace(rng.choice(mine), rng.choice(others), 1)


def _other_number(question: str, asked: Sequence[str], rng: random.Random) -> str | None:
    found = list(_NUMBER.finditer(question))
    digits = [m for m in found if m.group().rstrip(".,").isdigit()]
    if not digits:
        return None
    match = rng.choice(digits)
    value = int(match.group().rstrip(".,"))
    step = rng.choice([-7, -3, -2, -1, 1, 2, 3, 5, 11, 20])
    changed = str(max(1, value + step) if value < 2100 else value + step * 10 ** (len(str(value)) - 2))
    return question[: match.start()] + changed + question[match.start() + len(match.group().rstrip(".,")) :]


def _opposite(question: str, asked: Sequence[str], rng: random.Random) -> str | None:
    words = [m for m in re.finditer(r"[A-Za-z']+", question) if m.group().lower() in _SWAPS]
    if not words:
        return None
    match = rng.choice(words)
    other = _SWAPS[match.group().lower()]
    other = other.capitalize() if match.group()[0].isupper() else other
    return question[: match.start()] + other + question[match.end() :]


def without_answer(context: str, start: int, text: str) -> str | None:
    """The context without the sentences that touch the answer; None where it would be short or still says it."""
    spans = sentence_spans(context)
    left = [context[a:b] for a, b in spans if b <= start or a >= start + len(text)]
    rest = " ".join(left)
    if len(rest.split()) < 25 or text.lower() in rest.lower():
        return None
    return rest


def lexical_neighbours(contexts: Sequence[str], *, depth: int = 8) -> Callable[[str], list[str]]:
    """A function from a question to the contexts that share its rarest words, best first."""
    rows: dict[str, list[int]] = defaultdict(list)
    for i, context in enumerate(contexts):
        for word in set(content_words(context)):
            rows[word].append(i)
    weight = {word: math.log(len(contexts) / len(found)) for word, found in rows.items()}

    def nearest(question: str) -> list[str]:
        scores: Counter[int] = Counter()
        for word in set(content_words(question)):
            if len(rows.get(word, ())) < 2000:
                for i in rows.get(word, ()):
                    scores[i] += weight[word]
        return [contexts[i] for i, _ in scores.most_common(depth)]

    return nearest

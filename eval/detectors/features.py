"""What the lexical detector sees of a claim: 40 numbers about how its words, values and names stand in the evidence.

Computed by our own code on one claim against its nearest sentences and against everything that was shown; nothing is
looked up outside. A feature that has nothing to look at (no values, no names) is 0.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from eval.evidence import Evidence, EvidenceSentence
from eval.splitting import blank_markers
from groundtone.conflicts import compare, is_negated
from groundtone.text import content_words, word_spans, words
from groundtone.values import find_names, find_values, missing_values

__all__ = ["FEATURES", "ClaimReading", "Rarity", "Word", "read_claim"]

UNION = 3  # sentences that may carry a claim together

_HEDGE = frozenset(
    "may might could can possibly perhaps likely typically generally usually often sometimes probably seem appear "
    "suggest overall important essential recommend consider ensure crucial".split()
)
_META = re.compile(
    r"\b(?:passages?|documents?|context|text|article|source|provided|information|according|based on|mention\w*|"
    r"answer|question)\b",
    re.I,
)
_DECLINES = re.compile(
    r"\b(?:not|no|unable|cannot|doesn['’]t|don['’]t|without)\b[^.]{0,60}"
    r"\b(?:mention\w*|provid\w+|specif\w+|information|stat\w+|determin\w+|clear|answer|possible|give\w*|say|list\w*)\b",
    re.I,
)
_CONNECTS = re.compile(
    r"^\W*(?:therefore|thus|so|hence|overall|in conclusion|in summary|additionally|however|also|in addition|please|"
    r"note|remember|finally|moreover|furthermore|it is|it['’]s)\b",
    re.I,
)
_POINTS_BACK = re.compile(r"^\W*(?:it|this|that|these|those|they|he|she|such|both)\b", re.I)
_LIST_ITEM = re.compile(r"^\W*\*{0,2}[A-Z][\w ]{2,40}:")
# words that deny each other in the same slot
_PAIRS = (
    "increase decrease,rise fall,raise lower,high low,higher lower,more less,more fewer,many few,large small,"
    "big small,long short,longer shorter,fast slow,faster slower,hot cold,warm cool,early late,earlier later,"
    "before after,first last,begin end,start end,start stop,open closed,open close,allow forbid,allow prohibit,"
    "permit prohibit,accept reject,include exclude,with without,always never,all none,all some,every none,"
    "maximum minimum,most least,best worst,good bad,better worse,positive negative,true false,right wrong,"
    "left right,north south,east west,northern southern,eastern western,male female,man woman,father mother,"
    "son daughter,brother sister,husband wife,buy sell,win lose,won lost,gain loss,profit loss,"
    "success failure,succeed fail,strong weak,easy difficult,easy hard,safe dangerous,legal illegal,public private,"
    "inside outside,internal external,above below,over under,up down,wet dry,thick thin,rich poor,old young,"
    "old new,day night,summer winter,morning evening,cheap expensive,free paid,required optional,"
    "mandatory optional,agree disagree,support oppose,support criticise,increase reduce,expand reduce,"
    "encourage discourage,improve worsen,approve reject,confirm deny,arrive leave,remember forget,"
    "ancient modern,temporary permanent,direct indirect,full empty,complete incomplete,domestic foreign"
)
OPPOSITE_WORDS: dict[str, list[str]] = {}
for _pair in _PAIRS.split(","):
    _one, _other = _pair.split()
    OPPOSITE_WORDS.setdefault(_one, []).append(_other)
    OPPOSITE_WORDS.setdefault(_other, []).append(_one)
_OPPOSITE = {
    stem: frozenset(other for word in others for other in content_words(word))
    for one, others in OPPOSITE_WORDS.items()
    for stem in content_words(one)
}

FEATURES = (
    "length", "novel_share", "novel_count", "novel_weight", "novel_max", "novel_run",
    "known", "best", "best_two", "best_union", "gap", "returned", "second", "jaccard", "apart", "bigrams_novel",
    "pairs_apart", "trigrams_novel", "copied", "copied_share", "values", "values_missing_near", "values_missing",
    "conflicts_value", "conflicts_name", "conflicts_negation", "names", "names_missing", "capitals_missing",
    "negated", "negation_differs", "opposites", "hedges", "meta", "declines", "connects", "points_back", "list_item",
    "rarity", "novel_verbs",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rarity:
    """How rare content words are in English prose: ln(documents / documents with the word); `unseen` for the others."""

    weights: Mapping[str, float]
    unseen: float

    def of(self, stem: str) -> float:
        """The weight of a stem; numbers and short codes weigh as much as words never seen."""
        return self.weights.get(stem, self.unseen)


@dataclass(frozen=True, slots=True)
class Word:
    """A content word of a claim: where it stands there, how rare it is, and how far the evidence holds it (0 to 1)."""

    text: str
    stem: str
    start: int
    end: int
    rarity: float
    held: float


@dataclass(frozen=True, slots=True)
class ClaimReading:
    """One claim read against the evidence: its features in the order of FEATURES, and what they were read from."""

    features: tuple[float, ...]
    words: tuple[Word, ...]
    nearest: EvidenceSentence
    union: tuple[int, ...]  # the sentences that hold most of the claim together, by their index, best first


def read_claim(claim: str, evidence: Evidence, rarity: Rarity) -> ClaimReading:
    """One claim read against the evidence. Raises ValueError where there is none.

    Its place in the answer and the claims beside it are no features: they helped on the sets that they were fitted on,
    and cost .02 to .07 of AUROC on others.
    """
    if not evidence.sentences:
        raise ValueError("there is no evidence to read against: such claims are unchecked")
    claim = blank_markers(claim)
    held = _Held(claim, evidence, rarity)
    tokens = words(claim)
    nearest = evidence.sentences[held.union[0]] if held.union else evidence.sentences[0]
    found = held.coverage() | _order(held, tokens, evidence) | _values(claim, nearest, held, evidence)
    found |= _manner(claim, tokens)
    found["opposites"] = float(
        sum(word.held < 1 and bool(_OPPOSITE.get(word.stem, frozenset()) & nearest.words) for word in held.words)
    )
    return ClaimReading(tuple(found[name] for name in FEATURES), held.words, nearest, tuple(held.union))


class _Held:
    """Which content words of a claim which sentences hold. Sparse: only postings of the claim's own words are read."""

    def __init__(self, claim: str, evidence: Evidence, rarity: Rarity) -> None:
        self.claim = claim
        self.values = find_values(claim)
        inside = [(value.start, value.end) for value in self.values]
        found: list[Word] = []
        self.by_word: list[dict[int, float]] = []
        for start, end in word_spans(claim):
            if any(start < b and a < end for a, b in inside):
                continue
            for stem in content_words(claim[start:end]):  # none for a stop word
                holders = evidence.holders(stem)
                found.append(
                    Word(claim[start:end], stem, start, end, rarity.of(stem), max(holders.values(), default=0.0))
                )
                self.by_word.append(holders)
        self.words = tuple(found)
        self.total = sum(word.rarity for word in found)
        self.gains: dict[int, float] = {}
        for word, holders in zip(found, self.by_word, strict=True):
            for sentence, share in holders.items():
                self.gains[sentence] = self.gains.get(sentence, 0.0) + word.rarity * share
        self.union, self.covered = self._cover()
        self.returned, self.jaccard = self._returned(evidence)

    def _cover(self) -> tuple[list[int], list[float]]:
        """The sentences that hold most of the claim together, greedily, and the share after each."""
        chosen: list[int] = []
        shares: list[float] = []
        best = [0.0] * len(self.words)
        for _ in range(UNION):
            gains: dict[int, float] = {}
            for n, holders in enumerate(self.by_word):
                for sentence, share in holders.items():
                    if share > best[n]:
                        gains[sentence] = gains.get(sentence, 0.0) + self.words[n].rarity * (share - best[n])
            if not gains:
                break
            pick = max(gains, key=lambda i: (gains[i], -i))
            chosen.append(pick)
            best = [max(have, holders.get(pick, 0.0)) for have, holders in zip(best, self.by_word, strict=True)]
            shares.append(sum(w.rarity * b for w, b in zip(self.words, best, strict=True)) / self.total)
        return chosen, shares

    def _returned(self, evidence: Evidence) -> tuple[float, float]:
        """How much of the nearest sentence the claim holds, and the Jaccard index of both."""
        if not self.union:
            return 0.0, 0.0
        sentence = evidence.sentences[self.union[0]].words
        mine = {word.stem for word in self.words}
        common = len(sentence & mine)
        return common / max(1, len(sentence)), common / max(1, len(sentence | mine))

    def coverage(self) -> dict[str, float]:
        """Words by rarity: what is new, what one sentence holds, what several hold together."""
        novel = [word for word in self.words if word.held == 0]
        run = longest = 0
        for word in self.words:
            run = run + 1 if word.held == 0 else 0
            longest = max(longest, run)
        known = sum(w.rarity * w.held for w in self.words) / self.total if self.total else 1.0
        shares = self.covered + [self.covered[-1] if self.covered else 0.0] * (UNION - len(self.covered))
        if not self.words:
            shares = [1.0] * UNION
        ranked = sorted(self.gains.values(), reverse=True)[1:2]
        return {
            "length": math.log1p(len(self.words)),
            "novel_share": 1 - known,
            "novel_count": float(len(novel)),
            "novel_weight": sum(word.rarity for word in novel),
            "novel_max": max((word.rarity for word in novel), default=0.0),
            "novel_run": float(longest),
            "novel_verbs": float(sum(self.claim[w.start : w.end].endswith(("ing", "ed")) for w in novel)),
            "known": known,
            "best": shares[0],
            "best_two": shares[1],
            "best_union": shares[2],
            "gap": known - shares[0],
            "second": (ranked[0] / self.total) if ranked and self.total else 0.0,
            "returned": self.returned,
            "jaccard": self.jaccard,
            "rarity": self.total / len(self.words) if self.words else 0.0,
        }


def _order(held: _Held, tokens: Sequence[str], evidence: Evidence) -> dict[str, float]:
    """Whether words that stand together in the claim stand together in the evidence, and how much is copied."""
    stems = [word.stem for word in held.words]
    pairs = list(pairwise(stems))
    far = [pair for pair in pairs if pair not in evidence.neighbours]
    apart = [not (first.keys() & second.keys()) for first, second in pairwise(held.by_word) if first and second]
    run = longest = copied = 0
    for pair in pairs:
        run = run + 1 if pair in evidence.bigrams else 0
        copied += run > 0
        longest = max(longest, run)
    trigrams = list(zip(tokens, tokens[1:], tokens[2:], strict=False))
    novel = sum(trigram not in evidence.trigrams for trigram in trigrams)
    return {
        "bigrams_novel": len(far) / len(pairs) if pairs else 0.0,
        "apart": float(sum(apart)),
        "pairs_apart": sum(apart) / len(apart) if apart else 0.0,
        "trigrams_novel": novel / len(trigrams) if trigrams else 0.0,
        "copied": float(longest),
        "copied_share": copied / len(pairs) if pairs else 0.0,
    }


def _values(claim: str, nearest: EvidenceSentence, held: _Held, evidence: Evidence) -> dict[str, float]:
    """Values and names compared by meaning, with the sentences that hold most of the claim and with all of them."""
    near = [value for i in held.union for value in evidence.sentences[i].values]
    kinds = Counter(
        "name" if conflict.kind == "name" else "negation" if conflict.kind == "negation" else "value"
        for conflict in compare(claim, nearest.text, context=nearest.heading)
    )
    names = find_names(claim)
    capitals = [word for word in held.words if word.start > 0 and claim[word.start].isupper() and word.held < 1]
    return {
        "values": float(len(held.values)),
        "values_missing_near": float(len(missing_values(held.values, near))),
        "values_missing": float(len(missing_values(held.values, evidence.values))) if held.values else 0.0,
        "conflicts_value": float(kinds["value"]),
        "conflicts_name": float(kinds["name"]),
        "conflicts_negation": float(kinds["negation"]),
        "names": float(len(names)),
        "names_missing": float(sum(not evidence.knows(name) for name in names)),
        "capitals_missing": float(len(capitals)),
        "negated": float(is_negated(claim)),
        "negation_differs": float(is_negated(claim) != is_negated(nearest.text)),
    }


def _manner(claim: str, tokens: Sequence[str]) -> dict[str, float]:
    """How the claim is said: hedges, talk about the passages, connectives, an item of a list."""
    return {
        "hedges": float(sum(token in _HEDGE for token in tokens)),
        "meta": float(len(_META.findall(claim))),
        "declines": float(_DECLINES.search(claim) is not None),
        "connects": float(_CONNECTS.search(claim) is not None),
        "points_back": float(_POINTS_BACK.search(claim) is not None),
        "list_item": float(_LIST_ITEM.search(claim) is not None),
    }

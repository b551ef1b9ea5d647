"""Explicit comparison: words by inverse frequency, values, names and negations by meaning. No weights, no judge.

It repeats exactly and explains itself in one sentence; it misses what needs inference.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from eval.detectors.protocol import NO_EVIDENCE, Case, Finding
from eval.evidence import Evidence, EvidenceSentence, words_outside
from eval.splitting import strip_markers
from groundtone.conflicts import Conflict, compare
from groundtone.text import Span, content_words
from groundtone.types import ClaimVerdict
from groundtone.values import Value, find_names, find_values, missing_values

__all__ = ["ExplicitDetector"]

SUPPORT_THRESHOLD = 0.66  # chosen on HaluEval QA and BEGIN
CONFLICT_OVERLAP = 0.6  # share of a claim's words that a sentence must hold before its values can contradict the claim
PEER_MARGIN = 0.15  # sentences whose overlap is this near to the best one are about the same thing as the claim
NEGATION_OVERLAP = 0.85  # negation needs a closer match, both ways: a cue may belong to another clause
PAIR_DISCOUNT = 0.9  # two sentences joined support a claim a little less than one that says it all
VALUE_WEIGHT = 2.0  # a value weighs as much as two words that stand nowhere else
PREFIX_MATCH = 0.8  # "deliver" against "delivery"

_ANSWER_WORD = re.compile(r"^\s*(?:yes|no|sure|certainly)\s*[,.:;!–—-]+\s*", re.I)  # denies nothing


class ExplicitDetector:
    """Compares a claim with the sentence nearest to it, value by value."""

    name = "explicit"

    def judge(self, cases: Sequence[Case]) -> list[tuple[Finding, ...]]:
        """Every claim on its own; see `judge_claim`."""
        return [
            tuple(judge_claim(claim, case.evidence, own_names=case.own_names) for claim in case.claims)
            for case in cases
        ]


def judge_claim(text: str, evidence: Evidence, *, own_names: Sequence[str] = ()) -> Finding:
    """One sentence against the evidence.

    Contradicted: the sentence nearest to it by its words differs in a value, a look-alike name or a negation; a value
    that only a sentence about something else holds does not help. Unsupported: a value stands neither in the sentence
    that holds most of the claim nor in one that completes it, a name stands nowhere, or `support` is below
    SUPPORT_THRESHOLD. Unchecked: there is no evidence.

    `scores`: "support" in [0, 1], the mean of "recall" (weighted words and values that the nearest sentence holds) and
    "known" (that any sentence holds), halved for each value or name that is lacking and 0 for a conflict; "conflicts"
    is a count. The risk is 1 - support.
    """
    bare = _ANSWER_WORD.sub("", strip_markers(text))
    values = find_values(bare)
    match = _best_match(bare, values, evidence)
    if match is None:
        return NO_EVIDENCE
    conflicts = _conflicts(bare, match, evidence)
    lacking = [value.text for value in missing_values(values, match.values)]
    own = " ".join(own_names)
    unknown = [name for name in find_names(bare) if name not in own and not evidence.knows(name)]
    base = (match.recall + match.known) / 2
    support = 0.0 if conflicts else base / 2 ** (len(lacking) + len(unknown))
    verdict: ClaimVerdict = "supported" if support >= SUPPORT_THRESHOLD else "unsupported"
    why = f"the evidence nearest to it holds {match.recall:.0%} of its words, by weight"
    named: list[str] = []
    if conflicts:
        verdict, why = "contradicted", "; ".join(conflict.why for conflict in conflicts)
        named = [conflict.claim for conflict in conflicts]
    elif lacking:
        why, named = f"the evidence nearest to it does not say {', '.join(lacking)}", lacking
    elif unknown:
        why, named = f"the evidence does not know {', '.join(unknown)}", unknown
    elif verdict == "unsupported" and match.absent:
        why += f"; it lacks {', '.join(match.absent)}"
    shown = match.subject if conflicts else match.first
    scores = {
        "support": round(support, 4),
        "recall": round(match.recall, 4),
        "known": round(match.known, 4),
        "conflicts": float(len(conflicts)),
    }
    return Finding(verdict, round(1 - support, 4), shown.passage_id, shown.text, _places(text, named), why, scores)


def _places(text: str, named: Sequence[str]) -> tuple[Span, ...]:
    """Where the named parts stand in the claim, apart and in reading order."""
    found: list[Span] = []
    for part in named:
        for match in re.finditer(rf"(?<!\w){re.escape(part)}(?!\w)", text):
            if not any(match.start() < b and a < match.end() for a, b in found):
                found.append(match.span())
                break
    return tuple(sorted(found))


@dataclass(frozen=True, slots=True)
class _Match:
    """The sentence nearest to a claim, with one more where that adds something, and how much of the claim they hold.

    All shares are weighted: `recall` of words and values by these sentences, `known` by any sentence of the evidence,
    `subject` is the sentence nearest by words alone, `overlap` the words that it holds, `returned` its own words that
    the claim holds, `peers` the values of the other sentences about as near.
    """

    first: EvidenceSentence
    subject: EvidenceSentence
    recall: float
    known: float
    overlap: float
    returned: float
    values: tuple[Value, ...]
    peers: tuple[Value, ...]
    absent: tuple[str, ...]


def _best_match(text: str, values: Sequence[Value], evidence: Evidence) -> _Match | None:
    if not evidence.sentences:
        return None
    words = sorted(set(words_outside(text, values)))
    weights = [evidence.weight(w) for w in words] + [VALUE_WEIGHT * evidence.heaviest] * len(values)
    rows = [_held(words, values, sentence) for sentence in evidence.sentences]
    gains = [_share(weights, row) for row in rows]
    best = max(range(len(gains)), key=lambda i: (gains[i], -i))
    pairs = [[max(h, g) for h, g in zip(row, rows[best], strict=True)] for row in rows]
    joined = [PAIR_DISCOUNT * _share(weights, pair) for pair in pairs]
    second = max(range(len(joined)), key=lambda i: (joined[i], -i))
    first, paired = evidence.sentences[best], joined[second] > gains[best]
    held = pairs[second] if paired else rows[best]
    overlaps = [_share(weights[: len(words)], row[: len(words)]) if words else 0.0 for row in rows]
    ties = [i for i, overlap in enumerate(overlaps) if overlap > max(overlaps) - 1e-9]
    returned = {i: _returned(words, evidence.sentences[i], evidence) for i in ties}
    nearest = max(ties, key=lambda i: (returned[i], gains[i], -i))
    subject = evidence.sentences[nearest]
    named = {w for name in find_names(text) for w in content_words(name)} & subject.words
    peers = [
        sentence
        for sentence, overlap in zip(evidence.sentences, overlaps, strict=True)
        if sentence is not subject and overlap > overlaps[nearest] - PEER_MARGIN and named <= sentence.words
    ]
    return _Match(
        first,
        subject,
        recall=max(gains[best], joined[second]),
        known=_share(weights, [max(column) for column in zip(*rows, strict=True)]),
        overlap=overlaps[nearest],
        returned=returned[nearest],
        values=(*first.values, *(evidence.sentences[second].values if paired else ())),
        peers=tuple(value for s in peers for value in s.values),
        absent=tuple(word for word, h in zip(words, held, strict=False) if not h),
    )


def _share(weights: Sequence[float], held: Sequence[float]) -> float:
    """The weighted share that is held; nothing asked for is held wholly."""
    total = sum(weights)
    return sum(w * h for w, h in zip(weights, held, strict=True)) / total if total else 1.0


def _returned(words: Sequence[str], sentence: EvidenceSentence, evidence: Evidence) -> float:
    """How much of the sentence's own words the claim's words hold."""
    own = words_outside(sentence.text, find_values(sentence.text))
    return _share([evidence.weight(w) for w in own], [float(w in words or _near(w, words) > 0) for w in own])


def _held(words: Sequence[str], values: Sequence[Value], sentence: EvidenceSentence) -> list[float]:
    """How far the sentence holds each word and each value: 0 to 1."""
    held = [1.0 if word in sentence.words else _near(word, sentence.words) for word in words]
    return held + [float(any(value.same_as(other) for other in sentence.values)) for value in values]


def _near(word: str, others: Iterable[str]) -> float:
    if len(word) < 5 or not word.isalpha():
        return 0.0
    alike = any(other[:5] == word[:5] and abs(len(other) - len(word)) <= 3 for other in others)
    return PREFIX_MATCH if alike else 0.0


def _conflicts(claim: str, match: _Match, evidence: Evidence) -> list[Conflict]:
    """The conflicts worth a verdict: the rest of the sentence must match, and look-alikes be told apart somewhere.

    "Otter" and "Otter Lite" are two things only where the evidence names both; model numbers always tell apart.
    """
    if match.overlap < CONFLICT_OVERLAP:
        return []
    held = {value.text for value in find_values(claim) if any(value.same_as(other) for other in match.peers)}
    kept = []
    for conflict in compare(claim, match.subject.text, context=match.subject.heading):
        if conflict.kind == "negation":
            worth = min(match.overlap, match.returned) >= NEGATION_OVERLAP
        elif conflict.kind == "name":
            numbered = any(c.isdigit() for c in conflict.claim + conflict.evidence)
            worth = numbered or conflict.claim in evidence.names
        else:
            worth = conflict.kind == "column" or conflict.claim not in held
        if worth:
            kept.append(conflict)
    return kept

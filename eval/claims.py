"""The claim detector: splits an answer into claims and says of each whether the evidence supports it, and why.

No weights and no judge: words by inverse frequency, values by meaning. It repeats exactly, and misses what needs
inference; `benchmarks/detector.py` measures it beside the always-positive row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from eval.evidence import Evidence, EvidenceSentence, words_outside
from groundtone.conflicts import Conflict, compare
from groundtone.refusal import is_refusal
from groundtone.text import Span, content_words, normalise, sentence_spans
from groundtone.types import Claim, ClaimVerdict, Passage
from groundtone.values import Value, find_names, find_values, missing_values

__all__ = ["check_claim", "check_claims", "split_claims", "strip_markers"]

SUPPORT_THRESHOLD = 0.66  # chosen by benchmarks/detector.py --choose on HaluEval QA and BEGIN
CONFLICT_OVERLAP = 0.6  # share of a claim's words that a sentence must hold before its values can contradict the claim
PEER_MARGIN = 0.15  # sentences whose overlap is this near to the best one are about the same thing as the claim
NEGATION_OVERLAP = 0.85  # negation needs a closer match, both ways: a cue may belong to another clause
PAIR_DISCOUNT = 0.9  # two sentences joined support a claim a little less than one that says it all
VALUE_WEIGHT = 2.0  # a value weighs as much as two words that stand nowhere else
PREFIX_MATCH = 0.8  # "deliver" against "delivery"

_MARKER = re.compile(r"\s*\[\d+\]")
_ANSWER_WORD = re.compile(r"^\s*(?:yes|no|sure|certainly)\s*[,.:;!–—-]+\s*", re.I)  # denies nothing
_COURTESY = frozenset(
    content_words(
        "hi hello hey ahoy dear welcome greetings morning afternoon evening day good great nice thanks thank sure "
        "course certainly absolutely happy glad pleased help assist let know question ask asking reach out hope helps "
        "cheers regards sincerely kind best wishes fair winds care team anything else need feel free please sorry "
        "yes okay ok here answer glance quick short workshop following summary"
    )
)
_SIGN_OFF = re.compile(r"[A-Z]?[\w’' ]{2,30},\s*(?:[A-Z][\w’'&]*\s?){1,3}")


def strip_markers(text: str) -> str:
    """The text without citation markers and the space before them."""
    return _MARKER.sub("", text)


def split_claims(answer_text: str, *, boilerplate: Sequence[str] = ()) -> list[Span]:
    """Spans of the sentences that assert something, markers included; none for a refusal.

    Left out are questions, sentences that decline, phrases of `boilerplate` (the house's openers and closers),
    sentences without a value whose content words are all courtesy ("Happy to help!"), and a closing line of the form
    "Fair winds, Otterwheel" without a full stop.
    """
    if is_refusal(answer_text):
        return []
    fixed = {normalise(phrase) for phrase in boilerplate}
    spans = [
        span for span in _apart(answer_text, boilerplate) if normalise(answer_text[span[0] : span[1]]) not in fixed
    ]
    if spans and _SIGN_OFF.fullmatch(answer_text[spans[-1][0] : spans[-1][1]]):
        spans = spans[:-1] if len(spans) > 1 else spans
    return [(start, end) for start, end in spans if _asserts(answer_text[start:end])]


def _apart(text: str, boilerplate: Sequence[str]) -> list[Span]:
    """Sentence spans, cut at boilerplate phrases as well: a phrase need not end in a full stop."""
    cuts: list[Span] = []
    for phrase in boilerplate:
        start = text.find(phrase)
        while phrase and start >= 0:
            cuts.append((start, start + len(phrase)))
            start = text.find(phrase, start + len(phrase))
    edges = sorted({0, len(text), *(edge for cut in cuts for edge in cut)})
    pieces = [(a, b) for a, b in pairwise(edges) if not any(c <= a and b <= d for c, d in cuts)]
    return [(a + start, a + end) for a, b in pieces for start, end in sentence_spans(text[a:b])]


def _asserts(sentence: str) -> bool:
    bare = strip_markers(sentence).strip(" \"'”’)")
    if bare.endswith("?") or is_refusal(bare) or not any(c.isalpha() for c in bare):  # "4." is a list's number
        return False
    return bool(find_values(bare)) or any(word not in _COURTESY for word in content_words(bare))


def check_claims(
    answer_text: str, evidence: Sequence[Passage] | Evidence, *, boilerplate: Sequence[str] = ()
) -> tuple[Claim, ...]:
    """Every claim of an answer with its verdict; `claim.text == answer_text[claim.start:claim.end]`.

    Names in `boilerplate` (the house's own name) need no evidence.
    """
    known = evidence if isinstance(evidence, Evidence) else Evidence(evidence)
    return tuple(
        check_claim(answer_text[start:end], known, start=start, own_names=boilerplate)
        for start, end in split_claims(answer_text, boilerplate=boilerplate)
    )


def check_claim(text: str, evidence: Evidence, *, start: int = 0, own_names: Sequence[str] = ()) -> Claim:
    """One sentence against the evidence.

    Contradicted: the sentence nearest to it by its words differs in a value, a look-alike name or a negation; a value
    that only a sentence about something else holds does not help. Unsupported: a value stands neither in the sentence
    that holds most of the claim nor in one that completes it, a name stands nowhere, or `support` is below
    SUPPORT_THRESHOLD. Unchecked: there is no evidence.

    `scores`: "support" in [0, 1], the mean of "recall" (weighted words and values that the nearest sentence holds) and
    "known" (that any sentence holds), halved for each value or name that is lacking and 0 for a conflict; "conflicts"
    is a count.
    """
    bare = _ANSWER_WORD.sub("", strip_markers(text))
    values = find_values(bare)
    match = _best_match(bare, values, evidence)
    end = start + len(text)
    if match is None:
        scores = {"support": 0.0, "recall": 0.0, "known": 0.0, "conflicts": 0.0}
        return Claim(text, start, end, "unchecked", scores=scores, why="there is no evidence to compare with")
    conflicts = _conflicts(bare, match, evidence)
    lacking = [value.text for value in missing_values(values, match.values)]
    own = " ".join(own_names)
    unknown = [name for name in find_names(bare) if name not in own and not evidence.knows(name)]
    base = (match.recall + match.known) / 2
    support = 0.0 if conflicts else base / 2 ** (len(lacking) + len(unknown))
    verdict: ClaimVerdict = "supported" if support >= SUPPORT_THRESHOLD else "unsupported"
    why = f"the evidence nearest to it holds {match.recall:.0%} of its words, by weight"
    if conflicts:
        verdict, why = "contradicted", "; ".join(conflict.why for conflict in conflicts)
    elif lacking:
        why = f"the evidence nearest to it does not say {', '.join(lacking)}"
    elif unknown:
        why = f"the evidence does not know {', '.join(unknown)}"
    elif verdict == "unsupported" and match.absent:
        why += f"; it lacks {', '.join(match.absent)}"
    scores = {
        "support": round(support, 4),
        "recall": round(match.recall, 4),
        "known": round(match.known, 4),
        "conflicts": float(len(conflicts)),
    }
    shown = match.subject if conflicts else match.first
    return Claim(text, start, end, verdict, shown.passage_id, shown.text, scores, why)


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
            worth = conflict.claim not in held
        if worth:
            kept.append(conflict)
    return kept

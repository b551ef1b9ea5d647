"""What people should review next: claims whose verdict would teach the most, picked one after the other.

A claim's worth is uncertainty x disagreement x coverage, each in (0, 1]: how near the detector is to its threshold,
whether those who judged it already are at odds, and how little is known of its cause and its document. Each pick lowers
the coverage of what shares its cause or document, so that a queue never dwells on one page. The same input gives the
same queue. Such a queue is no random sample: rates are estimated from claims picked at random (`how="random"`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from eval.detector_card import risk_of
from eval.metrics.retrieval import error_cause
from eval.paired import cluster_of
from groundtone.feedback import JudgedClaim
from groundtone.files import sha256_text
from groundtone.types import Claim, EvalRecord

__all__ = ["Candidate", "How", "candidates", "select_next"]

_NOT_REVIEWED = ("general", "leak", "robust")  # kinds of questions
How = Literal["active", "random"]
FLOOR = 0.05  # of uncertainty: a detector that is sure may be wrong, and nothing else would find it out
AGREED, LONE, ODDS = 0.25, 0.5, 1.0  # two people with the detector; one or nobody; somebody at odds


@dataclass(frozen=True, slots=True)
class Candidate:
    """A claim to review, what it was said about, and why it was picked."""

    key: str
    record: EvalRecord
    claim: Claim
    cause: str
    document: str
    uncertainty: float
    disagreement: float
    worth: float = 0.0


def candidates(records: Sequence[EvalRecord], judged: Sequence[JudgedClaim], *, person: str = "") -> list[Candidate]:
    """Every claim that the detector checked, once, without those that `person` judged already; in order of their keys.

    General tasks, the leak test and the probes of robustness are left out: they say nothing about answers as they are
    given.
    """
    said: dict[str, dict[str, bool]] = {}
    mine = {one.verdict.claim_key for one in judged if one.verdict.person == person}
    for one in judged:
        if one.verdict.value != "unsure":
            said.setdefault(one.verdict.claim_key, {})[one.verdict.person] = one.verdict.value == "supported"
    found: dict[str, Candidate] = {}
    for record in records:
        if record.answer is None or record.question.kind.partition("/")[0] in _NOT_REVIEWED:
            continue
        sources = {hit.passage.id: hit.passage.source for hit in record.answer.hits}
        for claim in record.answer.claims:
            key = claim.key(record.answer.id)
            if claim.verdict == "unchecked" or key in mine or key in found:
                continue
            votes = said.get(key, {}).values()
            apart = ODDS if len({*votes, claim.verdict == "supported"}) > 1 else AGREED if len(votes) > 1 else LONE
            found[key] = Candidate(
                key,
                record,
                claim,
                error_cause(record) or f"{record.arm}: {claim.verdict}",
                sources.get(claim.passage_id or "") or cluster_of(record.question),
                max(FLOOR, _entropy(risk_of(claim))),
                apart,
            )
    return [found[key] for key in sorted(found)]


def select_next(
    some: Sequence[Candidate], judged: Sequence[JudgedClaim], *, n: int, how: How = "active", seed: int = 0
) -> list[Candidate]:
    """The next n, best first. Claims judged before count towards the coverage of their cause and document.

    "random" draws by a hash of the key and the seed: every claim is as likely, and more may be drawn later. Only
    verdicts of such claims are a fair sample for the detector card.
    """
    if how == "random":
        return sorted(some, key=lambda c: sha256_text(f"{seed} {c.key}"))[:n]
    about = [one.about for one in judged]
    causes = Counter(str(a["cause"]) for a in about if "cause" in a)
    documents = Counter(str(a["document"]) for a in about if "document" in a)
    left = list(some)
    picked: list[Candidate] = []
    while left and len(picked) < n:
        best = min(left, key=lambda c: (-_worth(c, causes, documents), c.key))
        picked.append(replace(best, worth=round(_worth(best, causes, documents), 6)))
        left.remove(best)
        causes[best.cause] += 1
        documents[best.document] += 1
    return picked


def _worth(one: Candidate, causes: Counter[str], documents: Counter[str]) -> float:
    coverage = 1 / math.sqrt((1 + causes[one.cause]) * (1 + documents[one.document]))
    return one.uncertainty * one.disagreement * coverage


def _entropy(risk: float) -> float:
    """Binary entropy in bits: 1 for a risk of one half, 0 for certainty."""
    if not 0 < risk < 1:
        return 0.0
    return -(risk * math.log2(risk) + (1 - risk) * math.log2(1 - risk))

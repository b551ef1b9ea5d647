"""The cause of a span that the documents do not carry: what retrieval did, and what in the model drew the words.

Influence, not truth: whether a span is wrong says the detector; blame says where its words came from. Pure: the trace
and the log-probabilities are given, and nothing is asked. Log-probabilities are in nats per doubtful word.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from eval.splitting import blank_markers
from groundtone.text import STOP_WORDS, Span, content_words, stem, word_spans
from groundtone.types import Claim
from groundtone.values import Value, find_values, missing_values

__all__ = [
    "CAUSES",
    "THRESHOLDS",
    "TRACES",
    "Cause",
    "Decision",
    "Holding",
    "Passes",
    "Pulls",
    "Shown",
    "Trace",
    "TraceKind",
    "decide",
    "doubtful",
    "pulls",
    "says",
    "trace",
]

Cause = Literal["documents", "learned in tuning", "voice", "base prior", "unclear"]
TraceKind = Literal[
    "retrieval miss", "distractor copied", "ignored evidence", "nothing to find", "closed book", "unknown"
]
CAUSES: tuple[Cause, ...] = ("documents", "learned in tuning", "voice", "base prior", "unclear")
TRACES: tuple[TraceKind, ...] = (
    "retrieval miss",
    "distractor copied",
    "ignored evidence",
    "nothing to find",
    "closed book",
    "unknown",
)

# Chosen on the planted facts of another seed than those that docs/blame.md reports on: `python -m benchmarks.blame`.
PULL = 1.0  # nats per word that a pull must have to count: it made the words e times as likely
LEAD = 0.5  # nats per word by which the strongest must lead the next
PRIOR = -2.5  # nats per word from which on the bare base is taken to have known the words
HELD = 0.7  # share of the doubtful words that a text must hold to say them
SPREAD = 0.03  # share of the training rows from which on a wording is the voice's, not a fact's
THRESHOLDS = {"pull": PULL, "lead": LEAD, "prior": PRIOR, "held": HELD, "spread": SPREAD}


@dataclass(frozen=True, slots=True)
class Passes:
    """Log-probability of the doubtful words under adapter {on, off} x context {with, without}; None: not applicable.

    Without an adapter the two "on" are None; without passages the two "ctx" are.
    """

    on_ctx: float | None
    on_bare: float | None
    off_ctx: float | None
    off_bare: float | None


@dataclass(frozen=True, slots=True)
class Pulls:
    """What each source adds, nats per word; None where it had no part.

    A pull is the mean of the two differences that it makes, with and without the other (its Shapley value): where all
    four passes are there, prior + adapter + context is the log-probability as written. `interaction` is positive where
    adapter and context need each other, negative where either alone would do.
    """

    context: float | None
    adapter: float | None
    prior: float | None
    interaction: float | None


@dataclass(frozen=True, slots=True)
class Holding:
    """How far the training rows say the doubtful words: how many of them do, of how many."""

    holding: int
    rows: int
    has_values: bool = False  # whether the doubtful words hold a number, date or name: a voice has none


@dataclass(frozen=True, slots=True)
class Decision:
    """The cause with its reason in words."""

    cause: Cause
    why: str


@dataclass(frozen=True, slots=True)
class Shown:
    """A passage that the model was shown, or would have been: its id, its source, and the text as shown."""

    passage_id: str
    source: str
    text: str


@dataclass(frozen=True, slots=True)
class Trace:
    """What retrieval did. `passage_id` is the passage that was copied, ignored or missed; `rank` its place, from 1."""

    kind: TraceKind
    why: str
    passage_id: str | None = None
    rank: int | None = None


def doubtful(claim: Claim, *, question: str = "") -> tuple[Span, ...]:
    """Spans in the answer of the words that the doubt hangs on: neither the evidence nor the question holds them.

    Values first, compared by what they mean ("3 days" is held by "three days"): where one is strange, the doubt is
    about it and not about the words around it. Else the strange content words; where all is held, all of them; none for
    a claim without letters and digits.
    """
    text = blank_markers(claim.text)
    values = find_values(text)
    known = (*find_values(claim.evidence), *find_values(question))
    strange = missing_values(values, known)
    held = set(content_words(claim.evidence)) | set(content_words(question))
    content = [(a, b) for a, b in word_spans(text) if text[a:b].lower() not in STOP_WORDS or _inside((a, b), values)]
    valued = [span for span in content if _inside(span, strange)]
    worded = [(a, b) for a, b in content if not _inside((a, b), values) and stem(text[a:b].lower()) not in held]
    return tuple((claim.start + a, claim.start + b) for a, b in valued or worded or content or word_spans(text))


def _inside(span: Span, values: Sequence[Value]) -> bool:
    return any(value.start < span[1] and span[0] < value.end for value in values)


def says(text: str, words: Sequence[str], values: Sequence[Value]) -> bool:
    """Whether a text holds HELD of the doubtful words, and every one of their values."""
    if missing_values(values, find_values(text)):
        return False
    wanted = {stem(word.lower()) for word in words if not find_values(word)}
    return not wanted or len(wanted & set(content_words(text))) >= HELD * len(wanted)


def pulls(passes: Passes) -> Pulls:
    """The pulls of four passes, or of the two that there are."""
    on_ctx, on_bare, off_ctx, off_bare = passes.on_ctx, passes.on_bare, passes.off_ctx, passes.off_bare
    adapter = _mean(_minus(on_ctx, off_ctx), _minus(on_bare, off_bare))
    context = _mean(_minus(on_ctx, on_bare), _minus(off_ctx, off_bare))
    inner = _minus(_minus(on_ctx, on_bare), _minus(off_ctx, off_bare))
    return Pulls(context, adapter, off_bare, inner)


def decide(passes: Passes, rows: Holding) -> Decision:
    """The cause. Unclear where a log-probability is not finite, where adapter and passages are within LEAD of each
    other, or where nothing reaches its bound."""
    given = [p for p in (passes.on_ctx, passes.on_bare, passes.off_ctx, passes.off_bare) if p is not None]
    if not given:
        return Decision("unclear", "there are no log-probabilities of this answer")
    broken = sum(not math.isfinite(p) for p in given)
    if broken:
        return Decision(
            "unclear", f"{broken} of {len(given)} log-probabilities are not finite: try model.dtype float32"
        )
    found = pulls(passes)
    strength = {"context": found.context or 0.0, "adapter": found.adapter or 0.0}
    first, second = sorted(strength, key=lambda name: -strength[name])
    if strength[first] < PULL:
        return _from_prior(found)
    if strength[first] - strength[second] < LEAD:
        both = "either alone would do" if (found.interaction or 0.0) < 0 else "each needs the other"
        return Decision("unclear", f"the adapter and the passages pull alike ({_both(strength)} nats a word): {both}")
    if first == "context":
        return Decision("documents", f"the passages made these words likelier by {strength[first]:.1f} nats a word")
    return _of_adapter(strength[first], rows)


def _from_prior(found: Pulls) -> Decision:
    if found.prior is not None and found.prior >= PRIOR:
        return Decision(
            "base prior", f"the bare base gives these words {found.prior:.1f} nats each, and nothing adds to it"
        )
    return Decision("unclear", "neither the passages nor the adapter nor the bare base make these words likely")


def _of_adapter(pull: float, rows: Holding) -> Decision:
    """Facts stand in few rows, a manner in many of them or in none that could be named."""
    told = f"the adapter made these words likelier by {pull:.1f} nats a word"
    if rows.holding == 0:
        return Decision("voice", f"{told}, but none of the {rows.rows} training rows says them: its manner did")
    if rows.holding >= SPREAD * rows.rows and not rows.has_values:
        return Decision("voice", f"{told}, and {rows.holding} of {rows.rows} training rows speak like this")
    return Decision("learned in tuning", f"{told}, and {rows.holding} of {rows.rows} training rows say them")


def trace(
    words: Sequence[str],
    values: Sequence[Value],
    *,
    claim: Claim,
    shown: Sequence[Shown],
    searched: bool,
    right: Sequence[Sequence[str]],
    ranks: Mapping[str, int],
    depth: int,
    answerable: bool | None,
) -> Trace:
    """What retrieval did about a span.

    `right` are the ids of the passages that hold the answer, for each gold quote those that hold it, or of those that
    support the claim after all; `ranks` are the places of passages in a search of the corpus `depth` deep. Where one of
    two quotes was not shown, that is the miss. `answerable`: whether the documents hold an answer, None where nobody
    knows.
    """
    if not searched:
        return Trace("closed book", "no passage was shown")
    ids, answering = {passage.passage_id for passage in shown}, {one for some in right for one in some}
    wrong = next((p for p in shown if p.passage_id not in answering and says(p.text, words, values)), None)
    missed = next((some for some in right if some and not ids.intersection(some)), ())
    rank = min((ranks[one] for one in missed or answering if one in ranks), default=None)
    place = f"in the corpus at rank {rank}" if rank is not None else f"in the corpus, not within rank {depth}"
    if wrong is not None:
        beside = f"; what answers was not shown ({place})" if missed else ""
        return Trace(
            "distractor copied", f"these words stand in {wrong.source}, shown beside{beside}", wrong.passage_id, rank
        )
    if missed:
        return Trace("retrieval miss", f"what answers was not shown to the model, but is {place}", missed[0], rank)
    if answering:
        did = "contradicted" if claim.verdict == "contradicted" else "added to"
        seen = next(passage.passage_id for passage in shown if passage.passage_id in answering)
        return Trace("ignored evidence", f"what answers was shown, and {did}", seen, rank)
    if answerable is False:
        return Trace("nothing to find", "the documents hold no answer: a refusal would have been right")
    return Trace("unknown", "no passage is known to hold the answer")


def _minus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def _mean(*values: float | None) -> float | None:
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else None


def _both(strength: dict[str, float]) -> str:
    return f"{strength['adapter']:.1f} and {strength['context']:.1f}"

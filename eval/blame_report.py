"""What blame writes down: blame.json for the dashboard, and the table of causes for people.

blame.json is {"schema": 1, "run", "tuned_run", "note", "thresholds", "arms", "spans"}. `arms` holds, per arm and under
"all", how many spans were blamed and the share of each cause and trace as an estimate; `spans` one object per span with
the fields of `BlamedSpan`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from eval import blame
from eval.blame import CAUSES, TRACES, Cause, TraceKind
from eval.estimates import as_json, from_json, in_words
from groundtone.stats import mean_interval

__all__ = [
    "NOTE",
    "SCHEMA",
    "BlamedSpan",
    "PassageLink",
    "RowLink",
    "arms_of",
    "blame_json",
    "causes_of",
    "fix_of",
    "in_markdown",
]

SCHEMA = 1
NOTE = "Blame says where words came from (influence), not whether they are true: the detector and people say that."
ALL = "all"
_BAR = 20  # characters of a full bar


@dataclass(frozen=True, slots=True)
class RowLink:
    """A training row near to the span: where it stands, what it says, its ranks from 1 and its gradient's cosine."""

    where: str
    run: str
    prompt: str
    reply: str
    by_words: int | None = None
    by_gradient: int | None = None
    cosine: float | None = None


@dataclass(frozen=True, slots=True)
class PassageLink:
    """The passage that was copied, ignored or missed."""

    id: str
    source: str
    text: str


@dataclass(frozen=True, slots=True)
class BlamedSpan:
    """One unsupported or contradicted claim and its cause; `start:end` in the answer's text.

    `words` are the doubtful words that were scored; `scores` the four log-probabilities and the pulls in nats per
    word, None where one has no part. `rank` is the passage's place in a search of the whole corpus, from 1.
    """

    item: str
    arm: str
    answer_id: str
    document: str  # what the item hangs on: intervals resample these
    start: int
    end: int
    text: str
    verdict: str
    words: tuple[str, ...]
    cause: Cause
    why: str
    trace: TraceKind
    trace_why: str
    fix: str
    scores: Mapping[str, float | None]
    rows: tuple[RowLink, ...] = ()
    rows_why: str = ""  # why no rows are named
    passage: PassageLink | None = None
    rank: int | None = None


def fix_of(cause: Cause, trace: TraceKind, *, row: str = "", passage: str = "", rank: int | None = None) -> str:
    """What to do about it, in a sentence."""
    if cause == "learned in tuning":
        named = f"the rows named here, first {row}" if row else "the rows that say it"
        return f"take the fact out of {named}, or set tuning.facts, and tune again"
    if cause == "voice":
        return "the voice says this of its own: change the rows that speak like this, or serve at a lower strength"
    if trace == "retrieval miss":
        deep = f" (it is at rank {rank})" if rank is not None else ""
        return f"have {passage or 'the passage that answers'} found{deep}: raise assistant.k, or mend the index"
    if trace == "distractor copied":
        return f"{passage or 'a passage'} looks like an answer and is none: a reader, assistant.min_answer, fewer hits"
    if trace == "nothing to find":
        return "a refusal was right: raise assistant.min_answer, or write the missing document"
    if cause == "documents":
        return f"the model misread {passage or 'what it was shown'}: mode strict, or a larger model"
    if cause == "base prior":
        return "the base said it before any tuning: mode strict, or a document that says what is right"
    return "look at the passage and the rows yourself: the signals disagree"


def causes_of(spans: Sequence[BlamedSpan], *, resamples: int = 2000, seed: int = 0) -> dict[str, Any]:
    """{"n", "causes": {cause: estimate}, "traces": {trace: estimate}}, shares of the spans clustered by document."""
    clusters = [span.document for span in spans]

    def share(has: Sequence[bool]) -> dict[str, Any]:
        return as_json(mean_interval([float(x) for x in has], clusters=clusters, resamples=resamples, seed=seed))

    return {
        "n": len(spans),
        "causes": {cause: share([span.cause == cause for span in spans]) for cause in CAUSES},
        "traces": {kind: share([span.trace == kind for span in spans]) for kind in TRACES},
    }


def arms_of(spans: Sequence[BlamedSpan], *, resamples: int = 2000, seed: int = 0) -> dict[str, Any]:
    """`causes_of` all spans together, and of each arm's."""
    groups = {ALL: list(spans)}
    for span in spans:
        groups.setdefault(span.arm, []).append(span)
    return {arm: causes_of(own, resamples=resamples, seed=seed) for arm, own in groups.items()}


def blame_json(
    spans: Sequence[BlamedSpan], *, run: str, tuned_run: str | None, resamples: int = 2000, seed: int = 0
) -> str:
    """The text of blame.json; NaN never stands in it."""
    data = {
        "schema": SCHEMA,
        "run": run,
        "tuned_run": tuned_run,
        "note": NOTE,
        "thresholds": blame.THRESHOLDS,
        "arms": arms_of(spans, resamples=resamples, seed=seed),
        "spans": [asdict(span) for span in spans],
    }
    return json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def in_markdown(arms: Mapping[str, Any] | None) -> str:
    """The section of report.md: a bar per cause with its share, interval and n; "" where blame did not run."""
    if arms is None:
        return ""
    head = "## Causes of what the documents do not carry\n\n"
    whole = arms.get(ALL)
    if not whole or not whole["n"]:
        return head + "No span was unsupported or contradicted."
    names = [arm for arm in arms if arm != ALL]
    lines = ["| cause | | all | " + " | ".join(names) + " |", "| --- " * (3 + len(names)) + "|"]
    for group in ("causes", "traces"):
        for name in whole[group]:
            cells = [in_words(from_json(arms[arm][group][name])) for arm in (ALL, *names)]
            share = whole[group][name]["mean"] or 0.0
            lines.append(f"| {name} | {'█' * round(_BAR * share)} | " + " | ".join(cells) + " |")
        if group == "causes":
            lines.append("| *what retrieval did* " + "| " * (2 + len(names)) + "|")
    return head + "\n".join(lines) + f"\n\n{NOTE} `groundtone blame` names the rows and passages of each span."

"""The nouns of groundtone: what flows between retrieval, models, evaluation and people.

Standard library only. Every class is frozen and slotted, sequences are tuples, and each docstring
names the invariant that its tests hold it to. Offsets count characters of Python strings, end exclusive.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

ClaimVerdict = Literal["supported", "contradicted", "unsupported", "unchecked"]
HumanVerdict = Literal["supported", "contradicted", "unsupported", "true elsewhere", "unsure"]
Role = Literal["user", "assistant"]


def short_hash(*parts: str) -> str:
    """Sixteen hex digits of SHA-256 over the parts, separated so that ("ab", "c") differs from ("a", "bc")."""
    return hashlib.sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Document:
    """One readable source. `source` (relative POSIX path) is its identity, `id` = hash(source, text) its version."""

    id: str
    text: str
    source: str
    meta: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, source: str, text: str, **meta: Any) -> Document:
        """The document with its id computed from source and text."""
        return cls(short_hash(source, text), text, source, meta)


@dataclass(frozen=True, slots=True)
class Passage:
    """A stretch of a document: `doc.text[start:end] == text`, so that a citation can be highlighted.

    `heading` is context that is embedded but never quoted: the title and sections joined by " > "; for a table
    row its last part is the table's header row, columns joined by " | ". `page` counts from 1.
    """

    id: str
    doc_id: str
    source: str
    text: str
    start: int
    end: int
    heading: str = ""
    page: int | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that a search returned. Ranking data lives here, never on the passage.

    `ranks` maps a stage ("lexical", "dense", "fused", "reader") to the rank from 1; `best` are the character spans
    inside `passage.text` of its sentences, best first. Where a reader read the passage, `answer` is the span there that
    answers the question best and `answer_score` its log-odds against "no answer"; else both are None.
    """

    passage: Passage
    score: float
    ranks: Mapping[str, int] = field(default_factory=dict)
    best: tuple[tuple[int, int], ...] = ()
    answer: tuple[int, int] | None = None
    answer_score: float | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Gold:
    """What a right answer rests on: its value(s), each with accepted spellings, and the verbatim quote.

    `values` is a tuple of alternatives groups: every group must be met by one of its spellings.
    The quote is resolved to passages after chunking, so that gold survives another chunker.
    """

    values: tuple[tuple[str, ...], ...]
    quotes: tuple[tuple[str, str], ...] = ()  # (source, verbatim quote)


@dataclass(frozen=True, slots=True)
class Question:
    """Something to be answered. `gold` is None where the documents hold no answer and a refusal is right."""

    id: str
    text: str
    history: tuple[Turn, ...] = ()
    groups: tuple[str, ...] = ()
    gold: Gold | None = None
    kind: str = "answerable"  # answerable | unanswerable | two_documents | changed | general


@dataclass(frozen=True, slots=True)
class Snippet:
    """What the model is shown of a hit: numbered from 1 in `hit` order; `text` stands in the passage verbatim."""

    number: int
    hit: Hit
    text: str


@dataclass(frozen=True, slots=True)
class Citation:
    """A marker in an answer, resolved to the passage that was shown under that number.

    `start:end` is the marker in the answer's text; `evidence_start:evidence_end` the sentence in the document.
    """

    start: int
    end: int
    doc_id: str
    passage_id: str
    evidence_start: int
    evidence_end: int


@dataclass(frozen=True, slots=True)
class Claim:
    """One statement of an answer, `answer.text[start:end] == text`, with the detector's verdict and its evidence."""

    text: str
    start: int
    end: int
    verdict: ClaimVerdict = "unchecked"
    passage_id: str | None = None
    evidence: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)
    why: str = ""

    def key(self, answer_id: str) -> str:
        """The identity that human verdicts refer to."""
        return f"{answer_id}:{self.start}-{self.end}"


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Two documents that say different things of one matter: the one that is cited, and the other.

    The dates are those from which the documents say that they hold (ISO 8601), "" where they say none.
    """

    source: str
    other_source: str
    text: str
    other_text: str
    date: str = ""
    other_date: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an answerer said. `refused` implies no citations; every citation resolves to one of `hits`.

    `refused_by` is "retrieval" when nothing good enough was found, "reader" when no passage read as holding an answer,
    "model" when the model declined, "check" when nothing of its reply was supported.
    `timing` is in seconds; `tokens` counts what was generated and read ("prompt", "reply").
    """

    id: str
    question: Question
    text: str
    hits: tuple[Hit, ...] = ()
    citations: tuple[Citation, ...] = ()
    refused: bool = False
    refused_by: Literal["", "retrieval", "reader", "model", "check"] = ""
    claims: tuple[Claim, ...] = ()
    disagreements: tuple[Disagreement, ...] = ()
    timing: Mapping[str, float] = field(default_factory=dict)
    tokens: Mapping[str, int] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)
    error: str = ""

    def __post_init__(self) -> None:
        assert not (self.refused and self.citations), "a refusal cites nothing"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a person said of a claim."""

    claim_key: str
    person: str
    value: HumanVerdict
    correction: str = ""
    time: str = ""


@dataclass(frozen=True, slots=True)
class Preference:
    """Two replies to one prompt and which a person would send; routed to tuning by its reason.

    `history` are the turns before the prompt.
    """

    prompt: str
    chosen: str
    rejected: str
    context: tuple[str, ...] = ()
    reason: str = ""
    history: tuple[Turn, ...] = ()


@dataclass(frozen=True, slots=True)
class VoicePair:
    """A prompt and the reply in the house voice. Split by `source`, never by row.

    `context` holds the passages that the reply may use, in the order shown to the model: the reply's [1] is the first.
    `history` are the turns before the prompt; the loss is taken on `reply` alone.
    """

    prompt: str
    reply: str
    source: str
    context: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    history: tuple[Turn, ...] = ()


@dataclass(frozen=True, slots=True)
class Score:
    """A metric's value for one item. None means "not applicable": counted as missing, never averaged as 0."""

    value: float | None
    why: str = ""

    def __post_init__(self) -> None:
        assert self.value is None or self.value == self.value, "a score is never NaN"


@dataclass(frozen=True, slots=True)
class EvalRecord:
    """One item under one arm. A failure is a record with its error, not a gap."""

    item_id: str
    arm: str
    question: Question
    answer: Answer | None
    scores: Mapping[str, Score] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its 95 % interval over n items; `missing` items were not applicable. n == 0 => mean is None."""

    mean: float | None
    low: float | None
    high: float | None
    n: int
    missing: int = 0

    def __post_init__(self) -> None:
        assert (self.n == 0) == (self.mean is None), "an estimate of nothing has no mean"


@dataclass(frozen=True, slots=True)
class GateCheck:
    """One rule of the gate: the estimate it looked at, the margin set beforehand, and what came of it."""

    name: str
    verdict: Literal["pass", "fail", "cannot tell"]
    why: str
    estimate: Estimate | None = None
    margin: float = 0.0


@dataclass(frozen=True, slots=True)
class GateDecision:
    """Any failed check: HOLD; else any that cannot tell, or is missing: CANNOT TELL; else PASS."""

    verdict: Literal["PASS", "HOLD", "CANNOT TELL"]
    checks: tuple[GateCheck, ...]


@dataclass(frozen=True, slots=True)
class Generation:
    """What a model wrote: `finish` is "stop" or "length"."""

    text: str
    prompt_tokens: int = 0
    reply_tokens: int = 0
    finish: Literal["stop", "length"] = "stop"


@dataclass(frozen=True, slots=True)
class Prompt:
    """A conversation ready for a chat template. `snippets` is what its passages were made of (empty: closed book).

    Weightless answerers read `snippets` and `question`; models read `messages`.
    """

    messages: tuple[Mapping[str, str], ...]  # {"role": "system" | "user" | "assistant", "content": ...}
    question: str
    snippets: tuple[Snippet, ...] = ()


class Generator(Protocol):
    """Anything that writes a reply to a prompt."""

    name: str

    def generate(self, prompts: Sequence[Prompt], *, max_new_tokens: int) -> list[Generation]:
        """One generation per prompt, in order; greedy, so that the same prompts give the same text."""
        ...

    def stream(self, prompt: Prompt, *, max_new_tokens: int) -> Iterator[str]:
        """The reply in pieces; joined they equal `generate([prompt])[0].text`."""
        ...


class Retriever(Protocol):
    """Anything that finds passages."""

    def search(self, query: str, *, k: int, groups: Sequence[str] = ()) -> list[Hit]:
        """At most k hits, best first."""
        ...


class Answerer(Protocol):
    """Anything that answers questions; evaluation knows nothing else about the system under test."""

    name: str

    def answer_many(self, questions: Sequence[Question]) -> Iterator[Answer]:
        """One answer per question, in order. An item that fails yields an answer whose `error` says why."""
        ...

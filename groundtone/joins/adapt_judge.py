"""Whether a tuned encoder finds more than its base: the same questions searched for in the same corpus by both."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from groundtone.feedback import Feedback
from groundtone.models.encoders import Encoder
from groundtone.stats import mean_interval, paired_difference
from groundtone.types import Document, Estimate, Passage, Question
from retrieval.chunk import Chunk
from retrieval.index import Index
from retrieval.question_making import MadeQuestion
from retrieval.records import StoredPassage, Version
from retrieval.search import fold_quote
from retrieval.store import Store

__all__ = ["Asked", "Judged", "asked_by_people", "judge", "made_asked", "ndcg", "own_asked"]

Progress = Callable[[str, int, int], None]
DEPTH = 10
_BATCH = 64


@dataclass(frozen=True, slots=True)
class Asked:
    """A question and the passages of one source that answer it: any of them will do. `kind` is how it came about."""

    text: str
    source: str
    passages: tuple[str, ...]
    kind: str = "given"


@dataclass(frozen=True, slots=True)
class Judged:
    """nDCG@10 over the held-out questions before and after; `own`: the difference on the project's own questions."""

    before: Estimate
    after: Estimate
    difference: Estimate
    own: Estimate | None

    def decision(self) -> tuple[bool, str]:
        """Kept or not, and why. A difference whose interval touches 0 is noise."""
        low, own = self.difference.low, self.own
        if low is None or low <= 0:
            return False, "the rise on documents that it never saw is not beyond noise; the encoder stays as it is"
        if own is not None and own.high is not None and own.high < 0:
            return False, "your own questions are found worse with it; the encoder stays as it is"
        return True, "it finds more in documents that it never saw, beyond noise"


def made_asked(made: Sequence[MadeQuestion]) -> list[Asked]:
    """Questions of the rules."""
    return [Asked(q.text, q.source, (q.passage_id,), q.kind) for q in made]


def asked_by_people(feedback: Feedback, passages: Sequence[Passage]) -> list[Asked]:
    """Questions of answers in which a person called a claim supported, with the passages that hold its evidence."""
    accepted: dict[tuple[str, str], None] = {}
    for judged in feedback.judged():
        question, evidence = str(judged.about.get("question", "")), str(judged.about.get("evidence", ""))
        if judged.verdict.value == "supported" and question.strip() and evidence.strip():
            accepted[question, evidence] = None
    folded = [(p, fold_quote(p.text)[0]) for p in passages] if accepted else []
    asked = []
    for question, evidence in accepted:
        quote = fold_quote(evidence)[0]
        holding = [p for p, text in folded if quote and quote in text]
        if holding and len({p.source for p in holding}) == 1:
            asked.append(Asked(question, holding[0].source, tuple(p.id for p in holding), "accepted"))
    return asked


def own_asked(questions: Sequence[Question], passages: Sequence[Passage]) -> list[Asked]:
    """The project's evaluation questions whose first gold quote stands in a passage."""
    by_source: dict[str, list[Passage]] = {}
    for passage in passages:
        by_source.setdefault(passage.source, []).append(passage)
    asked = []
    for question in questions:
        for source, quote in question.gold.quotes[:1] if question.gold else ():
            wanted = fold_quote(quote)[0]
            holding = tuple(p.id for p in by_source.get(source, ()) if wanted and wanted in fold_quote(p.text)[0])
            if holding and question.kind != "changed":
                asked.append(Asked(question.text, source, holding, "own"))
    return asked


def judge(
    documents: Sequence[Document],
    passages: Sequence[StoredPassage],
    *,
    encoders: tuple[Encoder, Encoder],
    heldout: Sequence[Asked],
    own: Sequence[Asked],
    fusion_weight: float,
    scratch: Path,
    progress: Progress,
) -> Judged:
    """Search for all questions with the base, whose vectors are those stored, and with the tuned encoder.

    Two indexes are written below `scratch`. Held-out questions are clustered by document.
    """
    found: list[list[float]] = []
    for at, encoder in enumerate(encoders):
        path = scratch / f"{at}.sqlite"
        _write_index(path, documents, passages, encoder=encoder, encode=at > 0, progress=progress)
        with Index.open(path, encoder=encoder, fusion_weight=fusion_weight, vectors="flat") as index:
            found.append(_scores(index, [*heldout, *own], progress, stage=f"judge {('before', 'after')[at]}"))
    base, tuned = found
    n = len(heldout)
    clusters = [q.source for q in heldout]
    return Judged(
        mean_interval(base[:n], clusters=clusters),
        mean_interval(tuned[:n], clusters=clusters),
        paired_difference(tuned[:n], base[:n], clusters=clusters),
        paired_difference(tuned[n:], base[n:], clusters=[q.source for q in own]) if own else None,
    )


def _write_index(
    path: Path,
    documents: Sequence[Document],
    passages: Sequence[StoredPassage],
    *,
    encoder: Encoder,
    encode: bool,
    progress: Progress,
) -> None:
    """The passages as they are cut, with their stored vectors, or with new ones of as many texts each."""
    mine: dict[str, list[StoredPassage]] = {}
    for stored in passages:
        mine.setdefault(stored.passage.doc_id, []).append(stored)
    with closing(Store(path, encoder=encoder.name, dim=encoder.dim)) as store:
        for done, doc in enumerate(documents, 1):
            rows = mine.get(doc.id, [])
            chunks = [Chunk(row.passage, row.sentences) for row in rows]
            blocks: list[NDArray[np.floating]] = [row.vectors for row in rows]
            if encode:
                texts = [made.embedded()[: len(row.vectors)] for made, row in zip(chunks, rows, strict=True)]
                flat = iter(encoder.encode([text for some in texts for text in some]))
                blocks = [np.stack([next(flat) for _ in some]) for some in texts]
                progress("encode again", done, len(documents))
            store.put(doc, chunks, vectors=blocks, version=Version(doc.id, ""))
        store.publish()


def _scores(index: Index, asked: Sequence[Asked], progress: Progress, *, stage: str) -> list[float]:
    """nDCG@10 per question."""
    scores = []
    for start in range(0, len(asked), _BATCH):
        block = asked[start : start + _BATCH]
        for question, hits in zip(block, index.search_many([q.text for q in block], k=DEPTH), strict=True):
            scores.append(ndcg([hit.passage.id for hit in hits], set(question.passages)))
        progress(stage, len(scores), len(asked))
    return scores


def ndcg(ranked: Sequence[str], relevant: set[str]) -> float:
    """Discounted gain of the first relevant passage; one is enough: the ideal is 1 (doi:10.1145/582415.582418)."""
    rank = next((at for at, passage in enumerate(ranked, 1) if passage in relevant), None)
    return 1 / math.log2(1 + rank) if rank else 0.0

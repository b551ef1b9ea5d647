"""What an encoder is tuned on: the index's passages, questions split by document, hard negatives by the base."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from groundtone.errors import DataError
from groundtone.joins.adapt_judge import Asked
from groundtone.models.encoders import Encoder
from groundtone.project import Project
from groundtone.types import Document
from retrieval.chunk import embedded_text
from retrieval.store import Store, StoredPassage
from tuning.encoder import EncoderExample

__all__ = [
    "LEAST_DOCUMENTS",
    "MOST_JUDGING",
    "MOST_QUESTIONS",
    "Corpus",
    "mine",
    "read_corpus",
    "split_by_document",
    "window",
]

MOST_PASSAGES = 20_000  # of larger indexes a sample of documents is used: judging encodes every passage once
MOST_QUESTIONS = 3_000  # trained on: some minutes on a laptop
MOST_JUDGING = 1_000
HELD_OUT = 0.3  # of the questions
LEAST_DOCUMENTS = 4  # on each side; an interval over fewer says nothing
NEGATIVES = 1
WINDOW_CHARS = 320  # of a passage that are trained on, about 70 tokens: time goes with them
_DEPTH = 30
_TOO_LIKE = 0.95  # of the right passage's score: what is nearer may be an answer too (de Souza et al. 2024, 2407.15831)


@dataclass(frozen=True, slots=True)
class Corpus:
    """The documents that a tuning reads, and the sources among them that copy another one."""

    documents: tuple[Document, ...]
    passages: tuple[StoredPassage, ...]
    copies: frozenset[str]


def read_corpus(project: Project, encoder: Encoder, *, seed: int) -> Corpus:
    """The index's documents, or a random part of them where they are very many.

    Raises ProjectError where there is no index, or one that another encoder made.
    """
    Store(project.index_path).close()  # says so where there is none; the next line would make an empty one
    with closing(Store(project.index_path, encoder=encoder.name, dim=encoder.dim)) as store:
        documents, stored = store.snapshot()
        copies = frozenset(source for group in store.duplicates() for source in group[1:])
    if len(stored) > MOST_PASSAGES:
        documents = random.Random(seed).sample(documents, len(documents))
        sizes: dict[str, int] = {}
        for passage in stored:
            sizes[passage.passage.source] = sizes.get(passage.passage.source, 0) + 1
        ends = np.cumsum([sizes.get(d.source, 0) for d in documents])
        documents = [d for d, end in zip(documents, ends, strict=True) if end <= MOST_PASSAGES]
        inside = {d.source for d in documents}
        stored = [s for s in stored if s.passage.source in inside]
    return Corpus(tuple(documents), tuple(stored), copies)


def split_by_document(
    asked: Sequence[Asked], *, seed: int, most: tuple[int, int] = (MOST_QUESTIONS, MOST_JUDGING)
) -> tuple[list[Asked], list[Asked]]:
    """Questions to train on and questions to judge by, without a document in common; at most `most` of each.

    Raises DataError where either side would have fewer than `LEAST_DOCUMENTS` documents.
    """
    sources = sorted({q.source for q in asked})
    if len(sources) < 2 * LEAST_DOCUMENTS:
        raise DataError(
            f"questions could be made of {len(sources)} documents; {2 * LEAST_DOCUMENTS} are needed, because some are "
            "held out to judge by. Add documents, or stay with the encoder as it is"
        )
    rng = random.Random(seed)
    rng.shuffle(sources)
    wanted, held, count = HELD_OUT * len(asked), set[str](), 0
    for source in sources[: len(sources) - LEAST_DOCUMENTS]:
        if len(held) >= LEAST_DOCUMENTS and count >= wanted:
            break
        held.add(source)
        count += sum(q.source == source for q in asked)
    train = [q for q in asked if q.source not in held]
    judging = [q for q in asked if q.source in held]
    return (
        rng.sample(train, min(most[0], len(train))),
        rng.sample(judging, min(most[1], len(judging))),
    )


def mine(encoder: Encoder, corpus: Corpus, train: Sequence[Asked], *, seed: int) -> list[EncoderExample]:
    """Each question, its passage, and passages that the base encoder takes for it; those too like it are left out."""
    rng = random.Random(seed)
    passages = corpus.passages
    rows = {s.passage.id: at for at, s in enumerate(passages)}
    matrix = np.stack([s.vectors[0] for s in passages]).astype(np.float32)
    examples = []
    for start in range(0, len(train), 512):
        block = train[start : start + 512]
        vectors = encoder.encode([q.text for q in block])
        for question, vector, row in zip(block, vectors, vectors @ matrix.T, strict=True):
            own = {rows[p] for p in question.passages}
            right = min(own)
            best = np.argsort(-row)[:_DEPTH]
            near = [int(at) for at in best if at not in own and row[at] < _TOO_LIKE * row[right]]
            while len(near) < NEGATIVES:  # a question that nothing else is near to: any other passage
                at = rng.randrange(len(passages))
                near += [at] if at not in own or len(passages) <= len(own) else []
            texts = [window(passages[at], vector) for at in (right, *near[:NEGATIVES])]
            examples.append(EncoderExample(question.text, texts[0], tuple(texts[1:])))
    return examples


def window(stored: StoredPassage, query: NDArray[np.float32]) -> str:
    """What is trained on of a passage, as it is embedded: the sentences around the one nearest to the question.

    The search scores a passage by its nearest sentence too. Where sentences have no vectors it is the whole passage.
    """
    text, spans = stored.passage.text, stored.sentences
    if len(stored.vectors) != 1 + len(spans) or not spans:
        return embedded_text(stored.passage.heading, text)
    first = last = int(np.argmax(stored.vectors[1:].astype(np.float32) @ query))
    while True:
        wider = [(first, last + 1)] * (last + 1 < len(spans)) + [(first - 1, last)] * (first > 0)
        wider = [(a, b) for a, b in wider if spans[b][1] - spans[a][0] <= WINDOW_CHARS]
        if not wider:
            return embedded_text(stored.passage.heading, text[spans[first][0] : spans[last][1]])
        first, last = wider[0]

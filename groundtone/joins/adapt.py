"""Tuning of the encoder on the user's own documents, kept only where it finds more in documents that it never saw.

Questions are made without a model (`retrieval.question_making`), or were asked by people who judged the answer.
Documents, not questions, are split into those that are trained on and those that judge. Both encoders then search the
same corpus by the project's own fusion, and the tuned one is kept if its nDCG@10 is higher with the whole interval
above 0, and the project's own questions, where there are any, are found no worse.
"""

from __future__ import annotations

import json
import random
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eval.suite import read_questions
from groundtone.errors import DataError
from groundtone.feedback import Feedback
from groundtone.files import sha256_text, write_atomic
from groundtone.joins.adapt_judge import Asked, Judged, asked_by_people, judge, made_asked, own_asked
from groundtone.models.encoders import MINILM, Encoder, load_encoder, packaged_minilm
from groundtone.project import Project
from groundtone.settings import Settings
from groundtone.types import Document, Estimate, short_hash
from retrieval.chunk import embedded_text
from retrieval.question_making import make_questions
from retrieval.store import Store, StoredPassage
from tuning.encoder import EncoderExample, EncoderTraining, Method, train_encoder

__all__ = ["AdaptReport", "Corpus", "adapt", "mine", "read_corpus", "split_by_document"]

Progress = Callable[[str, int, int], None]
MOST_PASSAGES = 20_000  # of larger indexes a sample of documents is used: judging encodes every passage once
MOST_QUESTIONS = 3_000  # trained on: half an hour on a laptop
MOST_JUDGING = 1_000
HELD_OUT = 0.3  # of the questions
LEAST_DOCUMENTS = 4  # on each side; an interval over fewer says nothing
NEGATIVES = 2
_DEPTH = 30
_TOO_LIKE = 0.95  # of the right passage's score: what is nearer may be an answer too (de Souza et al. 2024, 2407.15831)


@dataclass(frozen=True, slots=True)
class Corpus:
    """The documents that a tuning reads, and the sources among them that copy another one."""

    documents: tuple[Document, ...]
    passages: tuple[StoredPassage, ...]
    copies: frozenset[str]


@dataclass(frozen=True, slots=True)
class AdaptReport:
    """What came of a tuning. `encoder` is its folder where it was kept, "" where it was refused; `why` says it.

    The estimates are nDCG@10 over questions of held-out documents, clustered by document; `own` is the difference on
    the project's own questions, None where there are none. `documents` and `questions` count (trained on, held out);
    `kinds` counts the questions by the rule that made them.
    """

    run: str
    kept: bool
    why: str
    encoder: str
    base: str
    method: str
    documents: tuple[int, int]
    questions: tuple[int, int]
    before: Estimate
    after: Estimate
    difference: Estimate
    own: Estimate | None
    kinds: Mapping[str, int]
    steps: int
    seconds: float

    def lines(self) -> list[str]:
        """For the terminal: what was measured, the decision, and what to do to use the encoder."""
        shown = [
            f"{self.method}: {self.questions[0]} questions of {self.documents[0]} documents, {self.steps} steps, "
            f"{self.seconds:.0f} s",
            f"nDCG@10 on {self.questions[1]} questions of {self.documents[1]} documents that it never saw: "
            f"{_shown(self.before)} before, {_shown(self.after)} after, difference {_shown(self.difference)}",
        ]
        if self.own is not None:
            shown.append(f"difference on {self.own.n} questions of your own: {_shown(self.own)}")
        shown.append(f"{'kept' if self.kept else 'refused'}: {self.why}")
        if self.kept:
            shown += [
                f"to use it, set retrieval.encoder: {self.encoder}",
                "then delete .groundtone/index.sqlite and run: groundtone index",
            ]
        return shown


def _shown(e: Estimate) -> str:
    if e.mean is None or e.low is None or e.high is None:
        return "unknown" if e.mean is None else f"{e.mean:.3f}"
    return f"{e.mean:.3f} [{e.low:.3f}, {e.high:.3f}]"


def adapt(
    project: Project,
    settings: Settings,
    *,
    progress: Progress,
    seed: int = 0,
    epochs: int = 1,
    most_questions: int = MOST_QUESTIONS,
    learning_rate: float | None = None,
    method: Method = "auto",
    extra: Sequence[Asked] = (),
) -> AdaptReport:
    """Tune the project's encoder on its index; a run "adapt" holds questions, documents and, if kept, the encoder.

    `extra` are further questions with their passages. Raises ProjectError where there is no index or one of another
    encoder, DataError where the documents are too few to hold some out.
    """
    given = settings.retrieval
    encoder = load_encoder(given.encoder, runtime=given.runtime)
    corpus = read_corpus(project, encoder, seed=seed)
    asked = _questions(project, corpus, seed=seed, extra=extra)
    train, heldout = split_by_document(asked, seed=seed, most=(most_questions, MOST_JUDGING))
    written = _record(corpus, train, heldout)
    run = project.start_run(
        "adapt",
        config=settings.given,
        resolved=settings.resolved,
        seed=seed,
        inputs={name: sha256_text(text) for name, text in written.items()},
        parents={"index": short_hash(encoder.name, *(f"{d.source} {d.id}" for d in corpus.documents))},
    )
    with run:
        for name, text in written.items():
            write_atomic(run.path / name, text)

        out_dir = run.path / "encoder"
        training = train_encoder(
            mine(encoder, corpus, train, seed=seed),
            base=(packaged_minilm() or MINILM) if given.encoder == MINILM else given.encoder,
            out_dir=out_dir,
            epochs=epochs,
            learning_rate=learning_rate,
            method=method,
            seed=seed,
            device=settings.model.device,
            on_step=_teller(progress),
        )
        tuned = load_encoder(str(out_dir), runtime=given.runtime)
        judged = _judge(settings, corpus, (encoder, tuned), heldout, progress)
        report = _report(run.id, encoder.name, (train, heldout), training, judged, out_dir)
        if not report.kept:
            shutil.rmtree(out_dir)
        run.finish(kept=report.kept, why=report.why, summary=report.lines(), base=encoder.name, steps=training.steps)
    return report


def _teller(progress: Progress) -> Callable[[int, int, float], None]:
    """Shows how far the tuning is and, as soon as it can be known, how long it will take."""
    estimate = ""

    def tell(step: int, steps: int, seconds_left: float) -> None:
        nonlocal estimate
        estimate = estimate or f"tune the encoder, about {max(seconds_left / 60, 0.1):.1f} min"
        progress(estimate, step, steps)

    return tell


def _report(
    run: str,
    base: str,
    asked: tuple[Sequence[Asked], Sequence[Asked]],
    training: EncoderTraining,
    judged: Judged,
    out_dir: Path,
) -> AdaptReport:
    kept, why = judged.decision()
    train, heldout = asked
    return AdaptReport(
        run,
        kept,
        why,
        str(out_dir) if kept else "",
        base,
        training.method,
        (len({q.source for q in train}), len({q.source for q in heldout})),
        (len(train), len(heldout)),
        judged.before,
        judged.after,
        judged.difference,
        judged.own,
        _kinds((*train, *heldout)),
        training.steps,
        training.seconds,
    )


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


def _questions(project: Project, corpus: Corpus, *, seed: int, extra: Sequence[Asked]) -> list[Asked]:
    """Made ones, and those that people asked and whose answer they called supported; copies are not asked about."""
    passages = [s.passage for s in corpus.passages if s.passage.source not in corpus.copies]
    made = made_asked(make_questions(passages, seed=seed))
    people = asked_by_people(Feedback(project.feedback_path), passages)
    return [*made, *people, *extra]


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
    rows = {s.passage.id: at for at, s in enumerate(corpus.passages)}
    texts = [embedded_text(s.passage.heading, s.passage.text) for s in corpus.passages]
    matrix = np.stack([s.vectors[0] for s in corpus.passages]).astype(np.float32)
    examples = []
    for start in range(0, len(train), 512):
        block = train[start : start + 512]
        scores = encoder.encode([q.text for q in block]) @ matrix.T
        for question, row in zip(block, scores, strict=True):
            own = {rows[p] for p in question.passages}
            right = min(own)
            best = np.argsort(-row)[:_DEPTH]
            near = [int(at) for at in best if at not in own and row[at] < _TOO_LIKE * row[right]]
            while len(near) < NEGATIVES:  # a question that nothing else is near to: any other passage
                at = rng.randrange(len(texts))
                near += [at] if at not in own or len(texts) <= len(own) else []
            examples.append(EncoderExample(question.text, texts[right], tuple(texts[at] for at in near[:NEGATIVES])))
    return examples


def _judge(
    settings: Settings, corpus: Corpus, encoders: tuple[Encoder, Encoder], heldout: Sequence[Asked], progress: Progress
) -> Judged:
    path = settings.path(settings.eval.questions)
    own = own_asked(read_questions(path) if path.exists() else (), [s.passage for s in corpus.passages])
    with tempfile.TemporaryDirectory(prefix="groundtone-adapt-") as scratch:
        return judge(
            corpus.documents,
            corpus.passages,
            encoders=encoders,
            heldout=heldout,
            own=own,
            fusion_weight=settings.retrieval.fusion_weight,
            scratch=Path(scratch),
            progress=progress,
        )


def _record(corpus: Corpus, train: Sequence[Asked], heldout: Sequence[Asked]) -> dict[str, str]:
    """The files that say what was trained on and judged by: `groundtone forget` and freshness read them."""
    ids = {d.source: d.id for d in corpus.documents}
    parts = {"train": train, "heldout": heldout}
    documents = {
        part: {source: ids[source] for source in sorted({q.source for q in some})} for part, some in parts.items()
    }
    rows = [
        json.dumps(
            {"part": part, "question": q.text, "source": q.source, "passages": list(q.passages), "kind": q.kind},
            ensure_ascii=False,
        )
        for part, some in parts.items()
        for q in some
    ]
    return {
        "documents.json": json.dumps(documents, indent=1, ensure_ascii=False) + "\n",
        "questions.jsonl": "".join(f"{row}\n" for row in rows),
    }


def _kinds(asked: Sequence[Asked]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for question in asked:
        counts[question.kind] = counts.get(question.kind, 0) + 1
    return counts

"""Tuning of the encoder on the user's own documents, kept only where it finds more in documents that it never saw.

Questions are made without a model (`retrieval.question_making`), or were asked by people who judged the answer.
Documents, not questions, are split into those that are trained on and those that judge. Both encoders then search the
same corpus by the project's own fusion, and the tuned one is kept if its nDCG@10 is higher with the whole interval
above 0, and the project's own questions, where there are any, are found no worse.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.suite import read_questions
from groundtone.feedback import Feedback
from groundtone.files import sha256_text, write_atomic
from groundtone.joins.adapt_judge import Asked, Judged, asked_by_people, judge, made_asked, own_asked
from groundtone.joins.adapt_rows import MOST_JUDGING, MOST_QUESTIONS, Corpus, mine, read_corpus, split_by_document
from groundtone.models.encoders import MINILM, Encoder, load_encoder, packaged_minilm
from groundtone.project import Project
from groundtone.settings import Settings
from groundtone.types import Estimate, short_hash
from retrieval.question_making import make_questions
from tuning.encoder import EncoderPlan, EncoderTraining, Method, train_encoder

__all__ = ["AdaptReport", "adapt"]

Progress = Callable[[str, int, int], None]


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
                "its scores are on another scale: check assistant.min_answer and min_score with groundtone eval",
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

        out_dir, tell = run.path / "encoder", _Teller(progress)
        training = train_encoder(
            mine(encoder, corpus, train, seed=seed),
            base=(packaged_minilm() or MINILM) if given.encoder == MINILM else given.encoder,
            out_dir=out_dir,
            epochs=epochs,
            learning_rate=learning_rate,
            method=method,
            seed=seed,
            device=settings.model.device,
            on_plan=tell.plan,
            on_step=tell.step,
        )
        tuned = load_encoder(str(out_dir), runtime=given.runtime)
        judged = _judge(settings, corpus, (encoder, tuned), heldout, progress)
        report = _report(run.id, encoder.name, (train, heldout), training, judged, out_dir)
        if not report.kept:
            shutil.rmtree(out_dir)
        run.finish(kept=report.kept, why=report.why, summary=report.lines(), base=encoder.name, steps=training.steps)
    return report


class _Teller:
    """Shows what the tuning will take before it starts, and then how far it is."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._stage = ""

    def plan(self, plan: EncoderPlan) -> None:
        """Time and memory."""
        memory = "" if plan.megabytes is None else f", {plan.megabytes / 1000:.1f} GB"
        self._stage = f"tune the encoder, about {max(plan.seconds / 60, 0.1):.1f} min{memory}"
        self._progress(self._stage, 0, plan.steps)

    def step(self, done: int, steps: int) -> None:
        """After each step."""
        self._progress(self._stage, done, steps)


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


def _questions(project: Project, corpus: Corpus, *, seed: int, extra: Sequence[Asked]) -> list[Asked]:
    """Made ones, and those that people asked and whose answer they called supported; copies are not asked about."""
    passages = [s.passage for s in corpus.passages if s.passage.source not in corpus.copies]
    made = made_asked(make_questions(passages, seed=seed))
    people = asked_by_people(Feedback(project.feedback_path), passages)
    return [*made, *people, *extra]


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

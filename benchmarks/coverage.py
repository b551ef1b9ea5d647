"""Missing documents told from those that are there: real questions, each with its documents and with them left out.

    python -m benchmarks.coverage [NAME ...] [--work FOLDER] [--fit]

NAME: sample, squad2_open (a missing document is a whole article), qed_nq, policyqa, handbook_18f, github_site_policy.
The index is calibrated on pseudo-questions that it makes of itself (`retrieval.coverage.fit`); no question printed here
is seen by that. Weights and threshold, shared by all indexes, were fitted (--fit) on sample, squad2_open and qed_nq
("fitted on" below): what holds for a new index is what the other sets show, and the row "others" of --fit, in which
each of the three is judged by weights and threshold of the other two. Intervals: 95 %, bootstrapped over documents.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import data_sets
from benchmarks.natural_questions import natural_questions
from benchmarks.remembering import remembering
from eval.estimates import in_words
from groundtone.models.encoders import Encoder
from groundtone.types import Estimate
from retrieval import coverage as judge
from retrieval.index import Index
from retrieval.leaving_out import ask_twice, corpus_of
from retrieval.probes import Probe

QUESTIONS = 400
FITTED_ON = ("sample", "squad2_open", "qed_nq")


@dataclass(frozen=True)
class Asked:
    """An index and the questions of people over it."""

    name: str
    index: Index
    questions: list[Probe]


def _articles(made: data_sets.DataSet, folder: Path) -> tuple[Path, list[Probe]]:
    """Documents are whole articles: a passage's source."""
    made.write_articles(folder)
    source = {p.id: p.source for p in made.passages}
    return folder, [Probe(q.text, tuple(sorted({source[i] for i in q.relevant}))) for q in made.questions]


def _documents(made: data_sets.Documents) -> tuple[Path, list[Probe]]:
    return made.folder, [Probe(q.text, tuple(sorted({s for s, _ in q.quotes}))) for q in made.questions]


SETS: dict[str, Callable[[Path], tuple[Path, list[Probe]]]] = {
    "sample": lambda folder: _documents(data_sets.sample_company()),
    "squad2_open": lambda folder: _articles(data_sets.squad2_open(), folder),
    "qed_nq": lambda folder: _articles(natural_questions(), folder),
    "policyqa": lambda folder: _articles(data_sets.policyqa(), folder),
    "handbook_18f": lambda folder: _documents(data_sets.handbook_18f()),
    "github_site_policy": lambda folder: _documents(data_sets.github_site_policy()),
}


def open_set(name: str, work: Path, encoder: Encoder) -> Asked:
    """The set's index, made where it is not there, and at most QUESTIONS of its questions."""
    folder, questions = SETS[name](work / "documents" / name)
    index = Index.open(work / f"{name}.sqlite", encoder=encoder)
    index.update(folder)
    return Asked(name, index, data_sets.sample(questions, QUESTIONS))


def report(asked: Asked) -> None:
    """One row: what a fresh calibration does on the set's questions."""
    started = time.perf_counter()
    made = judge.fit(asked.index)
    fit_s = time.perf_counter() - started
    found = judge.measure(made, asked.index, asked.questions)
    hits = asked.index.search_many([q.query for q in asked.questions[:50]], k=5)
    started = time.perf_counter()
    for question, best in zip(asked.questions, hits, strict=False):
        made.probability(question.query, best)
    each_ms = 1000 * (time.perf_counter() - started) / max(1, len(hits))
    cells = [_cell(e) for e in (found.auroc, found.refused_at_95, found.kept, found.refused, made.measured.auroc)]
    name = f"{asked.name} (fitted on)" if asked.name in FITTED_ON else asked.name
    documents = len(asked.index.documents())
    print(f"| {name} | {documents} | {found.kept.n} | {' | '.join(cells)} | {fit_s:.1f} | {each_ms:.2f} |", flush=True)


def _cell(estimate: Estimate) -> str:
    return in_words(estimate).rsplit(" n=", 1)[0]


def units(asked: Asked) -> tuple[np.ndarray, np.ndarray]:
    """Signals of the real questions in the index's own units, with documents and without: (questions, 2) each."""
    made = judge.fit(asked.index)
    corpus = corpus_of(asked.index.passages())
    rows = np.array(judge.signals_of(ask_twice(asked.index, corpus, asked.questions), corpus))
    scaled = (rows - np.array(made.centre)) / np.array(made.spread)
    return scaled[:, 0], scaled[:, 1]


def fit_shared(sets: list[Asked]) -> None:
    """Weights, intercept and threshold over these sets, each counting the same; then each judged by the others."""
    scaled = {asked.name: units(asked) for asked in sets}
    weights, intercept, threshold = _fit(list(scaled.values()))
    print(f"WEIGHTS = ({weights[0]:.2f}, {weights[1]:.2f})  INTERCEPT = {intercept:.2f}  THRESHOLD = {threshold:.2f}")
    for name, (present, missing) in scaled.items():
        others = [both for other, both in scaled.items() if other != name]
        if others:
            weights, intercept, threshold = _fit(others)
            kept, refused = (_sigmoid(x @ weights + intercept) >= threshold for x in (present, missing))
            print(
                f"{name} by the others' weights and threshold: kept {kept.mean():.3f}, refused {1 - refused.mean():.3f}"
            )


def _fit(sets: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, float, float]:
    """Logistic regression; the threshold keeps 95 % of each set."""
    from sklearn.linear_model import LogisticRegression

    x = np.concatenate([np.concatenate(both) for both in sets])
    y = np.concatenate([[1] * len(present) + [0] * len(missing) for present, missing in sets])
    each = np.concatenate([np.full(2 * len(present), len(x) / (2 * len(present) * len(sets))) for present, _ in sets])
    model = LogisticRegression(C=1.0, max_iter=1000).fit(x, y, sample_weight=each)
    weights, intercept = model.coef_[0], float(model.intercept_[0])
    logits = [np.quantile(present @ weights + intercept, 1 - judge.KEEP) for present, _ in sets]
    return weights, intercept, float(_sigmoid(min(logits)))


def _sigmoid(x: np.ndarray | np.floating) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x)))


def main() -> None:
    """Print a Markdown table, one row per set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--work", type=Path, help="where indexes and vectors are kept for the next run")
    parser.add_argument("--fit", action="store_true", help="fit the shared weights and threshold anew and print them")
    args = parser.parse_args()
    if unknown := sorted(set(args.names) - set(SETS)):
        raise SystemExit(f"no set {unknown[0]!r}; there are: {', '.join(SETS)}")
    with tempfile.TemporaryDirectory() as temporary:
        work = args.work or Path(temporary)
        encoder = remembering(work)
        names = args.names or list(FITTED_ON if args.fit else SETS)
        if args.fit:
            fit_shared([open_set(name, work, encoder) for name in names])
            return
        print(
            "| set | documents | questions | AUROC | missing refused at 95 % kept | kept at our threshold | missing "
            "refused at it | AUROC of its own pseudo-questions | fit, s | one probability, ms |\n" + "|---" * 10 + "|"
        )
        for name in names:
            report(open_set(name, work, encoder))


if __name__ == "__main__":
    main()

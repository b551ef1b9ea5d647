"""The hallucination detectors against labelled answers, beside "always positive".

    python -m benchmarks.detector [DATA] [--rows 600] [--cross-encoder ID] [--span FOLDER]

DATA (default: $GROUNDTONE_SHARED/data/hallucination) is a folder with any of halueval/, summedits/, begin/ and
ragtruth_qa_train_NC/ as their projects publish them; ../qa and its neighbours hold the documents of our own answers.
Every set is split by source as data.detector.answers does: thresholds, the way from claims to answers and calibrations
are chosen on the training part, figures are the other part's. Positive means hallucinated. RAGTruth's passages are
non-commercial: the model fitted on its training part is reported and never shipped. Intervals are 95 %, bootstrapped
over sources.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.detector_claims import Judged, best_cut, claims_of, interval, report_spans
from data.detector.answers import LabelledAnswer, begin, halueval, held_out, passages_of, ragtruth, summedits
from data.detector.made_up import own_answers
from data.detector.rows import Rows, as_rows
from data.detector.stack import fit_stack
from data.detector.train import FOLDS, as_json, fit
from eval.calibration import calibrate, expected_calibration_error
from eval.detectors import BUILT_IN, Detector, load_detector
from eval.detectors.features import Rarity
from eval.detectors.lexical import LexicalDetector
from eval.detectors.protocol import Case
from eval.detectors.stacked import Stack, StackedDetector
from eval.detectors.trees import Trees
from eval.evidence import Evidence
from eval.splitting import split_claims
from groundtone.stats import auroc

Way = Callable[[NDArray[np.float64]], float]
AGGREGATES: dict[str, Way] = {
    "max": lambda risks: float(risks.max(initial=0.0)),
    "noisy-or": lambda risks: float(1 - np.prod(1 - risks)),
    "top two": lambda risks: float(np.sort(risks)[-2:].mean()) if len(risks) else 0.0,
}
Bools = NDArray[np.bool_]


def sample(rows: Iterable[LabelledAnswer], count: int) -> list[LabelledAnswer]:
    """Whole sources in a fixed random order until `count` rows are there."""
    by_source: dict[str, list[LabelledAnswer]] = {}
    for row in rows:
        by_source.setdefault(row.source, []).append(row)
    order = sorted(by_source)
    random.Random(0).shuffle(order)
    taken: list[LabelledAnswer] = []
    for source in order:
        if len(taken) >= count:
            break
        taken += by_source[source]
    return taken


def judge(detector: Detector, rows: Sequence[LabelledAnswer]) -> tuple[list[Judged], float]:
    """Every answer judged, and how many answers a minute that took: splitting and reading of the evidence included."""
    started = time.process_time()
    spans = [split_claims(row.answer) for row in rows]
    cases = [
        Case(tuple(row.answer[a:b] for a, b in own), Evidence(passages_of(row)))
        for row, own in zip(rows, spans, strict=True)
    ]
    found = detector.judge(cases)
    spent_s = time.process_time() - started
    judged = [
        Judged(row, tuple(own), np.array([finding.risk for finding in findings if finding.risk is not None]))
        for row, own, findings in zip(rows, spans, found, strict=True)
    ]
    return judged, 60 * len(rows) / max(1e-9, spent_s)


@dataclass(frozen=True, slots=True)
class Fitted:
    """The shipped kinds of detector fitted on one set: on all its answers, and by folds over sources on the others."""

    whole: LexicalDetector
    folds: tuple[tuple[LexicalDetector, tuple[LabelledAnswer, ...]], ...]
    stack: Stack

    def kinds(self) -> dict[str, Callable[[LexicalDetector], Detector]]:
        """What is made of the trees, by name."""
        return {"lexical": lambda trees: trees, "stacked": lambda trees: StackedDetector(trees, self.stack)}

    def judged(self, make: Callable[[LexicalDetector], Detector]) -> list[Judged]:
        """Every answer it was fitted on, judged by trees that were fitted on other sources."""
        return [one for trees, rows in self.folds for one in judge(make(trees), rows)[0]]


def fitted_on(rows: Sequence[LabelledAnswer]) -> Fitted:
    """Trees of these rows alone, and the weights of a stack by what trees of the other folds say."""
    rarity = LexicalDetector.shipped().rarity
    sources = sorted({row.source for row in rows})
    random.Random(0).shuffle(sources)
    fold_of = {source: n % FOLDS for n, source in enumerate(sources)}
    features = as_rows(rows, rarity)
    fold = np.array([fold_of[rows[n].source] for n in features.answer])
    risks, folds = np.zeros(len(features.y)), []
    for k in range(FOLDS):
        part = fold != k
        model = fit(Rows(features.x[part], features.y[part], features.answer[part], features.weight[part]))
        risks[~part] = model.predict_proba(features.x[~part])[:, 1]
        folds.append((_as_detector(model, rarity), tuple(row for row in rows if fold_of[row.source] == k)))
    return Fitted(_as_detector(fit(features), rarity), tuple(folds), fit_stack({"it": features}, {"it": risks}))


def _as_detector(model: object, rarity: Rarity) -> LexicalDetector:
    return LexicalDetector(Trees.read(as_json(model)), rarity, threshold=0.5)


def f1(labels: Bools, flags: Bools) -> tuple[float, float, float]:
    """Precision, recall and F1 in percent."""
    hits = float((labels & flags).sum())
    precision, recall = hits / max(1.0, float(flags.sum())), hits / max(1.0, float(labels.sum()))
    return 100 * precision, 100 * recall, 100 * 2 * precision * recall / max(1e-9, precision + recall)


def ways_from(train: Sequence[Judged]) -> dict[str, Way]:
    """Ways from the risks of claims to an answer's; where people marked claims, also the chance that any is wrong."""
    told = [one for one in train if one.row.located and len(one.risks)]
    claims = claims_of(told) if told else None
    calibration = calibrate(claims.risk.tolist(), claims.wrong.tolist()) if claims is not None else None
    if calibration is None:
        return AGGREGATES
    return AGGREGATES | {
        "any, calibrated": lambda given: float(1 - np.prod(1 - np.array(calibration.probability(given.tolist()))))
    }


def report(name: str, train: Sequence[Judged], test: Sequence[Judged], per_minute: float) -> None:
    """One detector on one set: answers, then claims and characters where people marked spans."""
    labels = np.array([one.row.hallucinated for one in test])
    known = np.array([one.row.hallucinated for one in train])
    joins = ways_from(train)
    ways = {way: np.array([join(one.risks) for one in train]) for way, join in joins.items()}
    way = max(ways, key=lambda w: _area(ways[w], known))
    scores = np.array([joins[way](one.risks) for one in test])
    cut = best_cut(ways[way], lambda t: f1(known, ways[way] >= t)[2])
    flags = scores >= cut
    sources = [one.row.source for one in test]
    p, r, f = f1(labels, flags)
    at = interval(lambda i: f1(labels[i], flags[i])[2], sources)
    keys = np.array(sources)
    area = auroc(
        scores[labels].tolist(),
        scores[~labels].tolist(),
        clusters=(keys[labels].tolist(), keys[~labels].tolist()),
    )
    calibration = calibrate(ways[way].tolist(), known.tolist())
    off = (
        expected_calibration_error(calibration.probability(scores.tolist()), labels.tolist())
        if calibration
        else float("nan")
    )
    print(
        f"  {name:24} P {p:5.1f}  R {r:5.1f}  F1 {f:5.1f} {at}  AUROC {area.mean:.3f} [{area.low:.3f}, {area.high:.3f}]"
        f"  ECE {off:.3f}  ({way}; {per_minute:,.0f} answers/min on one core)",
        flush=True,
    )
    if any(bad.kind for one in test for bad in one.row.spans):
        report_spans(train, test, flags)


def _area(scores: NDArray[np.float64], labels: Bools) -> float:
    return auroc(scores[labels].tolist(), scores[~labels].tolist(), resamples=1).mean or 0.0


def measure(name: str, rows: Sequence[LabelledAnswer], detectors: Sequence[Detector], *, fit_too: bool) -> None:
    """Print one data set."""
    train = [row for row in rows if not held_out(row.source)]
    test = [row for row in rows if held_out(row.source)]
    labels = np.array([row.hallucinated for row in test])
    p, r, f = f1(labels, np.ones_like(labels))
    print(
        f"\n{name}: {len(test)} answers kept apart, {labels.mean():.1%} positive; {len(train)} to choose thresholds on"
    )
    print(f"  {'always positive':24} P {p:5.1f}  R {r:5.1f}  F1 {f:5.1f}  AUROC 0.500", flush=True)
    for detector in detectors:
        chosen, _ = judge(detector, train)
        report(detector.name, chosen, *judge(detector, test))
    if fit_too:
        fitted = fitted_on(train)
        for kind, make in fitted.kinds().items():
            report(f"{kind}, fitted on it", fitted.judged(make), *judge(make(fitted.whole), test))


SETS: tuple[tuple[str, str, Callable[[Path], Iterator[LabelledAnswer]]], ...] = (
    ("RAGTruth QA (NC)", "ragtruth_qa_train_NC", ragtruth),
    ("SummEdits", "summedits", summedits),
    ("BEGIN", "begin", begin),
    ("HaluEval QA", "halueval", halueval),
    ("Our own answers", "../qa", lambda folder: own_answers(folder.parent, random.Random(0))),
)


def main() -> None:
    """Measure whatever data sets the folder holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("GROUNDTONE_SHARED", "../shared")) / "data" / "hallucination"
    parser.add_argument("data", type=Path, nargs="?", default=default)
    parser.add_argument("--rows", type=int, default=100_000, help="answers per data set at most, whole sources")
    parser.add_argument("--cross-encoder", help="also measure this cross-encoder (slow)")
    parser.add_argument("--span", help="also measure the token classifier in this folder")
    options = parser.parse_args()
    if not options.data.is_dir():
        raise SystemExit(f"no labelled answers at {options.data}: name their folder or set GROUNDTONE_SHARED")
    names = [*BUILT_IN, *([options.cross_encoder] if options.cross_encoder else [])]
    detectors = [load_detector(name) for name in [*names, *([f"span:{options.span}"] if options.span else [])]]
    for name, folder, read in SETS:
        if (options.data / folder).is_dir():
            rows = sample(read(options.data / folder), options.rows)
            measure(name, rows, detectors, fit_too=read is ragtruth)
        else:
            print(f"\n{name}: no folder {folder} in {options.data}, left out")


if __name__ == "__main__":
    main()

"""The hallucination detectors against labelled answers, beside "always positive".

    python -m benchmarks.detector [DATA] [--rows 600] [--cross-encoder ID] [--span FOLDER]

DATA (default: $GROUNDTONE_SHARED/data/hallucination) is a folder with any of halueval/, summedits/, begin/ and
ragtruth_qa_train_NC/ as their projects publish them. Every set is split by source as data.detector.answers does:
thresholds, the way from claims to answers and calibrations are chosen on the training part, figures are the other
part's. Positive means hallucinated. RAGTruth's passages are non-commercial: the model fitted on its training part is
reported and never shipped. Intervals are 95 %, bootstrapped over sources.
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

from data.detector.answers import LabelledAnswer, begin, halueval, held_out, passages_of, ragtruth, summedits
from data.detector.train import FOLDS, Rows, as_json, as_rows, fit
from eval.calibration import calibrate, expected_calibration_error
from eval.detectors import Detector, load_detector
from eval.detectors.lexical import LexicalDetector
from eval.detectors.protocol import Case
from eval.detectors.trees import Trees
from eval.evidence import Evidence
from eval.splitting import split_claims
from groundtone.stats import auroc
from groundtone.text import Span

RESAMPLES = 500
RISKIEST = 0.2
VERDICTS = 100  # people's verdicts after which the calibration is measured
DRAWS = 20
AGGREGATES: dict[str, Callable[[NDArray[np.float64]], float]] = {
    "max": lambda risks: float(risks.max(initial=0.0)),
    "noisy-or": lambda risks: float(1 - np.prod(1 - risks)),
    "top two": lambda risks: float(np.sort(risks)[-2:].mean()) if len(risks) else 0.0,
}
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Judged:
    """One labelled answer with the risk of each of its claims."""

    row: LabelledAnswer
    spans: tuple[Span, ...]
    risks: NDArray[np.float64]


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


def folded(rows: Sequence[LabelledAnswer]) -> list[Judged]:
    """Answers judged by lexical models that were fitted on the others, by folds over sources."""
    shipped = LexicalDetector.shipped()
    sources = sorted({row.source for row in rows})
    random.Random(0).shuffle(sources)
    fold_of = {source: n % FOLDS for n, source in enumerate(sources)}
    features = as_rows(rows, shipped.rarity)
    fold = np.array([fold_of[rows[n].source] for n in features.answer])
    judged: list[Judged] = []
    for k in range(FOLDS):
        part = fold != k
        fitted = fit(Rows(features.x[part], features.y[part], features.answer[part], features.weight[part]))
        judged += judge(_as_detector(fitted, shipped), [row for row in rows if fold_of[row.source] == k])[0]
    return judged


def fitted_on(rows: Sequence[LabelledAnswer]) -> LexicalDetector:
    """A lexical model of these rows alone."""
    shipped = LexicalDetector.shipped()
    return _as_detector(fit(as_rows(rows, shipped.rarity)), shipped)


def _as_detector(model: object, shipped: LexicalDetector) -> LexicalDetector:
    return LexicalDetector(Trees.read(as_json(model)), shipped.rarity, threshold=0.5)


def f1(labels: Bools, flags: Bools) -> tuple[float, float, float]:
    """Precision, recall and F1 in percent."""
    hits = float((labels & flags).sum())
    precision, recall = hits / max(1.0, float(flags.sum())), hits / max(1.0, float(labels.sum()))
    return 100 * precision, 100 * recall, 100 * 2 * precision * recall / max(1e-9, precision + recall)


def best_cut(scores: NDArray[np.float64], gain: Callable[[float], float]) -> float:
    """The threshold with the highest gain among the scores' percentiles."""
    grid = np.unique(np.quantile(scores, np.linspace(0, 0.99, 100)))
    return float(max(grid, key=gain))


def interval(measure: Callable[[NDArray[np.int_]], float], sources: Sequence[str]) -> str:
    """A bootstrap interval of `measure(row indices)` over resampled sources."""
    codes = np.unique(np.asarray(sources), return_inverse=True)[1]
    groups = [np.flatnonzero(codes == c) for c in range(codes.max() + 1)]
    draws = np.random.default_rng(0).integers(0, len(groups), (RESAMPLES, len(groups)))
    low, high = np.nanquantile([measure(np.concatenate([groups[g] for g in draw])) for draw in draws], [0.025, 0.975])
    return f"[{low:.1f}, {high:.1f}]"


def report(name: str, train: Sequence[Judged], test: Sequence[Judged], per_minute: float) -> None:
    """One detector on one set: answers, then claims and characters where people marked spans."""
    labels = np.array([one.row.hallucinated for one in test])
    known = np.array([one.row.hallucinated for one in train])
    ways = {way: np.array([join(one.risks) for one in train]) for way, join in AGGREGATES.items()}
    way = max(ways, key=lambda w: _area(ways[w], known))
    scores = np.array([AGGREGATES[way](one.risks) for one in test])
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
        _report_spans(train, test, flags)


def _area(scores: NDArray[np.float64], labels: Bools) -> float:
    return auroc(scores[labels].tolist(), scores[~labels].tolist(), resamples=1).mean or 0.0


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of some answers as columns; `chars` and `wrong_chars` are their length and what people marked in it.

    `answer` numbers the answers, `marked` holds the marked characters per answer, in claims or between them.
    """

    risk: NDArray[np.float64]
    wrong: Bools
    chars: NDArray[np.int_]
    wrong_chars: NDArray[np.int_]
    answer: NDArray[np.int_]
    marked: NDArray[np.int_]

    def characters(self, cut: float) -> NDArray[np.float64]:
        """(answers, 3): characters flagged and marked, flagged, marked."""
        flagged = self.risk >= cut
        both, said = (
            np.bincount(self.answer, weights=flagged * column, minlength=len(self.marked))
            for column in (self.wrong_chars, self.chars)
        )
        return np.column_stack([both, said, self.marked])


def claims_of(judged: Sequence[Judged]) -> Claims:
    """The columns of answers whose spans people marked; sentences do not overlap, so characters add up."""
    rows, marked = [], []
    for number, one in enumerate(judged):
        gold = np.zeros(len(one.row.answer), bool)
        for bad in one.row.spans:
            gold[bad.start : bad.end] = True
        marked.append(int(gold.sum()))
        for (start, end), risk in zip(one.spans, one.risks, strict=True):
            touched = any(start < bad.end and bad.start < end for bad in one.row.spans)
            rows.append((risk, touched, end - start, int(gold[start:end].sum()), number))
    risk, wrong, chars, wrong_chars, answer = (np.array(column) for column in zip(*rows, strict=True))
    return Claims(risk, wrong, chars, wrong_chars, answer, np.array(marked))


def _span_f1(counts: NDArray[np.float64]) -> tuple[float, float, float]:
    """Precision, recall and F1 of characters, in percent, of summed rows of `Claims.characters`."""
    both, said, marked = counts.sum(axis=0)
    return 100 * both / max(1, said), 100 * both / max(1, marked), 100 * 2 * both / max(1, said + marked)


def _report_spans(train: Sequence[Judged], test: Sequence[Judged], flags: Bools) -> None:
    chosen, found = claims_of(train), claims_of(test)
    cut = best_cut(chosen.risk, lambda t: _span_f1(chosen.characters(t))[2])
    counts = found.characters(cut)
    p, r, f = _span_f1(counts)
    at = interval(lambda i: _span_f1(counts[i])[2], [one.row.source for one in test])
    kinds = {
        kind: np.array([any(bad.kind == kind for bad in one.row.spans) for one in test])
        for kind in ("contradicted", "unsupported")
    }
    recall = {kind: 100 * float(flags[has].mean()) if has.any() else float("nan") for kind, has in kinds.items()}
    top = found.risk >= np.quantile(found.risk, 1 - RISKIEST)
    held = 100 * found.wrong[top].sum() / found.wrong.sum()
    print(
        f"  {'':24} characters P {p:.1f} R {r:.1f} F1 {f:.1f} {at}; recall of answers with a contradiction "
        f"{recall['contradicted']:.1f} (n={kinds['contradicted'].sum()}), with an addition {recall['unsupported']:.1f} "
        f"(n={kinds['unsupported'].sum()})"
    )
    print(
        f"  {'':24} riskiest {RISKIEST:.0%} of {len(found.risk):,} claims hold {held:.1f} % of those not carried; "
        f"ECE after {VERDICTS} verdicts {_after_verdicts(chosen, found):.3f}",
        flush=True,
    )


def _after_verdicts(train: Claims, test: Claims) -> float:
    """Mean calibration error on the test claims when VERDICTS claims of the training part were judged, over DRAWS."""
    rng = np.random.default_rng(0)
    errors = []
    for _ in range(DRAWS):
        picked = rng.choice(len(train.risk), min(VERDICTS, len(train.risk)), replace=False)
        fitted = calibrate(train.risk[picked].tolist(), train.wrong[picked].tolist())
        if fitted is not None:
            errors.append(expected_calibration_error(fitted.probability(test.risk.tolist()), test.wrong.tolist()))
    return float(np.mean(errors)) if errors else float("nan")


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
        report("lexical, fitted on it", folded(train), *judge(fitted_on(train), test))


SETS: tuple[tuple[str, str, Callable[[Path], Iterator[LabelledAnswer]]], ...] = (
    ("RAGTruth QA (NC)", "ragtruth_qa_train_NC", ragtruth),
    ("SummEdits", "summedits", summedits),
    ("BEGIN", "begin", begin),
    ("HaluEval QA", "halueval", halueval),
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
    names = ["explicit", "lexical", *([options.cross_encoder] if options.cross_encoder else [])]
    detectors = [load_detector(name) for name in [*names, *([f"span:{options.span}"] if options.span else [])]]
    for name, folder, read in SETS:
        if (options.data / folder).is_dir():
            rows = sample(read(options.data / folder), options.rows)
            measure(name, rows, detectors, fit_too=read is ragtruth)
        else:
            print(f"\n{name}: no folder {folder} in {options.data}, left out")


if __name__ == "__main__":
    main()

"""What a detector's risks say of single claims and of characters, where people marked spans (benchmarks.detector)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.detector.answers import LabelledAnswer
from eval.calibration import calibrate, expected_calibration_error
from groundtone.text import Span

__all__ = ["Claims", "Judged", "best_cut", "claims_of", "interval", "report_spans"]

RESAMPLES = 500
RISKIEST = 0.2
VERDICTS = 100  # people's verdicts after which the calibration is measured
DRAWS = 20
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Judged:
    """One labelled answer with the risk of each of its claims."""

    row: LabelledAnswer
    spans: tuple[Span, ...]
    risks: NDArray[np.float64]


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


def report_spans(train: Sequence[Judged], test: Sequence[Judged], flags: Bools) -> None:
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

"""Fits the lexical detector and writes eval/detectors/lexical.json: trees, word weights, threshold, calibration.

    python -m data.detector.train PUBLIC_DATA

reads summedits, begin and halueval and the documents that our own answers are made of, below PUBLIC_DATA. Sources that
`held_out` keeps apart are never fitted. The threshold and the way from claims to answers are chosen by folds over the
fitted sources. The same seed gives the same file. About ten minutes on one core. Needs scikit-learn, which reading the
file does not.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.detector.answers import LabelledAnswer, begin, halueval, held_out, passages_of, summedits
from data.detector.made_up import documents, instructed, made_up, without_support
from eval.detectors.explicit import judge_claim
from eval.detectors.features import Rarity, read_claim
from eval.detectors.lexical import MODEL_FILE, NAMES, described
from eval.evidence import Evidence
from eval.splitting import split_claims
from groundtone.files import write_atomic
from groundtone.text import content_words

FOLDS = 4
ANSWERS = {"squad2_open": 140, "policyqa": 60, "medquad": 1, "handbook_18f": 3}  # made up, per document
WEIGHTS = {"dolly": 2.0, "halueval": 0.3, "made up": 0.5}  # of a row: few and natural count more, artificial less
RARE = 6  # documents that a word must stand in before it has a weight of its own
RISES = frozenset(
    "novel_share novel_count novel_weight novel_max novel_run bigrams_novel trigrams_novel pairs_apart apart "
    "values_missing_near values_missing conflicts_value conflicts_name conflicts_negation names_missing "
    "capitals_missing negation_differs opposites novel_verbs explicit_conflicts".split()
)
FALLS = frozenset(
    "known best best_two best_union copied copied_share explicit_support explicit_recall explicit_known".split()
)
TREES: dict[str, Any] = {
    "max_iter": 200,
    "learning_rate": 0.05,
    "max_leaf_nodes": 12,
    "min_samples_leaf": 60,
    "l2_regularization": 5.0,
    "max_features": 0.3,
    "early_stopping": False,
    "random_state": 0,
}
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rows:
    """Claims as numbers: features (claims, NAMES), labels, the answer that each belongs to, weights."""

    x: Floats
    y: NDArray[np.bool_]
    answer: NDArray[np.int_]
    weight: Floats


def word_rarity(folder: Path) -> Rarity:
    """ln(N / df) over the paragraphs of `documents`; words in fewer than RARE of them share one weight."""
    texts = [paragraph for _, paragraphs in documents(folder) for paragraph in paragraphs]
    texts += [answer.answer for answer in instructed(folder)]
    seen = Counter(word for text in texts for word in set(content_words(text)))
    kept = {word: round(math.log(len(texts) / n), 1) for word, n in seen.items() if n >= RARE and word.isalpha()}
    return Rarity(dict(sorted(kept.items())), round(math.log(len(texts) / (RARE / 2)), 1))


def answers(folder: Path, rarity: Rarity) -> dict[str, list[LabelledAnswer]]:
    """Every set that may be fitted, by its name."""
    rng, public = random.Random(0), folder / "hallucination"
    edits, told = list(summedits(public / "summedits")), list(instructed(folder))
    natural = [row for row in edits if not row.hallucinated] + told * 3
    return {
        "made up": [
            row for found in documents(folder) for row in made_up(found, rng, answers=ANSWERS[found[0].split("/")[0]])
        ],
        "support taken out": [row for n in natural if (row := without_support(n, rarity, rng)) is not None],
        "dolly": told,
        "summedits": edits,
        "begin": list(begin(public / "begin")),
        "halueval": list(halueval(public / "halueval")),
    }


def label_of(row: LabelledAnswer, span: tuple[int, int], claims: int) -> bool | None:
    """Whether a claim is not carried; None where nobody said so: of an answer that is wrong somewhere, only a sole
    claim is known to be."""
    start, end = span
    if any(start < b and a < end for a, b in row.unknown):
        return None
    if row.located:
        return any(start < bad.end and bad.start < end for bad in row.spans)
    return row.hallucinated if claims == 1 or not row.hallucinated else None


def as_rows(given: Sequence[LabelledAnswer], rarity: Rarity, *, weight: float = 1.0) -> Rows:
    """The claims of the answers whose label is known."""
    x, y, answer = [], [], []
    for number, row in enumerate(given):
        evidence, spans = Evidence(passages_of(row)), split_claims(row.answer)
        for span in spans if evidence.sentences else ():
            label = label_of(row, span, len(spans))
            if label is not None:
                claim = row.answer[span[0] : span[1]]
                x.append(described(read_claim(claim, evidence, rarity), judge_claim(claim, evidence)))
                y.append(label)
                answer.append(number)
    return Rows(np.array(x), np.array(y, bool), np.array(answer), np.full(len(y), weight))


def fit(rows: Rows) -> Any:
    """Boosted trees that a feature may push one way only where its meaning says which (that is what transfers)."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    ways = [int(name in RISES) - int(name in FALLS) for name in NAMES]
    model = HistGradientBoostingClassifier(monotonic_cst=ways, **TREES)
    return model.fit(rows.x, rows.y, sample_weight=rows.weight)


def as_json(model: Any) -> dict[str, Any]:
    """The fitted trees as lists: per node feature (-1: a leaf), threshold, left, right, and the leaf's value."""
    trees = []
    for (predictor,) in model._predictors:
        nodes = predictor.nodes
        leaves = nodes["is_leaf"].astype(bool)
        trees.append(
            {
                "feature": np.where(leaves, -1, nodes["feature_idx"]).tolist(),
                "threshold": [float(f"{t:.5g}") for t in np.where(leaves, 0.0, nodes["num_threshold"])],
                "left": nodes["left"].tolist(),
                "right": nodes["right"].tolist(),
                "value": [float(f"{v:.4g}") for v in np.where(leaves, nodes["value"], 0.0)],
            }
        )
    return {"features": list(NAMES), "baseline": float(model._baseline_prediction.ravel()[0]), "trees": trees}


def joined(parts: Iterable[Rows]) -> Rows:
    """Several sets one after the other; answers keep apart."""
    x, y, answer, weight, shift = [], [], [], [], 0
    for part in parts:
        x.append(part.x)
        y.append(part.y)
        answer.append(part.answer + shift)
        weight.append(part.weight)
        shift += int(part.answer.max(initial=-1)) + 1
    return Rows(np.vstack(x), np.concatenate(y), np.concatenate(answer), np.concatenate(weight))


def best_threshold(y: NDArray[np.bool_], risk: Floats, weight: Floats) -> float:
    """The risk from which calling a claim unsupported gives the highest balanced accuracy: corpora differ in how much
    is wrong, and F1 would follow this mixture's share."""
    grid = np.arange(0.1, 0.9, 0.01)
    good = [
        weight[y & (risk >= t)].sum() / weight[y].sum() + weight[~y & (risk < t)].sum() / weight[~y].sum() for t in grid
    ]
    return round(float(grid[int(np.argmax(good))]), 2)


def main() -> None:
    """Read, fit, choose, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder of public data")
    parser.add_argument("--out", type=Path, default=MODEL_FILE, help="where to write the model")
    options = parser.parse_args()
    rarity = word_rarity(options.data)
    sets = {
        name: [row for row in rows if not held_out(row.source)] for name, rows in answers(options.data, rarity).items()
    }
    rows = joined(as_rows(given, rarity, weight=WEIGHTS.get(name, 1.0)) for name, given in sets.items())
    print(f"{len(rows.y):,} claims, {rows.y.mean():.1%} not carried; {len(rarity.weights):,} words with a weight")
    fold = np.random.default_rng(0).permutation(rows.answer.max() + 1)[rows.answer] % FOLDS
    risk = np.zeros(len(rows.y))
    for k in range(FOLDS):
        part = Rows(rows.x[fold != k], rows.y[fold != k], rows.answer[fold != k], rows.weight[fold != k])
        risk[fold == k] = fit(part).predict_proba(rows.x[fold == k])[:, 1]
    threshold = best_threshold(rows.y, risk, rows.weight)
    print(f"threshold {threshold}; claims called right in the folds: {((risk >= threshold) == rows.y).mean():.1%}")
    model = as_json(fit(rows)) | {
        "threshold": threshold,
        "rarity": dict(rarity.weights),
        "unseen": rarity.unseen,
        "fitted on": {name: len(given) for name, given in sets.items()},
    }
    write_atomic(options.out, json.dumps(model, separators=(",", ":")) + "\n")
    print(f"{options.out}: {options.out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()

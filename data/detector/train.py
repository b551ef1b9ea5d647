"""Fits the lexical and the stacked detector; writes eval/detectors/lexical.json: trees, word weights, stack, cuts.

    python -m data.detector.train PUBLIC_DATA

reads summedits, begin and halueval and the documents that our own answers are made of, below PUBLIC_DATA. Sources that
`held_out` keeps apart are never fitted. The trees' threshold is chosen by folds over the fitted answers, the stack by
`data.detector.stack`. The same seed gives the same file. About a minute on one core. Needs scikit-learn, which
reading the file does not.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from data.detector.answers import LabelledAnswer, begin, halueval, held_out, summedits
from data.detector.made_up import documents, instructed, own_answers, without_support
from data.detector.rows import Rows, as_rows, best_threshold, joined
from data.detector.stack import across_sets, fit_stack, new_ground
from eval.detectors.features import Rarity
from eval.detectors.lexical import MODEL_FILE, NAMES
from groundtone.files import write_atomic
from groundtone.text import content_words

FOLDS = 4
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
        "made up": list(own_answers(folder, rng)),
        "support taken out": [row for n in natural if (row := without_support(n, rarity, rng)) is not None],
        "dolly": told,
        "summedits": edits,
        "begin": list(begin(public / "begin")),
        "halueval": list(halueval(public / "halueval")),
    }


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
    by_set = {name: as_rows(given, rarity, weight=WEIGHTS.get(name, 1.0)) for name, given in sets.items()}
    rows = joined(by_set.values())
    print(f"{len(rows.y):,} claims, {rows.y.mean():.1%} not carried; {len(rarity.weights):,} words with a weight")
    fold = np.random.default_rng(0).permutation(rows.answer.max() + 1)[rows.answer] % FOLDS
    risk = np.zeros(len(rows.y))
    for k in range(FOLDS):
        part = Rows(rows.x[fold != k], rows.y[fold != k], rows.answer[fold != k], rows.weight[fold != k])
        risk[fold == k] = fit(part).predict_proba(rows.x[fold == k])[:, 1]
    threshold = best_threshold(rows.y, risk, rows.weight)
    print(f"threshold {threshold}; claims called right in the folds: {((risk >= threshold) == rows.y).mean():.1%}")
    risks = across_sets(by_set, fit)
    stack = fit_stack(by_set, risks)
    print(f"{stack}; claims of sets that neither trees nor weights know, AUROC:")
    for name, parts in new_ground(by_set, risks).items():
        print(f"  {name:18}", *(f"{part} {area:.3f}" for part, area in parts.items()))
    model = as_json(fit(rows)) | {
        "stack": asdict(stack),
        "threshold": threshold,
        "rarity": dict(rarity.weights),
        "unseen": rarity.unseen,
        "fitted on": {name: len(given) for name, given in sets.items()},
    }
    write_atomic(options.out, json.dumps(model, separators=(",", ":")) + "\n")
    print(f"{options.out}: {options.out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()

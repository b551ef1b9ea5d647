"""Figures agree with scikit-learn's; intervals hold the figure and never claim certainty."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st
from sklearn import metrics

from groundtone.types import Estimate
from tuning.encoder_rows_spans import LabelledSpan
from tuning.scores import f1, ratio_interval
from tuning.scores_spans import Labelling, score_spans
from tuning.scores_text import average_precision, calibration_error, score_texts

LABELS = ("a", "b", "c")


def draw(seed: int, rows: int = 60) -> tuple[list[tuple[str]], np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, rows)
    logits = rng.normal(size=(rows, 3)) + 1.2 * np.eye(3)[truth]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return [(LABELS[n],) for n in truth], probabilities


@effort(max_examples=5, deadline=None)
@given(seed=st.integers(0, 1000))
def test_one_label_agrees_with_scikit_learn(seed: int) -> None:
    gold, probabilities = draw(seed)
    scores = score_texts(gold, probabilities, labels=LABELS, train=gold)
    truth, called = [row[0] for row in gold], [LABELS[n] for n in probabilities.argmax(axis=1)]
    tuned = scores.arms[0]
    assert tuned.overall["accuracy"].mean == pytest.approx(metrics.accuracy_score(truth, called))
    assert tuned.overall["macro F1"].mean == pytest.approx(metrics.f1_score(truth, called, average="macro"))
    assert tuned.overall["micro F1"].mean == pytest.approx(metrics.f1_score(truth, called, average="micro"))
    assert np.array_equal(np.array(scores.confusion), metrics.confusion_matrix(truth, called, labels=LABELS))
    parts = metrics.precision_recall_fscore_support(truth, called, labels=LABELS)
    for n, label in enumerate(LABELS):
        own = tuned.classes[label]
        assert own["recall"].n == parts[3][n]
        for part, name in zip(parts, ("precision", "recall", "F1"), strict=False):
            assert (own[name].mean or 0.0) == pytest.approx(part[n])
        binary = [label == row for row in truth]
        assert own["AUROC"].mean == pytest.approx(metrics.roc_auc_score(binary, probabilities[:, n]))
        assert own["AUPRC"].mean == pytest.approx(metrics.average_precision_score(binary, probabilities[:, n]))
    for estimate in [*tuned.overall.values(), *(e for own in tuned.classes.values() for e in own.values())]:
        assert estimate.mean is None or estimate.low is None or estimate.low <= estimate.mean <= (estimate.high or 0)
        assert estimate.low is None or estimate.low < (estimate.high or 0), "no certainty from a sample"


def test_several_labels_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random((50, 3)) < 0.4
    probabilities = np.clip(truth * 0.3 + rng.random((50, 3)) * 0.7, 0, 1)
    gold = [tuple(label for label, there in zip(LABELS, row, strict=True) if there) for row in truth]
    scores = score_texts(gold, probabilities, labels=LABELS, train=gold, multi_label=True)
    called = probabilities >= 0.5
    tuned, majority = scores.arms
    assert tuned.overall["accuracy"].mean == pytest.approx(metrics.accuracy_score(truth, called))
    assert tuned.overall["macro F1"].mean == pytest.approx(metrics.f1_score(truth, called, average="macro"))
    assert majority.overall["accuracy"].mean == pytest.approx((~truth).all(axis=1).mean())


def test_a_label_that_no_row_has_is_not_measured_and_says_why() -> None:
    gold, probabilities = draw(1)
    kept = [n for n, row in enumerate(gold) if row != ("c",)]
    scores = score_texts([gold[n] for n in kept], probabilities[kept], labels=LABELS, train=gold)
    assert scores.arms[0].classes["c"]["recall"] == Estimate(None, None, None, 0)
    assert scores.arms[0].classes["c"]["AUROC"].mean is None
    assert scores.why is not None
    assert scores.why["AUROC and AUPRC of c"] == "no held-out row has it"
    assert "AUROC and AUPRC of c: no held-out row has it" in scores.to_markdown()


def test_calibration_is_zero_for_what_comes_true_as_often_as_said() -> None:
    rng = np.random.default_rng(0)
    sure = np.full((1000, 2), [0.8, 0.2])
    right = np.zeros((1000, 2), dtype=bool)
    right[:, 0] = rng.permutation(np.arange(1000) < 800)
    right[:, 1] = ~right[:, 0]
    assert (calibration_error(sure, right, multi_label=False).mean or 0) < 0.06
    wrong = calibration_error(np.full((100, 2), [0.95, 0.05]), np.tile([False, True], (100, 1)), multi_label=False)
    assert wrong.mean == pytest.approx(0.95)


def test_ties_are_taken_together() -> None:
    truth = np.array([True, False, True, False])
    assert average_precision(np.full(4, 0.5), truth).mean == 0.5


def test_whole_sources_are_resampled() -> None:
    counts = np.array([[1.0, 0, 0], [0, 1, 1]] * 20)
    alone = ratio_interval(counts, f1, n=40)
    together = ratio_interval(counts, f1, n=40, clusters=["x", "y"] * 20)
    assert alone.mean == together.mean
    assert (together.high or 0) - (together.low or 0) > (alone.high or 0) - (alone.low or 0)


def test_spans_count_exactly_and_characters_in_part(tmp_path: Path) -> None:
    gold = (LabelledSpan(0, 4, "x"), LabelledSpan(6, 8, "y"))
    found = (LabelledSpan(0, 4, "x"), LabelledSpan(6, 9, "y"), LabelledSpan(10, 12, "x"))
    rows = [Labelling(gold, found, 0.9), Labelling((), (), 0.1)]
    scores = score_spans(rows, labels=["x", "y"])
    overall = scores.arms[0].overall
    assert (overall["spans: precision"].mean, overall["spans: recall"].mean) == (pytest.approx(1 / 3), 0.5)
    assert overall["characters: recall"].mean == 1.0
    assert overall["characters: precision"].mean == pytest.approx(6 / 9)
    assert overall["rows: AUROC"].mean == 1.0
    assert scores.arms[0].classes["y"]["F1"].mean == 0.0
    scores.write(tmp_path)
    told = json.loads((tmp_path / "scores.json").read_text())
    assert told["arms"][1]["overall"]["spans: precision"]["mean"] is None

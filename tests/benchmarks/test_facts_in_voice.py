"""The figure of the facts-in-voice check: thirty planted false facts, recall and precision."""

from __future__ import annotations

from benchmarks.facts_in_voice import FACTS, KINDS, ROOT, TARGET_PRECISION, TARGET_RECALL, measure, plant
from eval.style import read_style
from tuning.pairs import read_pairs

PAIRS = read_pairs(ROOT / "data" / "voice" / "train.jsonl")
HOUSE = read_style(ROOT / "data" / "voice" / "style.yaml").boilerplate


def test_thirty_rows_are_planted_and_nothing_else_changes() -> None:
    rows, planted = plant(PAIRS, house=HOUSE, seed=0)
    changed = [row for row, (old, new) in enumerate(zip(PAIRS, rows, strict=True)) if old != new]
    assert changed == sorted(item.row for item in planted)
    assert len(changed) == FACTS
    assert {kind: sum(item.kind == kind for item in planted) for kind in KINDS} == dict.fromkeys(KINDS, 5)
    assert all(rows[i.row].reply[i.start : i.start + len(i.text)] == i.text for i in planted)


def test_planted_false_facts_are_found() -> None:
    for seed in range(3):
        outcome = measure(PAIRS, house=HOUSE, seed=seed)
        assert outcome.recall.n == FACTS
        assert (outcome.recall.mean or 0.0) >= TARGET_RECALL, outcome.missed
        assert (outcome.precision.mean or 0.0) >= TARGET_PRECISION, outcome.false_alarms

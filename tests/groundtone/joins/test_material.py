from __future__ import annotations

import json

import pytest

from eval.metrics.tone import LEAST_REPLIES
from groundtone.joins.material import learned_bands
from groundtone.settings import load_settings


@pytest.mark.parametrize(("rows", "learned"), [(0, False), (LEAST_REPLIES - 1, False), (LEAST_REPLIES, True)])
def test_a_project_with_few_voice_pairs_is_evaluated_without_bands(tmp_path, rows, learned):
    pairs = [{"prompt": f"Question {n}?", "reply": f"You get {n} of them.", "source": f"s{n}"} for n in range(rows)]
    (tmp_path / "groundtone.yaml").write_text("tuning:\n  data: voice.jsonl\n", encoding="utf-8")
    if rows:
        (tmp_path / "voice.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs), encoding="utf-8")
    assert (learned_bands(load_settings(tmp_path)) is not None) is learned

"""Rows that share their prompts get the numbers that they get alone, or the training is refused."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from groundtone.errors import DataError, ModelError
from groundtone.models.chat_format import ChatFormat
from groundtone.models.weights import load_base
from tests.tuning.flat import train
from tuning.batch_watch import BatchWatch
from tuning.recorder import read_metrics
from tuning.rows import IGNORED, render
from tuning.shared_prompts import ROW_TOKENS, SharedPrompts, lines_of, require_sharing, rows_seen

ROW = st.tuples(
    st.lists(st.integers(1, 3), min_size=1, max_size=6), st.lists(st.integers(1, 3), min_size=1, max_size=4)
)


def example(prompt, reply):
    return {"input_ids": [*prompt, *reply], "labels": [IGNORED] * len(prompt) + list(reply)}


@given(st.lists(ROW, min_size=1, max_size=8), st.integers(1, 6))
def test_every_row_is_seen_as_it_is_and_every_label_is_trained_once(rows, width):
    examples = [example(*row) for row in rows]
    batch = SharedPrompts(pad=0, width=width)(examples)
    assert Counter(rows_seen(batch)) >= Counter(tuple(e["input_ids"]) for e in examples)
    trained = batch["labels"][:, 1:]
    assert int((trained != IGNORED).sum()) == sum(len(reply) for _, reply in rows)
    assert sorted(trained[trained != IGNORED].tolist()) == sorted(token for _, reply in rows for token in reply)
    assert int(batch[ROW_TOKENS]) == sum(len(e["input_ids"]) for e in examples)
    # the token before a label is the one that it follows, so that a shifted loss predicts it
    for line in lines_of([e["input_ids"] for e in examples], [e["labels"] for e in examples], most=2 * width):
        assert all(line.follows[n] == n - 1 for n, label in enumerate(line.labels) if label != IGNORED)
        assert len(line.ids) <= max(2 * width, *(len(e["input_ids"]) for e in examples))


def test_what_rows_begin_alike_with_is_there_once():
    alike = [example([1, 2, 3, 4], [5]), example([1, 2, 3, 9], [6]), example([1, 2, 3, 4], [7])]
    (line,) = lines_of([e["input_ids"] for e in alike], [e["labels"] for e in alike], most=99)
    assert Counter(line.ids) == Counter([1, 2, 3, 4, 5, 4, 7, 9, 6])  # the last token of a prompt is never shared
    numbers = {tuple(e["input_ids"]): n for n, e in enumerate(alike)}
    watch = BatchWatch(numbers, passes=1)
    watch._seen.append(SharedPrompts(pad=0, width=50)(alike))
    assert watch.rows() == [0, 1, 2]


@pytest.mark.parametrize("family", ["llama", "qwen2", "gemma", "mistral"])
def test_training_ends_on_the_weights_of_a_training_without(family, folder, pairs, settings, tmp_path):
    given = {**settings, "base": str(folder(family)), "epochs": 2}
    plain = train(pairs, out_dir=tmp_path / "plain", **given)
    shared = train(pairs, out_dir=tmp_path / "shared", share_prompts=True, **given)
    assert shared.first_eval_loss == pytest.approx(plain.first_eval_loss, abs=1e-4)
    assert shared.last_eval_loss == pytest.approx(plain.last_eval_loss, abs=1e-3)
    once, twice = ([line["tokens"] for line in read_metrics(tmp_path / name)] for name in ("plain", "shared"))
    assert once == twice
    ours, theirs = (load_file(run.adapter / "adapter_model.safetensors") for run in (shared, plain))
    assert max(float((ours[key] - theirs[key]).abs().max()) for key in theirs) < 1e-2


def test_a_model_that_sees_through_a_window_is_refused(folder, pairs):
    base = load_base(str(folder("mistral")), dtype="float32", device="cpu")
    rows = [{"input_ids": row.ids, "labels": row.labels} for row in render(ChatFormat(base.tokenizer), pairs[:3])]
    collate = SharedPrompts(pad=0, width=32)
    require_sharing(base.model, rows, collate)
    base.model.config.sliding_window = 8
    with pytest.raises(ModelError, match=r"set tuning\.share_prompts to false"):
        require_sharing(base.model, rows, collate)


@pytest.mark.parametrize("other", [{"packing": True}, {"kl": 0.1, "kl_rows": "all"}])
def test_packing_and_divergence_go_without(other, pairs, settings, tmp_path):
    with pytest.raises(DataError, match="share_prompts does not go with"):
        train(pairs, out_dir=tmp_path / "run", share_prompts=True, **other, **settings)

from __future__ import annotations

import json

import pytest
from safetensors import safe_open

from groundtone.errors import DataError, ModelError
from groundtone.models.reward import RewardModel
from groundtone.prompts import of_pair
from groundtone.types import Preference
from tests.tiny_encoders import save_tiny_encoder
from tests.tuning.conftest import PRODUCTS
from tuning.lora import Lora
from tuning.plan import Plan
from tuning.preference_rows import reply_pair
from tuning.recipe import Recipe
from tuning.recorder import read_metrics
from tuning.reward import MEASURES, ordering, train_reward_model

PREFERENCES = [
    Preference(f"How long does delivery take? {name}", "It takes 3 days.", "how long how long") for name in PRODUCTS
]
LORA = Lora(targets="all-linear")
RECIPE = Recipe(epochs=6, learning_rate=1e-2, batch_size=4)


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    return train_reward_model(
        PREFERENCES[:5],
        Plan(base=str(folder("llama")), out_dir=tmp_path_factory.mktemp("reward") / "run", lora=LORA, recipe=RECIPE),
        heldout=PREFERENCES[5:],
    )


def test_it_orders_a_separable_set_and_says_how_well_it_orders_pairs_held_out(trained):
    lines = read_metrics(trained.finished.adapter.parent)
    assert [line["accuracy"] for line in lines if "accuracy" in line][-1] == 1.0
    accuracy, margin = trained.heldout.accuracy, trained.heldout.margin
    assert (accuracy.mean, accuracy.n, margin.n) == (1.0, 3, 3)
    assert accuracy.low < 0.5 < accuracy.high == 1.0  # three pairs prove little
    assert margin.mean > 0
    stored = json.loads((trained.finished.adapter.parent / MEASURES).read_text(encoding="utf-8"))
    assert stored["heldout"]["accuracy"]["n"] == 3
    checks = [line["eval_accuracy"] for line in lines if "eval_accuracy" in line]
    assert len(checks) == RECIPE.epochs + 1  # before the first step as well


def test_the_head_is_stored_and_a_reply_scores_the_same_alone_and_in_a_batch(trained):
    with safe_open(str(trained.finished.adapter / "adapter_model.safetensors"), framework="pt") as stored:
        assert any(key.endswith("score.weight") for key in stored.keys())  # noqa: SIM118
    model = RewardModel.load(trained.finished.adapter, batch_size=3)
    prompts = [of_pair(reply_pair(p, "")) for p in PREFERENCES]
    together = model.score(prompts, [p.chosen for p in PREFERENCES])
    alone = [model.score([prompt], [p.chosen])[0] for prompt, p in zip(prompts, PREFERENCES, strict=True)]
    assert together == pytest.approx(alone, abs=1e-5)
    assert ordering(model, PREFERENCES[5:]) == trained.heldout


def test_an_encoder_can_be_the_base(tmp_path):
    base = save_tiny_encoder("bert", tmp_path / "encoder")
    run = train_reward_model(
        PREFERENCES[:5],
        Plan(base=str(base), out_dir=tmp_path / "run", lora=LORA, recipe=RECIPE),
        heldout=PREFERENCES[5:],
    )
    assert run.heldout.accuracy.mean == 1.0
    with pytest.raises(DataError, match=r"1 of 1 rows are longer than 72 tokens"):
        train_reward_model([Preference("days " * 100, "a", "b")], Plan(base=str(base), out_dir=tmp_path / "long"))


def test_what_is_not_held_out_is_not_measured(folder, tmp_path):
    run = train_reward_model(
        PREFERENCES[:2],
        Plan(base=str(folder("qwen2")), out_dir=tmp_path / "run", lora=LORA, recipe=Recipe(epochs=1, batch_size=2)),
    )
    assert (run.heldout.accuracy.mean, run.heldout.accuracy.n, run.heldout.margin.mean) == (None, 0, None)


def test_unsound_rows_and_unfit_shapes_are_refused(folder, tmp_path):
    with pytest.raises(DataError, match="row 1 prefers a reply to itself"):
        train_reward_model(
            [PREFERENCES[0], Preference("Hi", "a", "a")], Plan(base=str(folder("llama")), out_dir=tmp_path / "run")
        )
    with pytest.raises(ModelError, match="pissa"):
        train_reward_model(
            PREFERENCES, Plan(base=str(folder("llama")), out_dir=tmp_path / "run", lora=Lora(variant="pissa"))
        )

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from groundtone.errors import DataError, ModelError
from groundtone.models.adapter import read_card
from groundtone.models.generate import LocalModel
from groundtone.models.score import log_probabilities
from groundtone.prompts import of_pair
from groundtone.types import Preference
from tests.tuning.conftest import PRODUCTS
from tuning.lora import Lora
from tuning.odds_ratio import odds_ratio_loss
from tuning.plan import Plan
from tuning.preference import Taste, train_on_choices, train_on_thumbs
from tuning.preference_rows import reply_pair, thumbs_of
from tuning.recipe import Recipe
from tuning.recorder import read_metrics

PREFERENCES = [
    Preference(
        f"How long does the {name} take?",
        f"Ahoy! The {name} takes {n} days [1].",
        f"It takes {n} days, the {name}.",
        (f"The {name} takes {n} days.",),
    )
    for n, name in enumerate(PRODUCTS[:4], 2)
]
LORA = Lora(targets="all-linear")
RECIPE = Recipe(epochs=2, learning_rate=5e-3, batch_size=2)


@pytest.fixture(scope="module")
def base(folder):
    return str(folder("llama"))


def margins(base, adapter, preferences=PREFERENCES):
    """Log-probability of chosen less rejected, per row, under the adapter less under the base."""
    tuned = LocalModel.load(base, adapter=adapter)
    prompts = [of_pair(reply_pair(p, "")) for p in preferences]

    def of(model):
        chosen = log_probabilities(model, prompts, [p.chosen for p in preferences])
        rejected = log_probabilities(model, prompts, [p.rejected for p in preferences])
        return [sum(a) - sum(b) for a, b in zip(chosen, rejected, strict=True)]

    return [a - b for a, b in zip(of(tuned), of(tuned.with_adapter(False)), strict=True)]


@pytest.fixture(scope="module")
def dpo(base, tmp_path_factory):
    return train_on_choices(
        PREFERENCES,
        Plan(base=base, out_dir=tmp_path_factory.mktemp("dpo") / "run", lora=LORA, recipe=RECIPE),
        method="dpo",
        heldout=PREFERENCES[:2],
    )


def test_dpo_raises_the_margin_of_every_row_and_reports_the_margin_that_serving_has(base, dpo):
    gained = margins(base, dpo.adapter)
    assert min(gained) > 0
    assert dpo.first_loss == pytest.approx(math.log(2))  # the adapter is the base: no preference yet
    last = [line for line in read_metrics(dpo.adapter.parent) if "eval_rewards/margins" in line][-1]
    assert last["eval_rewards/margins"] == pytest.approx(0.1 * sum(gained[:2]) / 2, abs=1e-3)
    assert last["eval_rewards/accuracies"] == 1.0


def test_a_run_says_what_it_was_made_of(dpo):
    card = read_card(dpo.adapter)
    assert (card.config["method"], card.config["beta"]) == ("dpo", 0.1)
    assert card == dpo.card
    lines = read_metrics(dpo.adapter.parent)
    assert [line["step"] for line in lines if line["loss"] is not None] == [1, 2, 3, 4]
    assert [line["step"] for line in lines if line["eval_loss"] is not None] == [0, 2, 4]
    assert lines[-1]["tokens"] > 0


def test_a_resumed_dpo_run_equals_an_uninterrupted_one(base, dpo, tmp_path):
    plan = Plan(base, tmp_path / "run", lora=LORA, recipe=RECIPE)

    def stop(line):
        if line["step"] == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_on_choices(PREFERENCES, replace(plan, on_step=stop), method="dpo", heldout=PREFERENCES[:2])
    resumed = train_on_choices(PREFERENCES, replace(plan, resume=True), method="dpo", heldout=PREFERENCES[:2])
    once, twice = (load_file(run.adapter / "adapter_model.safetensors") for run in (dpo, resumed))
    assert once.keys() == twice.keys()
    assert all((once[key] - twice[key]).abs().max() <= 1e-6 for key in once)


def test_losses_can_be_combined(base, dpo, tmp_path):
    taste = Taste(loss=("sigmoid", "sft"), loss_weights=(1.0, 0.5))
    both = train_on_choices(
        PREFERENCES,
        Plan(base=base, out_dir=tmp_path / "run", lora=LORA, recipe=Recipe(epochs=1, learning_rate=5e-3, batch_size=4)),
        method="dpo",
        taste=taste,
    )
    assert both.first_loss > dpo.first_loss  # the likelihood of the chosen replies came on top
    assert both.first_eval_loss is None
    shutil.rmtree(tmp_path / "run")


def test_orpo_raises_the_likelihood_of_the_chosen_replies_and_their_odds(base, tmp_path):
    run = train_on_choices(
        PREFERENCES,
        Plan(base=base, out_dir=tmp_path / "run", lora=LORA, recipe=RECIPE),
        method="orpo",
        heldout=PREFERENCES,
    )
    first, *_, last = [line for line in read_metrics(tmp_path / "run") if "eval_rewards/margins" in line]
    assert last["eval_logps/chosen"] > first["eval_logps/chosen"]
    assert last["eval_rewards/margins"] > first["eval_rewards/margins"]
    assert run.last_eval_loss < run.first_eval_loss
    assert read_card(run.adapter).config["method"] == "orpo"


def test_the_odds_ratio_is_that_of_trl():
    theirs = pytest.importorskip("trl.experimental.orpo")
    chosen, rejected = torch.tensor([-0.5, -2.0, -1e-3]), torch.tensor([-1.5, -0.1, -3.0])
    stand_in = SimpleNamespace(beta=0.3, accelerator=SimpleNamespace(device="cpu"))
    log_ratio, *_ = theirs.ORPOTrainer.odds_ratio_loss(stand_in, chosen, rejected)
    assert odds_ratio_loss(chosen, rejected, beta=0.3).item() == pytest.approx(-log_ratio.mean().item(), abs=1e-5)
    certain = odds_ratio_loss(torch.zeros(2), torch.zeros(2), beta=1.0)
    assert torch.isfinite(certain)


def test_kto_raises_the_likelihood_of_wanted_replies_and_lowers_that_of_others(base, tmp_path):
    thumbs = [*thumbs_of(PREFERENCES), *thumbs_of(PREFERENCES[:1])[:1]]
    run = train_on_thumbs(
        thumbs,
        Plan(base=base, out_dir=tmp_path / "run", lora=LORA, recipe=Recipe(epochs=4, learning_rate=5e-3, batch_size=4)),
        heldout=thumbs,
    )
    first, *_, last = [line for line in read_metrics(tmp_path / "run") if "eval_rewards/margins" in line]
    assert first["eval_rewards/margins"] == 0.0
    assert last["eval_rewards/chosen"] > 0 > last["eval_rewards/rejected"]
    assert last["eval_logps/chosen"] > first["eval_logps/chosen"]
    assert min(margins(base, run.adapter)) > 0


def test_kto_needs_both_thumbs_and_more_than_one_row_a_batch(base, tmp_path):
    up = [thumb for thumb in thumbs_of(PREFERENCES) if thumb.good]
    with pytest.raises(DataError, match="4 of 4 rows are wanted replies"):
        train_on_thumbs(up, Plan(base=base, out_dir=tmp_path / "run"))
    with pytest.raises(DataError, match=r"tuning\.batch_size is 1"):
        train_on_thumbs(thumbs_of(PREFERENCES), Plan(base=base, out_dir=tmp_path / "run", recipe=Recipe(batch_size=1)))
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite_stops_the_run_and_names_its_rows(base, tmp_path):
    wild = Recipe(epochs=4, learning_rate=1e30, warmup=0.0, batch_size=2)
    with pytest.raises(ModelError, match=r"step \d+: lower tuning\.learning_rate .* saw the rows [0-3], [0-3]"):
        train_on_choices(PREFERENCES, Plan(base=base, out_dir=tmp_path / "run", lora=LORA, recipe=wild), method="dpo")


def test_a_reference_that_is_no_longer_the_base_is_refused(base, tmp_path):
    pissa = Lora(targets="all-linear", variant="pissa")
    with pytest.raises(ModelError, match="PiSSA"):
        train_on_choices(PREFERENCES, Plan(base=base, out_dir=tmp_path / "run", lora=pissa), method="dpo")


def test_rows_of_two_replies_have_no_one_length_to_be_grouped_by(base, tmp_path):
    with pytest.raises(DataError, match=r"tuning\.length_grouped .* method dpo"):
        train_on_choices(
            PREFERENCES, Plan(base=base, out_dir=tmp_path / "run", recipe=Recipe(length_grouped=True)), method="dpo"
        )

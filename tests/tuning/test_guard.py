from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from groundtone.models.generate import LocalModel
from groundtone.prompts import closed_book
from groundtone.types import Estimate
from tests.tuning.flat import train
from tuning.guard import Suite, Watch, outcome_of, read_looks, undisturbed

FINE, LOST = Estimate(0.0, -0.04, 0.04, 20), Estimate(-0.5, -0.7, -0.3, 20)


def tensors(folder: Any) -> dict[str, torch.Tensor]:
    return load_file(folder / "adapter_model.safetensors")


def seeing(*verdicts: Estimate) -> Callable[..., list[Suite]]:
    """A measurement that really generates and draws random numbers, and then says what it was told to."""
    told = iter(verdicts)

    def measure(base: Any, model: Any) -> list[Suite]:
        assert not model.training
        LocalModel.around(base, model).generate([closed_book("Who are you?")], max_new_tokens=3)
        torch.rand(7), random.random(), np.random.rand()
        seen = next(told, FINE)
        return [Suite("sums", seen, 0.05, "forgotten" if seen is LOST else "retained", seen is LOST)]

    return measure


def test_a_watch_that_never_stops_leaves_no_trace_in_the_weights(trained, pairs, settings, tmp_path):
    run = train(pairs, out_dir=tmp_path / "run", watch=Watch.every("1 steps", seeing()), **settings)
    ours, theirs = tensors(run.adapter), tensors(trained.adapter)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert [line["step"] for line in read_looks(tmp_path / "run")] == [1, 2, 3, 4, 5, 6]
    ended = outcome_of(tmp_path / "run")
    assert (ended.looks, ended.stopped_at) == (6, None)
    assert ended.line() == "forgetting guard: no suite left its margin in 6 looks"


def test_with_dropout_too_the_random_state_is_given_back(pairs, settings, tmp_path):
    given = settings | {"dropout": 0.3, "epochs": 1}
    watched = train(pairs, out_dir=tmp_path / "a", watch=Watch.every("1 steps", seeing()), **given)
    alone = train(pairs, out_dir=tmp_path / "b", **given)
    ours, theirs = tensors(watched.adapter), tensors(alone.adapter)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_a_suite_that_leaves_its_margin_stops_and_brings_back_the_last_good_adapter(pairs, settings, tmp_path):
    watch = Watch.every("1 steps", seeing(FINE, FINE, LOST))
    run = train(pairs, out_dir=tmp_path / "run", watch=watch, **settings)
    assert run.steps == 3
    ended = outcome_of(tmp_path / "run")
    assert (ended.looks, ended.stopped_at, ended.restored) == (3, 3, 2)
    assert "sums -50.0 points [-70.0, -30.0], n 20, margin 5" in ended.line()
    kept, good = tensors(run.adapter), tensors(tmp_path / "run/guard")
    assert all(torch.equal(kept[key], good[key]) for key in good)
    assert any(kept[key].abs().sum() > 0 for key in kept if "lora_B" in key)


def test_a_first_look_that_is_bad_already_gives_the_base_back_and_says_so(pairs, settings, tmp_path):
    run = train(pairs, out_dir=tmp_path / "run", watch=Watch.every("2 steps", seeing(LOST)), **settings)
    assert all(float(t.abs().sum()) == 0 for key, t in tensors(run.adapter).items() if "lora_B" in key)
    assert "nothing was learned" in outcome_of(tmp_path / "run").line()
    assert run.last_eval_loss == pytest.approx(run.first_eval_loss)


def test_a_resumed_run_looks_again_where_it_left_off(trained, pairs, settings, tmp_path):
    def stop(line):
        if line["step"] == 5:
            raise KeyboardInterrupt

    out_dir = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(pairs, out_dir=out_dir, watch=Watch.every("1 steps", seeing()), on_step=stop, **settings)
    run = train(pairs, out_dir=out_dir, watch=Watch.every("1 steps", seeing()), resume=True, **settings)
    assert [line["step"] for line in read_looks(out_dir)] == [1, 2, 3, 4, 5, 6]
    ours, theirs = tensors(run.adapter), tensors(trained.adapter)
    assert all((ours[key] - theirs[key]).abs().max() <= 1e-6 for key in theirs)


@pytest.mark.parametrize(
    ("text", "apart"), [("50 steps", 50), ("0.25 epochs", 5), ("1 epoch", 20), ("0.001 epochs", 1)]
)
def test_how_often_is_said_in_steps_or_in_epochs(text, apart):
    assert Watch.every(text, seeing()).apart(steps=60, epochs=3) == apart


def test_modes_and_random_states_are_what_they_were_even_after_an_error():
    model = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Linear(2, 2)).train()
    model[1].eval()
    before = torch.get_rng_state()

    def broken() -> None:
        with undisturbed(model):
            torch.rand(3)
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        broken()
    assert torch.equal(torch.get_rng_state(), before)
    assert (model.training, model[0].training, model[1].training) == (True, True, False)

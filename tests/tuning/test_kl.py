from __future__ import annotations

from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from groundtone.errors import DataError, ModelError
from groundtone.types import VoicePair
from tests.tuning.flat import train
from tuning.kl import KlTerm, divergence, positions_under, require_adapter
from tuning.recorder import read_metrics

GENERAL = [VoicePair(f"What is {n} + 1?", f"{n + 1}.", "replay") for n in range(8)]


def kl_of(run: Any) -> list[float]:
    return [line["kl"] for line in read_metrics(run.adapter.parent) if "kl" in line]


def weights(run: Any) -> dict[str, torch.Tensor]:
    return load_file(run.adapter / "adapter_model.safetensors")


def test_the_divergence_and_its_gradient_are_those_of_torch():
    torch.manual_seed(0)
    base, tuned = torch.randn(1300, 7, dtype=torch.float64), torch.randn(1300, 7, dtype=torch.float64)
    ours, theirs = tuned.clone().requires_grad_(), tuned.clone().requires_grad_()
    value = divergence(base, ours)
    said, right = torch.log_softmax(theirs, -1), torch.log_softmax(base, -1)
    reference = torch.nn.functional.kl_div(said, right, reduction="sum", log_target=True)
    (3 * value).backward()
    (3 * reference).backward()
    assert value.item() == pytest.approx(reference.item(), rel=1e-6)
    assert torch.allclose(ours.grad, theirs.grad, atol=1e-6)
    assert float(divergence(base, base)) == 0.0


def test_only_labelled_positions_of_the_named_rows_count_padded_or_packed():
    rows = [(1, 2, 3, 4), (5, 6, 7)]
    labels = [[-100, -100, 3, 4], [-100, 6, 7]]
    padded = {
        "input_ids": torch.tensor([[*rows[0]], [*rows[1], 0]]),
        "labels": torch.tensor([labels[0], [*labels[1], -100]]),
        "attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]]),
    }
    packed = {
        "input_ids": torch.tensor([[*rows[0], *rows[1]]]),
        "labels": torch.tensor([[*labels[0], *labels[1]]]),
        "position_ids": torch.tensor([[0, 1, 2, 3, 0, 1, 2]]),
    }
    second = KlTerm(1.0, frozenset(rows[1:]))
    assert positions_under(second, padded).tolist() == [[False] * 4, [True, True, False, False]]
    assert positions_under(second, packed).tolist() == [[False] * 4 + [True, True, False]]
    both = positions_under(KlTerm(1.0, frozenset(rows)), padded)
    assert both.sum() == 4


def test_an_untouched_adapter_diverges_by_exactly_nothing(pairs, settings, tmp_path):
    run = train(pairs, out_dir=tmp_path / "run", kl=1.0, kl_rows="all", **settings)
    first, *later = kl_of(run)
    assert first == 0.0
    assert all(value > 0 for value in later)


def test_without_a_weight_training_is_what_it_was(trained, pairs, settings, tmp_path):
    run = train(pairs, out_dir=tmp_path / "run", kl=0.0, kl_rows="all", **settings)
    assert run.card == trained.card
    ours, theirs = weights(run), weights(trained)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert kl_of(run) == []


def test_the_term_holds_general_replies_near_the_base_and_the_voice_is_learned_all_the_same(pairs, settings, tmp_path):
    given = settings | {"replay": GENERAL, "replay_share": 0.5, "epochs": 6}
    light, heavy = (train(pairs, out_dir=tmp_path / str(kl), kl=kl, **given) for kl in (1e-6, 3.0))
    assert kl_of(heavy)[-1] < kl_of(light)[-1] / 2
    assert heavy.last_eval_loss < heavy.first_eval_loss


def test_the_term_weighs_the_same_however_a_step_is_cut(pairs, settings, tmp_path):
    given = settings | {"replay": GENERAL, "replay_share": 0.5, "heldout": (), "kl": 2.0}
    whole = train(pairs, out_dir=tmp_path / "whole", **given | {"batch_size": 4})
    cut = train(pairs, out_dir=tmp_path / "cut", **given | {"batch_size": 2, "accumulate": 2})
    ours, theirs = weights(whole), weights(cut)
    assert all((ours[key] - theirs[key]).abs().max() < 1e-3 for key in theirs)
    packed = train(pairs, out_dir=tmp_path / "packed", **given | {"batch_size": 16, "packing": True, "epochs": 1})
    assert kl_of(packed)[0] == pytest.approx(0.0, abs=1e-6)


def test_a_divergence_without_rows_or_without_a_base_is_refused(pairs, settings, tmp_path):
    with pytest.raises(DataError, match=r"tuning\.kl is 0\.5 on replay rows, but there are none"):
        train(pairs, out_dir=tmp_path / "none", kl=0.5, **settings)
    with pytest.raises(ModelError, match="the whole model is trained"):
        require_adapter(torch.nn.Linear(2, 2))

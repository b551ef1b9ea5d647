from __future__ import annotations

import math

import pytest
import torch

from groundtone.errors import ModelError
from groundtone.models import uncertainty as module
from groundtone.models.score import log_probabilities
from groundtone.models.uncertainty import meaning_clusters, mutual_containment, sample_replies, uncertainty

REPLIES = ["It takes 3 days [1].", "Yes."]


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_log_probabilities_are_those_of_teacher_forcing(local, prompt_list, family):
    model, asked = local(family), prompt_list[:2]
    found = uncertainty(model, asked, REPLIES, samples=3, max_new_tokens=6)
    for one, values in zip(found, log_probabilities(model, asked, REPLIES), strict=True):
        assert one.mean_log_probability.value == pytest.approx(sum(values) / len(values))
        assert one.least_log_probability.value == min(values)
        assert one.predictive_entropy.value > 0
        assert 0 <= one.semantic_entropy.value <= math.log(3) + 1e-9
        assert 3 * one.self_consistency.value == pytest.approx(round(3 * one.self_consistency.value))
        assert len(one.samples) == len(one.clusters) == 3


def test_the_same_seed_draws_the_same_and_leaves_the_process_alone(local, prompt_list):
    model = local("llama")
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    first = sample_replies(model, prompt_list, samples=2, max_new_tokens=5, seed=3)
    assert torch.equal(torch.rand(1), expected)
    assert sample_replies(model, prompt_list, samples=2, max_new_tokens=5, seed=3) == first
    assert sample_replies(model, prompt_list, samples=2, max_new_tokens=5, seed=4) != first


def test_a_cold_sample_is_the_greedy_reply(local, prompt_list):
    model = local("llama")
    cold = sample_replies(model, prompt_list[:1], samples=2, max_new_tokens=6, temperature=1e-4)
    greedy = model.generate(prompt_list[:1], max_new_tokens=6)[0].text
    assert cold == [[greedy, greedy]]


def test_without_samples_only_log_probabilities_are_taken(local, prompt_list):
    (one,) = uncertainty(local("llama"), prompt_list[:1], REPLIES[:1], samples=0)
    assert one.mean_log_probability.value < 0
    assert {one.predictive_entropy.value, one.semantic_entropy.value, one.self_consistency.value} == {None}


def test_nan_is_none_with_a_reason_and_never_zero(local, prompt_list, monkeypatch):
    monkeypatch.setattr(module, "log_probabilities", lambda model, asked, texts: [[-1.0, math.nan] for _ in texts])
    (one,) = uncertainty(local("llama"), prompt_list[:1], REPLIES[:1], samples=2, max_new_tokens=4)
    assert one.mean_log_probability.value is None
    assert "1 of 2 log-probabilities are not finite" in one.least_log_probability.why
    assert one.predictive_entropy.value is None
    assert one.self_consistency.value is not None


def test_bad_numbers_are_refused(local, prompt_list):
    for wrong in ({"samples": -1}, {"samples": 1, "temperature": 0.0}, {"samples": 1, "temperature": math.inf}):
        with pytest.raises(ModelError, match="above 0"):
            sample_replies(local("llama"), prompt_list[:1], **wrong)


def test_texts_that_say_the_same_share_a_cluster():
    texts = ["Delivery takes 3 days.", "Delivery takes three days.", "Delivery takes 5 days.", "Ask the front desk."]
    judge = [[mutual_containment(a, b) for b in texts] for a in texts]
    assert judge == [list(column) for column in zip(*judge, strict=True)]
    assert meaning_clusters(texts, same=lambda pairs: [mutual_containment(a, b) for a, b in pairs]) == [0, 0, 1, 2]
    assert mutual_containment("", "")
    assert not mutual_containment("", "Delivery.")

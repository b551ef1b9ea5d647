from __future__ import annotations

import math

import pytest
import torch

from groundtone.errors import ModelError
from groundtone.models.score import log_probabilities
from tests.tiny_models import FAMILIES

REPLIES = ["It takes 3 days [1].", "Yes.", "The Coot 500 lasts 40 km [2]. Fair winds.", "", "Ahoy!"]


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_equal_a_plain_forward_pass(local, prompt_list, family):
    model = local(family)
    found = log_probabilities(model, prompt_list, REPLIES)
    for prompt, reply, values in zip(prompt_list, REPLIES, found, strict=True):
        before, after = model.format.prompt_ids(prompt), model.format.completion_ids(prompt, reply)
        with torch.no_grad():
            logits = model.base.model(torch.tensor([before + after])).logits[0]
        odds = torch.log_softmax(logits.double(), dim=-1)
        expected = [odds[len(before) + n - 1, token].item() for n, token in enumerate(after)]
        assert values == pytest.approx(expected, abs=1e-4)
        assert all(value <= 0 for value in values)


def test_the_greedy_reply_scores_best_at_its_first_token(local, prompt_list):
    model = local("llama")
    first = model._write([model.format.prompt_ids(prompt_list[0])], 1)[0][0]
    with torch.no_grad():
        logits = model.base.model(torch.tensor([model.format.prompt_ids(prompt_list[0])])).logits[0, -1]
    best = torch.log_softmax(logits, dim=-1)[first].item()
    others = [log_probabilities(model, prompt_list[:1], [reply])[0][0] for reply in REPLIES]
    assert all(value <= best for value in others)
    assert math.isfinite(best)


def test_a_row_beyond_the_context_and_uneven_lists_are_refused(local, prompt_list):
    with pytest.raises(ModelError, match="reads 512"):
        log_probabilities(local("llama"), prompt_list[:1], ["delivery " * 500])
    with pytest.raises(ModelError, match="1 prompts and 2 replies"):
        log_probabilities(local("llama"), prompt_list[:1], ["a", "b"])

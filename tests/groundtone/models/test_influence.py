"""Influence: token places, and gradients that tie an answer to the row that says the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from groundtone.errors import ModelError
from groundtone.models.generate import LocalModel
from groundtone.models.influence import Piece, activations, gradients
from groundtone.models.score import log_probabilities, reply_spans, scored_replies
from tests.tiny_models import FAMILIES

REPLIES = ["It takes 3 days [1].", "Yes.", "  Café, naïve, 12 € für Zürich 🚲.  ", "", "Ahoy!\nFair winds."]


@pytest.fixture(scope="module")
def tuned(folder, adapter) -> LocalModel:
    return LocalModel.load(str(folder("llama")), adapter=Path(adapter("llama")), batch_size=3)


@pytest.mark.parametrize("family", FAMILIES)
def test_tokens_cover_the_reply_in_order_without_gaps(local, prompt_list, family):
    model = local(family)
    for prompt, reply in zip(prompt_list, REPLIES, strict=True):
        spans = reply_spans(model.format, prompt, reply)
        assert len(spans) == len(model.format.completion_ids(prompt, reply))
        covered = {at for a, b in spans for at in range(a, b)}
        inner = reply.strip()
        first = reply.find(inner)
        assert covered == set(range(first, first + len(inner)))
        assert all(a <= b <= len(reply) for a, b in spans)
        assert [a for a, _ in spans] == sorted(a for a, _ in spans)


def test_scored_replies_are_the_log_probabilities_with_places(local, prompt_list):
    model = local("llama")
    scored = scored_replies(model, prompt_list, REPLIES)
    assert [list(one.log_probabilities) for one in scored] == log_probabilities(model, prompt_list, REPLIES)
    days = REPLIES[0].index("days")
    assert 0 < len(scored[0].within((days, days + 4))) < len(scored[0].log_probabilities)
    assert scored[3].within((0, 10)) == []


def test_the_same_answer_has_the_same_gradient_and_others_another(tuned, prompt_list):
    pieces = [Piece(prompt_list[0], REPLIES[0]), Piece(prompt_list[0], REPLIES[0]), Piece(prompt_list[3], REPLIES[4])]
    made = gradients(tuned, pieces, dimensions=512)
    cosines = made @ made.T
    assert np.allclose(np.diag(cosines), 1, atol=1e-5)
    assert cosines[0, 1] == pytest.approx(1, abs=1e-5)
    assert cosines[0, 2] < 0.9
    states = activations(tuned, pieces)
    assert states.shape == (3, 32)
    assert np.allclose(np.linalg.norm(states, axis=1), 1, atol=1e-5)


def test_projection_keeps_cosines(tuned, prompt_list):
    pieces = [Piece(prompt, reply) for prompt, reply in zip(prompt_list, REPLIES, strict=True) if reply]
    a, b = (gradients(tuned, pieces, dimensions=8192, seed=seed) for seed in (0, 1))
    assert np.abs(a @ a.T - b @ b.T).max() < 0.12


def test_what_has_no_tokens_is_a_row_of_zeros(tuned, prompt_list):
    pieces = [Piece(prompt_list[0], ""), Piece(prompt_list[0], "Yes.", ((50, 60),)), Piece(prompt_list[0], "ab " * 600)]
    assert not gradients(tuned, pieces, dimensions=64).any()
    assert not activations(tuned, pieces[:2]).any()


def test_weights_learn_nothing_and_stay_frozen(tuned, prompt_list):
    before = {name: p.detach().clone() for name, p in tuned.model.named_parameters()}
    gradients(tuned, [Piece(prompt_list[0], REPLIES[0])], dimensions=64)
    assert not any(p.requires_grad or p.grad is not None for p in tuned.model.parameters())
    assert all((before[name] == p).all() for name, p in tuned.model.named_parameters())


def test_gradients_need_an_adapter_that_is_on(local, tuned, prompt_list):
    for model in (local("llama"), tuned.with_adapter(False)):
        with pytest.raises(ModelError, match="no adapter switched on"):
            gradients(model, [Piece(prompt_list[0], REPLIES[0])])

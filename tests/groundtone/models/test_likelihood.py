"""Likelihoods by batches equal those of one row read plainly; KL of a model to itself is exactly nothing."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from groundtone import prompts
from groundtone.errors import ModelError
from groundtone.models.generate import LocalModel
from groundtone.models.likelihood import continuations, kl_divergences, text_bits
from groundtone.models.score import log_probabilities
from groundtone.types import Prompt
from tests.tiny_models import save_tiny

TEXTS = ("Standard delivery takes 3 days.", "Ahoy! It takes 3 days for you [1]. Fair winds.", "Batteries")


@pytest.fixture(scope="module", params=["llama", "qwen2"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LocalModel:
    family: str = request.param
    return LocalModel.load(str(save_tiny(family, tmp_path_factory.mktemp(family), context=160)), batch_size=2)


def test_a_continuation_scores_as_the_same_tokens_of_a_reply(model: LocalModel) -> None:
    asked = [prompts.closed_book(text) for text in TEXTS]
    rows = [(model.format.prompt_ids(p), model.format.completion_ids(p, "Ahoy!")) for p in asked]
    plain = [math.fsum(row) for row in log_probabilities(model, asked, ["Ahoy!"] * len(asked))]
    assert [found.log_probability for found in continuations(model, rows)] == pytest.approx(plain, abs=1e-4)


def test_bits_add_up_whatever_the_batch(model: LocalModel) -> None:
    together = text_bits(model, TEXTS)
    alone = [text_bits(model, [text])[0] for text in TEXTS]
    assert [found.bits for found in together] == pytest.approx([found.bits for found in alone], rel=1e-5)
    assert [found.length_bytes for found in together] == [len(text.encode()) for text in TEXTS]
    assert all(found.per_byte > 0 for found in together)


def test_a_text_beyond_the_context_is_read_in_windows(model: LocalModel) -> None:
    long = " ".join(TEXTS * 16)
    (found,) = text_bits(model, [long])
    assert found.length_bytes == len(long)
    assert found.bits > text_bits(model, [TEXTS[0]])[0].bits


def test_greedy_is_what_generation_would_write(model: LocalModel) -> None:
    read = model.base.tokenizer("Standard", add_special_tokens=False)["input_ids"]
    vocabulary = len(model.base.tokenizer)
    found = continuations(model, [(read, [token]) for token in range(vocabulary)])
    assert sum(one.greedy for one in found) == 1
    best = max(range(vocabulary), key=lambda token: found[token].log_probability)
    assert found[best].greedy
    assert math.fsum(math.exp(one.log_probability) for one in found) == pytest.approx(1.0, abs=1e-3)


def test_a_model_is_no_distance_from_itself_and_some_from_another(model: LocalModel, tmp_path: Path) -> None:
    family = "qwen2" if model.base.tokenizer.eos_token == "<|endoftext|>" else "llama"
    other = LocalModel.load(str(save_tiny(family, tmp_path / "other", seed=9, context=160)), batch_size=2)
    asked = [Prompt(({"role": "user", "content": "Hi"},), "Hi")]
    assert kl_divergences(model, model, asked, ["Ahoy!"]) == [0.0]
    assert kl_divergences(model, other, asked, ["Ahoy!"])[0] > 0.1


def test_rows_that_cannot_be_scored_are_refused(model: LocalModel) -> None:
    with pytest.raises(ModelError, match="0 to score"):
        continuations(model, [([1], [])])
    with pytest.raises(ModelError, match="reads 160"):
        continuations(model, [([1], [2] * 200)])
    with pytest.raises(ModelError, match="empty"):
        text_bits(model, ["fine", ""])

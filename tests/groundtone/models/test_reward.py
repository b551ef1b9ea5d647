from __future__ import annotations

import pytest

from groundtone.errors import ModelError
from groundtone.models.adapter import CARD, AdapterCard
from groundtone.models.chat_format import ChatFormat
from groundtone.models.reward import RewardFormat, RewardModel, load_reward_base
from groundtone.prompts import of_pair
from groundtone.types import VoicePair
from tests.tiny_encoders import save_tiny_encoder
from tests.tiny_models import save_tiny

PAIR = VoicePair("How long does delivery take?", "It takes 3 days.", "", ("standard delivery takes 3 days",))


@pytest.fixture(scope="module")
def causal(tmp_path_factory):
    return load_reward_base(str(save_tiny("llama", tmp_path_factory.mktemp("base") / "llama")))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return load_reward_base(str(save_tiny_encoder("bert", tmp_path_factory.mktemp("base") / "bert")))


def test_a_causal_base_reads_the_very_tokens_that_serving_shows(causal):
    prompt, form = of_pair(PAIR), ChatFormat(causal.tokenizer)
    read = RewardFormat(causal).encode(prompt, PAIR.reply)
    assert list(read.ids[: read.prompt_tokens]) == form.prompt_ids(prompt)
    assert list(read.ids[read.prompt_tokens :]) == form.completion_ids(prompt, PAIR.reply)


def test_an_encoder_reads_passages_and_question_and_then_the_reply(encoder):
    read = RewardFormat(encoder).encode(of_pair(PAIR), PAIR.reply)
    before = encoder.tokenizer.decode(read.ids[: read.prompt_tokens])
    after = encoder.tokenizer.decode(read.ids[read.prompt_tokens :])
    assert "standard delivery takes 3 days" in before
    assert before.count("how long does delivery take") == 1
    assert "it takes 3 days" in after
    assert "delivery" not in after


@pytest.mark.parametrize("which", ["causal", "encoder"])
def test_a_row_that_is_too_long_has_no_score_and_does_not_change_the_others(which, request):
    base = request.getfixturevalue(which)
    model = RewardModel(base, base.model, batch_size=2)
    prompt = of_pair(PAIR)
    short = model.score([prompt], ["It takes 3 days."])
    mixed = model.score([prompt] * 3, ["It takes 3 days.", "days " * 600, "how"])
    assert mixed[0] == pytest.approx(short[0], abs=1e-5)
    assert mixed[1] is None
    assert isinstance(mixed[2], float)
    with pytest.raises(ModelError, match="1 prompts and 0 replies"):
        model.score([prompt], [])


def test_what_is_no_reward_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match="has no card"):
        RewardModel.load(tmp_path)
    card = AdapterCard("starter", "0", "0", "0", "0", 0, {"method": "dpo"})
    (tmp_path / CARD).write_text(card.to_json())
    with pytest.raises(ModelError, match="was made by method dpo"):
        RewardModel.load(tmp_path)


def test_a_folder_without_a_model_cannot_carry_a_head(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(ModelError, match="cannot carry a reward head"):
        load_reward_base(str(tmp_path))


def test_the_seed_decides_the_head(causal):
    import torch

    heads = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        heads.append(load_reward_base(causal.id).model.score.weight)
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_in_16_bits_the_head_stays_in_32_and_the_scores_stay_near(causal):
    import torch

    narrow = load_reward_base(causal.id, dtype="bfloat16")
    assert (narrow.dtype, narrow.model.score.weight.dtype) == ("bfloat16", torch.float32)
    with torch.no_grad():
        narrow.model.score.weight.copy_(causal.model.score.weight)
    prompt = of_pair(PAIR)
    near, exact = (RewardModel(base, base.model).score([prompt], [PAIR.reply])[0] for base in (narrow, causal))
    assert near == pytest.approx(exact, rel=0.2, abs=0.2)

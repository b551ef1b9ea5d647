from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.metrics.tone import learn_bands
from eval.style import Style
from groundtone.joins.rewards import format_reward, refusal_reward, rewards_of, support_reward, tone_reward
from groundtone.types import VoicePair
from tuning.reinforce import weighted

STYLE = Style(opens_with=("Ahoy!",), closes_with=("Fair winds.",), forbidden=("ASAP",), max_words=30)
FACT = "Parcels that nobody collects are kept for 14 days."
ROW = VoicePair("How long are parcels kept?", f"Ahoy! {FACT} [1] Fair winds.", "post", (FACT,))
ABSENT = VoicePair("Who is the boss?", "Ahoy! I do not know. The passages do not say. Fair winds.", "post", (FACT,))
CLOSED = VoicePair("Who are you?", "Ahoy! We keep parcels. Fair winds.", "small")
REFUSAL = ABSENT.reply


def test_every_broken_rule_of_the_format_costs_something():
    good, worse, worst = ROW.reply, f"{FACT} [1] Fair winds.", f"{FACT} ASAP"
    scores = [format_reward(STYLE)(ROW, reply) for reply in (good, worse, worst)]
    assert scores[0] == 1.0
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == 3
    assert format_reward(STYLE)(ROW, f"Ahoy! {FACT} [7] Fair winds.") < 1.0  # a marker that resolves to nothing


def test_support_is_the_share_of_supported_claims():
    support = support_reward(STYLE)
    assert support(ROW, ROW.reply) == 1.0
    assert support(ROW, "Parcels that nobody collects are kept for 90 days [1].") == 0.0
    both = f"{FACT} [1] The moon is made of green cheese and costs 900 euros."
    assert support(ROW, both) == 0.5


@pytest.mark.parametrize("silence", ["", "Ahoy! Fair winds.", "Happy to help!", REFUSAL])
def test_silence_earns_support_only_where_the_rows_own_reply_refuses(silence):
    assert support_reward(STYLE)(ROW, silence) == 0.0
    assert support_reward(STYLE)(ABSENT, silence) == float(silence in ("", REFUSAL))


def test_refusing_is_rewarded_exactly_where_it_is_right():
    assert [refusal_reward(row, reply) for row in (ROW, ABSENT) for reply in (ROW.reply, REFUSAL)] == [1, 0, 0, 1]


def test_the_houses_own_tone_earns_more_than_another_and_an_empty_reply_nothing():
    replies = [f"Ahoy! We'll keep your parcel for {n} days, that's a promise! Fair winds." for n in range(30)]
    tone = tone_reward(learn_bands(replies))
    formal = "Pursuant to the regulations hereby referenced, kindly note therefore that per statute, items, shall stay."
    assert tone(ROW, replies[3]) == 1.0 > tone(ROW, formal)
    assert tone(ROW, "") == 0.0


@given(st.sampled_from([ROW, ABSENT, CLOSED]), st.text(max_size=60))
def test_rewards_of_ours_lie_between_0_and_1_whatever_is_written(row, reply):
    made = rewards_of({"format": 1, "support": 1, "refusal": 1}, style=STYLE, bands=None, model=None)
    sums, given_out = weighted(made, [row], [reply])
    assert sums[0] is not None
    assert all(0 <= value <= 1 for values in given_out.values() for value in values)
    assert ("support" in given_out) == bool(row.context)


def test_a_weight_of_0_leaves_a_reward_out_and_what_is_not_there_cannot_be_asked_for():
    weights = {"format": 1.0, "tone": 1.0, "support": 2.0, "refusal": 0.0, "model": 1.0}
    made = rewards_of(weights, style=STYLE, bands=None, model=None)
    assert [(reward.name, reward.weight) for reward in made] == [("format", 1.0), ("support", 2.0)]

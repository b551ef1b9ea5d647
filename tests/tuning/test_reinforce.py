from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from groundtone.errors import DataError
from groundtone.models.adapter import read_card
from groundtone.models.chat_format import ChatFormat
from groundtone.models.weights import load_tokenizer
from groundtone.prompts import of_pair
from groundtone.types import VoicePair
from tuning.lora import Lora
from tuning.plan import Plan
from tuning.recipe import Recipe
from tuning.recorder import read_metrics
from tuning.reinforce import Reward, Sampling, reinforce, weighted

ROWS = [VoicePair(f"{name}?", "Ahoy!", name) for name in ("Otter", "Heron", "Teal", "Coot")]
LORA = Lora(targets="all-linear")
SHORT = Recipe(epochs=1, learning_rate=1e-2, batch_size=4, accumulate=2)
SAMPLING = Sampling(generations=4, max_new_tokens=4)


def letters(rows, replies):
    """Share of plain letters in a reply."""
    return [sum(c.isascii() and c.isalpha() for c in reply) / max(1, len(reply)) for reply in replies]


@pytest.fixture(scope="module")
def base(folder):
    return str(folder("llama"))


def test_what_is_rewarded_gets_more_frequent(base, tmp_path):
    run = reinforce(
        ROWS,
        Plan(
            base=base,
            out_dir=tmp_path / "run",
            lora=LORA,
            recipe=Recipe(epochs=8, learning_rate=5e-2, batch_size=32, schedule="constant", warmup=0.0),
        ),
        rewards=[Reward("letters", letters)],
        sampling=Sampling(generations=8, max_new_tokens=4),
    )
    earned = [line["reward"] for line in read_metrics(tmp_path / "run")]
    assert len(earned) == run.finished.steps == 8
    assert sum(earned[-3:]) / 3 > sum(earned[:3]) / 3 + 0.15
    assert (run.idle, run.left_out, run.warning) == (0, 0, "")
    assert read_card(run.finished.adapter).config["rewards"] == {"letters": 1.0}


@pytest.mark.parametrize("algorithm", ["grpo", "rloo"])
def test_every_reward_is_written_down_and_what_cannot_be_judged_is_left_out(base, tmp_path, algorithm):
    def moody(rows, replies):
        return [None, math.nan, *[0.5] * (len(rows) - 2)] if len(rows) > 2 else [0.5] * len(rows)

    run = reinforce(
        ROWS,
        Plan(base=base, out_dir=tmp_path / "run", lora=LORA, recipe=SHORT),
        rewards=[Reward("letters", letters, weight=2.0), Reward("moody", moody)],
        sampling=Sampling(algorithm=algorithm, generations=4, max_new_tokens=4, beta=0.01),
        heldout=ROWS[:1],
    )
    lines = read_metrics(tmp_path / "run")
    steps = [line for line in lines if line["loss"] is not None]
    assert [line["left_out"] for line in steps] == [2.0, 2.0]
    assert run.left_out == 4
    assert "4 replies could not be judged" in run.warning
    for line in steps:
        assert line["rewards/moody"] == 0.5
        assert 0 <= line["rewards/letters"] <= 1
        assert math.isfinite(line["reward"])
    assert [line["step"] for line in lines if line.get("eval_reward") is not None] == [0, 2]
    assert read_card(run.finished.adapter).config["method"] == algorithm


def test_replies_follow_the_very_tokens_that_serving_shows(base, tmp_path):
    reinforce(
        ROWS,
        Plan(base=base, out_dir=tmp_path / "run", lora=LORA, recipe=SHORT),
        rewards=[Reward("letters", letters)],
        sampling=SAMPLING,
    )
    form = ChatFormat(load_tokenizer(base).tokenizer)
    lines = read_metrics(tmp_path / "run")
    shown = sum(len(form.prompt_ids(of_pair(row))) for row in ROWS)
    written = sum(line["completions/mean_length"] * 8 for line in lines)
    assert lines[-1]["tokens"] == 4 * shown + written


def test_rewards_that_tell_nothing_apart_are_said(base, tmp_path):
    run = reinforce(
        ROWS,
        Plan(base=base, out_dir=tmp_path / "run", lora=LORA, recipe=SHORT),
        rewards=[Reward("same", lambda rows, replies: [1.0] * len(rows))],
        sampling=SAMPLING,
    )
    assert run.idle == run.finished.steps == 2
    assert "in 2 of 2 steps all replies to each prompt were rewarded alike" in run.warning
    learned = load_file(run.finished.adapter / "adapter_model.safetensors")
    assert all(not value.any() for key, value in learned.items() if "lora_B" in key)


def test_a_resumed_run_equals_an_uninterrupted_one(base, tmp_path):
    plan = Plan(base, tmp_path / "run", lora=LORA, recipe=Recipe(epochs=3, learning_rate=1e-2, batch_size=16))
    rewarded = {"rewards": [Reward("letters", letters)], "sampling": SAMPLING}
    whole = reinforce(ROWS, replace(plan, out_dir=tmp_path / "whole"), **rewarded)

    def stop(line):
        if line["step"] == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reinforce(ROWS, replace(plan, on_step=stop), **rewarded)
    resumed = reinforce(ROWS, replace(plan, resume=True), **rewarded)
    once, twice = (load_file(r.finished.adapter / "adapter_model.safetensors") for r in (whole, resumed))
    assert all((once[key] - twice[key]).abs().max() <= 1e-6 for key in once)
    assert [line["tokens"] for line in read_metrics(tmp_path / "run")] == [
        line["tokens"] for line in read_metrics(tmp_path / "whole")
    ]


@pytest.mark.parametrize(
    ("recipe", "sampling", "what"),
    [
        (Recipe(batch_size=6), SAMPLING, "is 6 replies per step: make it a multiple"),
        (Recipe(batch_size=32), SAMPLING, "there are 4 prompts, but a step takes 8"),
        (Recipe(batch_size=4), Sampling(generations=4, max_new_tokens=500), "longer than 12 tokens"),
    ],
)
def test_batches_that_hold_no_whole_groups_and_prompts_without_room_are_refused(base, tmp_path, recipe, sampling, what):
    with pytest.raises(DataError, match=what):
        reinforce(
            ROWS,
            Plan(base=base, out_dir=tmp_path / "run", recipe=recipe),
            rewards=[Reward("letters", letters)],
            sampling=sampling,
        )
    assert not (tmp_path / "run").exists()


def test_no_rewards_and_two_of_one_name_are_refused(base, tmp_path):
    for rewards in ([], [Reward("a", letters), Reward("a", letters)]):
        with pytest.raises(DataError, match="give one or more, of other names"):
            reinforce(ROWS, Plan(base=base, out_dir=tmp_path / "run", recipe=SHORT), rewards=rewards, sampling=SAMPLING)


values = st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True), st.floats(-3, 3))


@given(st.lists(st.tuples(values, values, st.booleans()), max_size=6))
def test_a_weighted_sum_is_finite_or_none_and_counts_only_what_applies(table):
    rows = [VoicePair(str(n), "", "") for n in range(len(table))]
    first = Reward("first", lambda r, _: [table[int(row.prompt)][0] for row in r], weight=2.0)
    second = Reward(
        "second",
        lambda r, _: [table[int(row.prompt)][1] for row in r],
        weight=-1.0,
        applies=lambda row: table[int(row.prompt)][2],
    )
    sums, given_out = weighted([first, second], rows, [""] * len(rows))
    for (one, other, applies), total in zip(table, sums, strict=True):
        counted = [one, other] if applies else [one]
        if all(value is not None and math.isfinite(value) for value in counted):
            assert total == pytest.approx(2 * one - (other if applies else 0))
        else:
            assert total is None
    assert all(math.isfinite(value) for seen in given_out.values() for value in seen)


def test_a_reward_that_judges_the_wrong_number_of_replies_is_named():
    with pytest.raises(DataError, match="reward 'short' gave 0 values for 1 replies"):
        weighted([Reward("short", lambda rows, replies: [])], ROWS[:1], ["a"])

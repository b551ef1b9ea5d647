"""Presets fill in what the configuration leaves open, and nothing else."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tuning.config import TuningConfig
from tuning.presets import PRESETS, PresetName, preset_lines, with_preset


def value_of(config: TuningConfig, key: str) -> Any:
    found: Any = config.model_dump()
    for part in key.split("."):
        found = found[part]
    return found


@pytest.mark.parametrize("name", get_args(PresetName))
def test_every_preset_is_a_valid_configuration_with_a_reason_per_key(name):
    config = TuningConfig.model_validate({"preset": name, "replay_data": "general.jsonl"})
    for default in PRESETS[name]:
        assert value_of(config, default.key) == default.value
        assert default.why
    assert len(preset_lines(name, {})) == len(PRESETS[name])


@given(st.sampled_from(get_args(PresetName)), st.integers(1, 99), st.floats(1e-6, 1e-1))
def test_what_is_set_beside_a_preset_wins(name, rank, rate):
    given_keys = {"preset": name, "learning_rate": rate, "lora": {"rank": rank}}
    config = TuningConfig.model_validate(given_keys)
    assert config.learning_rate == rate
    assert config.lora is not None
    assert config.lora.rank == rank
    assert given_keys["lora"] == {"rank": rank}, "the given tree is left alone"
    assert any("set in the configuration" in line for line in preset_lines(name, given_keys))


def test_full_tuning_beside_a_preset_stays_full():
    assert TuningConfig.model_validate({"preset": "domain", "lora": None}).lora is None


def test_replay_is_mixed_in_where_there_is_something_to_replay():
    assert "replay" not in with_preset({"preset": "voice"})
    assert with_preset({"preset": "voice", "replay_data": "general.jsonl"})["replay"] == 0.05


def test_an_unknown_preset_is_refused():
    with pytest.raises(ValidationError, match="preset"):
        TuningConfig.model_validate({"preset": "poetry"})

"""Going on from an adapter: its weights are the start, its card says so, and what does not fit is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from groundtone.errors import ModelError
from groundtone.models.adapter import CARD, read_card
from groundtone.types import VoicePair
from tests.tuning.flat import train
from tuning.engine import Finished

Settings = dict[str, Any]


def test_the_first_loss_of_a_new_version_is_the_last_of_the_old(
    tmp_path: Path, pairs: list[VoicePair], settings: Settings, trained: Finished
) -> None:
    new = train(pairs[:4], out_dir=tmp_path / "run", start=trained.adapter, start_name="v1", **settings)
    assert new.first_eval_loss == pytest.approx(trained.last_eval_loss, abs=1e-5)
    card = read_card(new.adapter)
    assert card is not None
    assert card.continued_from == "v1"
    assert card.config["rank"] == trained.card.config["rank"]
    afresh = train(pairs[:4], out_dir=tmp_path / "afresh", **settings)
    assert afresh.first_eval_loss != pytest.approx(trained.last_eval_loss, abs=1e-2)
    assert afresh.card.continued_from == ""


def test_a_stopped_version_goes_on_to_the_same_weights(
    tmp_path: Path, pairs: list[VoicePair], settings: Settings, trained: Finished
) -> None:
    whole = train(pairs, out_dir=tmp_path / "whole", start=trained.adapter, **settings)

    def stop(line: dict[str, Any]) -> None:
        if line["step"] == 3 and line["loss"] is not None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(pairs, out_dir=tmp_path / "stopped", start=trained.adapter, on_step=stop, **settings)
    resumed = train(pairs, out_dir=tmp_path / "stopped", start=trained.adapter, resume=True, **settings)
    files = [run.adapter / "adapter_model.safetensors" for run in (whole, resumed)]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_version_on_a_16_bit_base_keeps_the_digits_that_its_start_has(
    tmp_path: Path, pairs: list[VoicePair], settings: Settings
) -> None:
    given = settings | {"dtype": "bfloat16", "heldout": ()}
    first = train(pairs[:4], out_dir=tmp_path / "first", **given)
    still = train(pairs[:4], out_dir=tmp_path / "still", start=first.adapter, **given | {"learning_rate": 1e-12})
    before, after = (load_file(run.adapter / "adapter_model.safetensors") for run in (first, still))
    assert {tensor.dtype for tensor in after.values()} == {torch.float32}
    for name, tensor in before.items():
        torch.testing.assert_close(after[name], tensor, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rank": 4}, "has rank 8, tuning.lora.rank is 4"),
        ({"alpha": 4}, "has alpha 16"),
        ({"targets": "mlp"}, "adapts other layers"),
        ({"variant": "dora"}, "use_dora"),
        ({"variant": "pissa"}, "as PiSSA"),
    ],
)
def test_another_shape_is_refused(
    tmp_path: Path, pairs: list[VoicePair], settings: Settings, trained: Finished, change: Settings, said: str
) -> None:
    with pytest.raises(ModelError, match=said):
        train(pairs, out_dir=tmp_path / "run", start=trained.adapter, **settings | change)


def test_another_base_is_refused(
    tmp_path: Path, pairs: list[VoicePair], settings: Settings, trained: Finished, folder: Callable[[str], Path]
) -> None:
    with pytest.raises(ModelError, match=r"set model\.id to its base"):
        train(pairs, out_dir=tmp_path / "run", start=trained.adapter, **settings | {"base": str(folder("qwen2"))})
    assert not (tmp_path / "run" / "training.json").exists()


@pytest.mark.parametrize("field", ["template", "chat_template_sha256"])
def test_another_template_and_a_card_that_is_gone_are_refused(
    tmp_path: Path, pairs: list[VoicePair], settings: Settings, trained: Finished, field: str
) -> None:
    start = shutil.copytree(trained.adapter, tmp_path / "start")
    card = read_card(start)
    assert card is not None
    (start / CARD).write_text(replace(card, **{field: "0" * 64}).to_json())
    with pytest.raises(ModelError, match="another template"):
        train(pairs, out_dir=tmp_path / "run", start=start, **settings)
    (start / CARD).unlink()
    with pytest.raises(ModelError, match="has no card"):
        train(pairs, out_dir=tmp_path / "run", start=start, **settings)


def test_a_card_from_before_versions_is_read_as_it_was(trained: Finished) -> None:
    stored = json.loads((trained.adapter / CARD).read_text())
    assert not {"groups", "continued_from", "baked_from"} & set(stored), "lineage is written where there is some"

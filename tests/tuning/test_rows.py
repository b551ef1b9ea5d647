from __future__ import annotations

import pytest

from groundtone.errors import DataError
from groundtone.models.generate import LocalModel
from groundtone.prompts import of_pair
from tests.tiny_models import FAMILIES
from tests.tuning.flat import train
from tuning.rows import IGNORED, fit, preview, render, rows_sha256


@pytest.mark.parametrize("family", FAMILIES)
def test_the_trained_prompt_is_token_for_token_what_serving_shows_the_model(folder, pairs, family):
    model = LocalModel.load(str(folder(family)))
    shown = []

    def spy(_, arguments, given):
        ids = given["input_ids"] if "input_ids" in given else arguments[0]
        shown.append(ids[0].tolist())

    model.base.model.register_forward_pre_hook(spy, with_kwargs=True)
    for row, pair in zip(render(model.format, pairs), pairs, strict=True):
        shown.clear()
        model.generate([of_pair(pair)], max_new_tokens=1)
        assert list(row.ids[: row.prompt_tokens]) == shown[0]
        assert model.format.decode(row.ids[row.prompt_tokens :]).strip() == pair.reply
        assert row.ids[-1] in model.stop_ids(), "what training ends with must end serving"


def test_the_trainer_scores_the_reply_and_its_stop_token_and_nothing_else(folder, pairs, monkeypatch, tmp_path):
    from trl import SFTTrainer

    batches = []
    training_step = SFTTrainer.training_step

    def spy(self, model, inputs, *args, **kwargs):
        batches.append({key: inputs[key].tolist() for key in ("input_ids", "labels", "attention_mask")})
        return training_step(self, model, inputs, *args, **kwargs)

    monkeypatch.setattr(SFTTrainer, "training_step", spy)
    train(pairs, base=str(folder("llama")), out_dir=tmp_path / "run", epochs=1, batch_size=4)
    chat_format = LocalModel.load(str(folder("llama"))).format
    expected = {row.ids: row.labels for row in render(chat_format, pairs)}
    seen = []
    for batch in batches:
        for ids, labels, mask in zip(batch["input_ids"], batch["labels"], batch["attention_mask"], strict=True):
            real = sum(mask)
            assert labels[:real] == expected[tuple(ids[:real])]
            assert labels[real - 1] == chat_format.stop_id
            assert set(labels[real:]) <= {IGNORED}
            seen.append(tuple(ids[:real]))
    assert sorted(seen) == sorted(expected), "every row once per epoch, none dropped, none cut"


def test_fit_drops_or_refuses_but_never_shortens(folder, pairs):
    rows = render(LocalModel.load(str(folder("llama"))).format, pairs)
    sizes = [len(row.ids) for row in rows]
    assert fit(rows, limit=None, drop=False).rows == rows
    assert fit(rows, limit=10_000, drop=False).max_length == max(sizes)
    limit = max(sizes) - 1
    with pytest.raises(DataError, match=f"longer than {limit} tokens"):
        fit(rows, limit=limit, drop=False)
    fitted = fit(rows, limit=limit, drop=True)
    assert {row.index for row in fitted.rows} | {index for index, _ in fitted.dropped} == set(range(len(rows)))
    assert all(tokens > limit for _, tokens in fitted.dropped)
    with pytest.raises(DataError, match="no rows"):
        fit([], limit=None, drop=True)


def test_the_hash_of_rows_follows_content_order_and_side(folder, pairs):
    rows = render(LocalModel.load(str(folder("llama"))).format, pairs)
    hashes = {rows_sha256(rows), rows_sha256(rows[::-1]), rows_sha256(rows[:-1]), rows_sha256(rows[:-1], rows[-1:])}
    assert len(hashes) == 4
    assert rows_sha256(rows) == rows_sha256(list(rows))


def test_a_preview_marks_what_is_trained(folder, pairs):
    chat_format = LocalModel.load(str(folder("llama"))).format
    shown = preview(chat_format, render(chat_format, pairs)[0])
    assert shown.endswith(f"⟦{pairs[0].reply}<|eot_id|>⟧")
    assert shown.count("⟦") == 1

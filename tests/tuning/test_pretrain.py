"""Continued pretraining: every token once, bits per byte that a hand computes, and a domain that becomes cheaper."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundtone.errors import DataError
from groundtone.models.weights import load_base
from tests.tiny_models import tiny_tokenizer
from tuning.encoder_rows import DocumentRow
from tuning.lora import Lora
from tuning.plan import Plan
from tuning.pretrain import bits_per_byte, blocks, pretrain
from tuning.recipe import Recipe
from tuning.recorder import read_metrics

TEXT = "The Heron 2S carries 80 kg and the Otter Lite 60 kg; a Coot 750 charges in 5 hours. "
DOCUMENTS = [DocumentRow(f"d{n}", f"{TEXT * 4} Delivery number {n} takes {n} days.", f"d{n}") for n in range(8)]
TOKENIZER = tiny_tokenizer("llama")
RECIPE = Recipe(epochs=2, learning_rate=1e-2, batch_size=4)


@given(st.lists(st.text(max_size=60), max_size=6), st.integers(2, 40))
def test_blocks_hold_every_token_once_and_in_order(texts, size):
    made = blocks(TOKENIZER, [DocumentRow("", text) for text in texts], size=size)
    wanted = []
    for text in texts:
        wanted += [*TOKENIZER(text, add_special_tokens=False)["input_ids"], TOKENIZER.eos_token_id]
    flat = [token for row in made for token in row.ids]
    assert wanted[: len(flat)] == flat
    assert len(wanted) - len(flat) <= 1, "a last token alone predicts nothing"
    assert all(len(row.ids) == size for row in made[:-1])
    assert all(row.labels == list(row.ids) for row in made)


def test_bits_per_byte_do_not_depend_on_the_batch_and_equal_the_models_own_loss(folder):
    import torch

    base = load_base(str(folder("llama")))
    (cost,) = bits_per_byte(base.model, base.tokenizer, DOCUMENTS[:1], window=512)
    ids = [base.tokenizer.bos_token_id, *base.tokenizer(DOCUMENTS[0].text, add_special_tokens=False)["input_ids"]]
    shown = torch.tensor([ids])
    with torch.no_grad():
        loss = base.model(input_ids=shown, labels=shown).loss.item()
    assert cost == pytest.approx(loss * (len(ids) - 1) / math.log(2) / len(DOCUMENTS[0].text.encode()), rel=1e-4)
    windows = bits_per_byte(base.model, base.tokenizer, DOCUMENTS[:1], window=16)
    assert windows[0] != pytest.approx(cost, rel=1e-6)


@pytest.mark.parametrize("lora", [Lora(targets="all-linear"), None])
def test_held_out_documents_of_the_domain_become_cheaper(folder, tmp_path, lora):
    base = str(folder("qwen2"))
    recipe = RECIPE if lora else Recipe(epochs=2, learning_rate=1e-3, batch_size=4)
    plan = Plan(base, tmp_path / "run", lora=lora, recipe=recipe, max_length=64)
    made = pretrain(DOCUMENTS[:6], plan, heldout=DOCUMENTS[6:])
    assert made.before is not None
    assert made.after is not None
    assert made.change is not None
    assert made.change.n == 2
    assert made.after.mean < made.before.mean
    assert made.change.mean == pytest.approx(made.after.mean - made.before.mean)
    assert made.notes()["bits_per_byte"]["change"]["mean"] == made.change.mean
    assert read_metrics(tmp_path / "run")[0]["eval_loss"] == made.finished.first_eval_loss
    assert made.finished.adapter.name == ("adapter" if lora else "model")


def test_text_that_is_not_there_is_refused(folder, tmp_path):
    with pytest.raises(DataError, match="1 documents hold no text"):
        pretrain(
            [DocumentRow("d", "")], Plan(base=str(folder("llama")), out_dir=tmp_path / "x", lora=Lora(), recipe=RECIPE)
        )

"""Guessing words: documents fill blocks, whole words are hidden, a domain is learned, the encoder serves as a base."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from groundtone.errors import DataError
from groundtone.models.classifier_base import load_encoder_base
from tests.tuning.encoder_worlds import LORA, RECIPE, save_encoder, settings, text_rows, token_rows
from tuning.classify import train_classifier
from tuning.encoder_rows import DocumentRow
from tuning.mlm import train_words
from tuning.mlm_blocks import Masked, Masking, blocks_of
from tuning.plan import Plan
from tuning.rows import IGNORED


def documents(count: int = 30) -> list[DocumentRow]:
    rows = token_rows()
    return [
        DocumentRow(f"d:{n}", " ".join(rows[(n * 5 + m * 7) % len(rows)].text for m in range(4))) for n in range(count)
    ]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("bert"))


def test_blocks_hold_every_token_once_in_order(base: Path) -> None:
    loaded = load_encoder_base(str(base))
    given = documents(7)
    packed = blocks_of(loaded, given, max_tokens=20, packed=True)
    assert all(row.ids[0] == 2 and row.ids[-1] == 3 and len(row.ids) <= 20 for row in packed.rows)
    assert all(len(row.ids) == 20 for row in packed.rows[:-1])
    tokens = [t for row in packed.rows for t in row.ids if t not in (2, 3)]
    tokenizer = loaded.tokenizer()
    assert tokens == [t for d in given for t in tokenizer.encode(d.text, add_special_tokens=False).ids]
    apart = blocks_of(loaded, given, max_tokens=20, packed=False)
    assert sorted(set(apart.documents)) == list(range(7))


def test_whole_words_are_hidden_and_never_special_tokens(base: Path) -> None:
    loaded = load_encoder_base(str(base))
    text = DocumentRow("d", "anna went unbelievably to rome and bert met david in extraordinary cairo")
    rows = blocks_of(loaded, [text] * 3, max_tokens=48, packed=True).rows
    masking = Masking.of(loaded, share=0.3, seed=0)
    shown = Masked(rows, [0] * 50, masking)
    differ = set()
    for place in range(50):
        row, hidden = rows[0], shown[place]
        words = {word for word, target in zip(row.target, hidden.target, strict=True) if target != IGNORED}  # type: ignore[arg-type]
        assert -1 not in words
        for at, word in enumerate(row.target):  # type: ignore[arg-type]
            assert (hidden.target[at] != IGNORED) == (word in words), "all of a word or none"  # type: ignore[index]
            assert hidden.target[at] in (IGNORED, row.ids[at])  # type: ignore[index]
            assert hidden.target[at] != IGNORED or hidden.ids[at] == row.ids[at]  # type: ignore[index]
        assert words
        differ.add(tuple(hidden.ids))
        assert shown[place] == hidden, "the same place hides the same words"
    assert len(differ) > 20


@pytest.mark.parametrize("lora", [LORA, None])
def test_a_domain_is_learned_and_the_encoder_is_a_base(base: Path, tmp_path: Path, lora: object) -> None:
    recipe = replace(RECIPE, epochs=5, learning_rate=1e-2 if lora else 5e-3)
    given = settings(base, recipe=recipe, lora=lora)
    made = train_words(documents()[5:], Plan(out_dir=tmp_path / "run", max_length=32, **given), heldout=documents()[:5])
    assert made.scores is not None
    tuned, before = made.scores.arms
    change = tuned.overall["masked loss, tuned - base"]
    assert change.high is not None
    assert change.high < 0
    assert (tuned.overall["pseudo-perplexity"].mean or 0) < (before.overall["pseudo-perplexity"].mean or 0)
    assert "the base brings no cls.predictions" in made.scores.notes[1]
    again = train_classifier(
        text_rows(), Plan(out_dir=tmp_path / "next", **settings(made.encoder, recipe=replace(RECIPE, epochs=1)))
    )
    assert again.finished.steps == 5


def test_only_hidden_places_reach_the_head_and_the_loss_is_the_same(base: Path) -> None:
    import torch
    from torch.nn.functional import cross_entropy

    from groundtone.models.classifier_base import pad
    from tuning.mlm import _loss, _trainer

    loaded = load_encoder_base(str(base), device="cpu")
    model = loaded.new_model("mlm").model
    rows = blocks_of(loaded, documents(4), max_tokens=24, packed=True).rows[:3]
    hidden = [Masking.of(loaded, share=0.3, seed=1).hide(row, place=n) for n, row in enumerate(rows)]
    shown = pad([row.ids for row in hidden], [row.types for row in hidden], base=loaded)
    width = shown["input_ids"].shape[1]
    labels = torch.tensor([[*row.target, *[IGNORED] * (width - len(row.ids))] for row in hidden])  # type: ignore[misc]
    whole = cross_entropy(model(**shown).logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)
    trainer = _trainer(model, compute_loss_func=_loss, args=None)
    loss, out = trainer.compute_loss(model, {**shown, "labels": labels}, return_outputs=True)
    assert out["logits"].shape[:2] == (1, int((labels != IGNORED).sum()))
    assert loss.item() == pytest.approx(whole.item(), rel=1e-5)
    assert model(**shown).logits.shape[:2] == labels.shape, "elsewhere nothing is left out"


def test_documents_without_words_are_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="hold no text of two words"):
        train_words([DocumentRow("d", "anna")], Plan(out_dir=tmp_path / "run", **settings(base)))

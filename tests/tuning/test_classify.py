"""A classifier learns, is stored whole, judges the same when loaded, and refuses rows that cannot teach."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from groundtone.errors import DataError, ModelError
from groundtone.models.classifier import TextClassifier, TokenClassifier, load_classifier, load_tuned
from groundtone.models.classifier_base import load_encoder_base, pad
from groundtone.models.encoders import MINILM, packaged_minilm
from tests.tuning.encoder_worlds import LORA, RECIPE, save_encoder, settings, text_rows
from tuning.classify import TunedClassifier, train_classifier
from tuning.encoder_rows import TextRow
from tuning.lora import Lora
from tuning.plan import Plan
from tuning.recipe import Recipe


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def trained(base: Path, tmp_path_factory: pytest.TempPathFactory) -> TunedClassifier:
    rows = text_rows()
    out = tmp_path_factory.mktemp("run") / "whole"
    return train_classifier(rows[6:], Plan(out_dir=out, **settings(base)), heldout=rows[:6])


def test_it_learns_and_says_so_beside_the_majority(trained: TunedClassifier) -> None:
    assert trained.finished.last_eval_loss is not None
    assert trained.finished.first_eval_loss is not None
    assert trained.finished.last_eval_loss < 0.5 * trained.finished.first_eval_loss
    assert trained.scores is not None
    tuned, majority = trained.scores.arms
    assert tuned.overall["accuracy"].mean == 1.0
    assert majority.overall["accuracy"].mean == 0.5
    assert tuned.overall["accuracy"].n == 6
    folder = trained.finished.adapter.parent
    assert json.loads((folder / "scores.json").read_text())["labels"] == ["far", "near"]
    assert "| accuracy | 1.000 [" in (folder / "scores.md").read_text()


def test_the_loaded_classifier_does_not_depend_on_the_batch(trained: TunedClassifier) -> None:
    classifier = TextClassifier.load(trained.finished.adapter.parent, device="cpu")
    texts = [row.text for row in text_rows()]
    together = classifier.probabilities(texts)
    alone = np.concatenate([classifier.probabilities([text]) for text in texts[:5]])
    assert np.allclose(together.sum(axis=1), 1.0)
    assert np.allclose(together[:5], alone, atol=1e-5)
    assert classifier.probabilities([]).shape == (0, 2)
    assert isinstance(load_classifier(trained.finished.adapter, device="cpu"), TextClassifier)
    with pytest.raises(ModelError, match="method classify, not tokens"):
        TokenClassifier.load(trained.finished.adapter, device="cpu")
    with pytest.raises(DataError, match="text 1 "):
        classifier.predict(["anna", " "])


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_pairs_keep_their_token_types_in_the_wrapper_and_when_merged(family: str, tmp_path: Path) -> None:
    """PEFT's wrapper for classification hands token types on (the one for question answering does not)."""
    import torch
    from peft import PeftModel

    folder = save_encoder(tmp_path / "base", family)
    rows = [replace(row, pair="it was good") for row in text_rows()[:12]]
    rows = [replace(row, labels=("a" if n % 2 else "b",)) for n, row in enumerate(rows)]
    short = replace(RECIPE, epochs=1)
    made = train_classifier(rows, Plan(out_dir=tmp_path / "run", **settings(folder, recipe=short)))
    loaded = load_encoder_base(str(folder), device="cpu")
    wrapped = PeftModel.from_pretrained(loaded.new_model("classify", labels=["a", "b"]).model, made.finished.adapter)
    merged = load_tuned(made.finished.adapter, "classify", device="cpu").model
    (window,) = loaded.text_format().whole([("anna went", "to rome")])
    shown = pad([window.ids], [window.types], base=loaded)
    with torch.no_grad():
        first, second = wrapped.eval()(**shown).logits, merged(**shown).logits
        flat = merged(**{**shown, "token_type_ids": torch.zeros_like(shown["input_ids"])}).logits
    assert torch.allclose(first, second, atol=1e-5)
    assert ("token_type_ids" in shown) == (family == "bert")
    if family == "bert":
        assert 1 in window.types
        assert not torch.allclose(second, flat, atol=1e-3), "token types change what the model says"


def test_several_labels_at_once_and_none(base: Path, tmp_path: Path) -> None:
    rows = [
        TextRow(f"r:{n}", f"{a} was {b}", None, tuple(x for x in (a, b) if x in ("anna", "bad")), "")
        for n, (a, b) in enumerate([(a, b) for a in ("anna", "bert", "emil") for b in ("bad", "good", "poor")] * 4)
    ]
    made = train_classifier(
        rows,
        Plan(out_dir=tmp_path / "run", **settings(base)),
        heldout=rows[:9],
        multi_label=True,
        class_weights="balanced",
    )
    assert made.scores is not None
    assert made.scores.arms[0].overall["accuracy"].mean == 1.0
    assert made.scores.confusion == ()
    found = TextClassifier.load(tmp_path / "run", device="cpu").predict(["anna was bad", "bert was good"])
    assert [set(item.labels) for item in found] == [{"anna", "bad"}, set()]


def test_a_stopped_run_goes_on_to_the_same_weights(base: Path, trained: TunedClassifier, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    class Stop(Exception):
        pass

    def stop(line: dict[str, object]) -> None:
        if line["step"] == 12:
            raise Stop

    rows, out = text_rows(), tmp_path / "run"
    with pytest.raises(Stop):
        train_classifier(rows[6:], Plan(out_dir=out, on_step=stop, **settings(base)), heldout=rows[:6])
    again = train_classifier(rows[6:], Plan(out_dir=out, resume=True, **settings(base)), heldout=rows[:6])
    before, after = (load_file(r.finished.adapter / "adapter_model.safetensors") for r in (trained, again))
    assert before.keys() == after.keys()
    assert all((before[key] == after[key]).all() for key in before)


def test_the_whole_encoder_can_be_tuned_and_stands_alone(base: Path, tmp_path: Path) -> None:
    rows = text_rows()
    recipe = replace(RECIPE, learning_rate=6e-3, epochs=10)
    made = train_classifier(rows, Plan(out_dir=tmp_path / "run", **settings(base, lora=None, recipe=recipe)))
    assert made.scores is None, "nothing was held out"
    judged = TextClassifier.load(tmp_path / "run", device="cpu").predict([row.text for row in rows])
    assert sum(item.labels == row.labels for item, row in zip(judged, rows, strict=True)) > 0.9 * len(rows)


def test_rows_that_cannot_teach_are_refused(base: Path, tmp_path: Path) -> None:
    rows, given = text_rows(), settings(base)
    one = [row for row in rows if row.labels == ("far",)]
    with pytest.raises(DataError, match="all 18 rows to train on are labelled 'far'"):
        train_classifier(one, Plan(out_dir=tmp_path / "a", **given))
    with pytest.raises(DataError, match=r"'near' \(rows\.jsonl:1, rows\.jsonl:2, rows\.jsonl:3"):
        train_classifier(
            [*one, replace(one[0], labels=("other",))], Plan(out_dir=tmp_path / "b", **given), heldout=rows[:6]
        )
    with pytest.raises(DataError, match="has 2 labels; give it one"):
        train_classifier([*rows, replace(rows[0], labels=("far", "near"))], Plan(out_dir=tmp_path / "c", **given))
    long = replace(rows[0], text="anna went to rome . " * 30, where="rows.jsonl:99")
    with pytest.raises(DataError, match=r"1 rows are longer than the 48 tokens that are shown: rows\.jsonl:99"):
        train_classifier([*rows, long], Plan(out_dir=tmp_path / "d", **given))
    short = replace(RECIPE, epochs=1)
    for how, dropped in (("drop", (36,)), ("cut", ())):
        made = train_classifier(
            [*rows, long], Plan(out_dir=tmp_path / how, over_length=how, **{**given, "recipe": short})
        )
        assert made.finished.dropped == dropped
        assert made.finished.rows == 37 - len(dropped)


def test_a_loss_that_is_not_finite_stops_and_names_rows(base: Path, tmp_path: Path) -> None:
    broken = replace(RECIPE, learning_rate=1e30, schedule="constant", warmup=0.0)
    with pytest.raises(ModelError, match=r"the (loss|gradient) is .*; that step saw the rows \d+"):
        train_classifier(text_rows(), Plan(out_dir=tmp_path / "run", **settings(base, recipe=broken)))
    assert json.loads((tmp_path / "run" / "training.json").read_text())["status"] == "failed"


def test_a_model_that_is_no_encoder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(ModelError, match="'llama' model and no encoder"):
        load_encoder_base(str(tmp_path), device="cpu")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ModelError, match=r"no tokenizer\.json"):
        load_encoder_base(str(tmp_path), device="cpu")


def test_an_adapter_of_another_base_or_without_a_card_is_refused(trained: TunedClassifier, tmp_path: Path) -> None:
    other = save_encoder(tmp_path / "other", seed=3)
    with pytest.raises(ModelError, match="not on the weights in"):
        TextClassifier.load(trained.finished.adapter, base=str(other), device="cpu")
    with pytest.raises(ModelError, match="no card"):
        load_classifier(other)


@pytest.mark.parametrize(
    ("targets", "inside", "outside"), [("mlp", "intermediate.dense", "attention"), (["query"], "query", "dense")]
)
def test_the_layers_that_were_asked_for_are_adapted(
    base: Path, tmp_path: Path, targets: str, inside: str, outside: str
) -> None:
    from safetensors.numpy import load_file

    lora, recipe = replace(LORA, targets=targets), replace(RECIPE, epochs=1)
    made = train_classifier(text_rows(), Plan(out_dir=tmp_path / "run", **settings(base, lora=lora, recipe=recipe)))
    names = [name for name in load_file(made.finished.adapter / "adapter_model.safetensors") if "lora" in name]
    assert any(inside in name for name in names)
    assert not any(outside in name for name in names)
    with pytest.raises(ModelError, match="nolayer cannot be adapted"):
        train_classifier(
            text_rows(), Plan(out_dir=tmp_path / "x", **settings(base, lora=replace(LORA, targets=["nolayer"])))
        )


@pytest.mark.skipif(packaged_minilm() is None, reason="needs the packaged all-MiniLM-L6-v2")
def test_minilm_learns_intents_in_seconds(tmp_path: Path) -> None:
    """40 rows of three intents; held-out rows name other things in the same ways."""
    asked = {
        "refund": ("I want my money back for {}", "please refund {}"),
        "delivery": ("when will {} arrive", "track the parcel with {}"),
        "repair": ("{} is broken, can you fix it", "please repair {}"),
    }
    things = ("the bike", "a lamp", "my helmet", "the pump", "two tyres", "a saddle", "the chain", "this lock")
    rows = [
        TextRow(f"r:{thing}", ask.format(thing), None, (intent,), thing)
        for thing in things
        for intent, ways in asked.items()
        for ask in ways
    ]
    recipe = Recipe(epochs=3, learning_rate=4e-3, batch_size=12, seed=1)
    lora = Lora(rank=8, alpha=16, targets="all-linear")
    plan = Plan(MINILM, tmp_path / "run", device="cpu", recipe=recipe, lora=lora)
    made = train_classifier(rows[:36], plan, heldout=rows[36:])
    assert made.scores is not None
    accuracy = made.scores.arms[0].overall["accuracy"]
    assert accuracy.mean is not None
    assert accuracy.mean >= 0.9
    assert (made.finished.adapter / "adapter_model.safetensors").stat().st_size < 4_000_000

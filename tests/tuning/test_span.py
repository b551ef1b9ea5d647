"""Tuning a reader: it learns, it is saved whole, it reads the same when loaded, and bad rows are named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from groundtone.errors import DataError, ModelError, ProjectError
from groundtone.models.reader import Reader
from groundtone.models.span_format import SpanFormat
from tests.tiny_encoders import save_word_encoder
from tuning.engine import Finished
from tuning.lora import Lora, Variant
from tuning.plan import Plan
from tuning.recipe import Recipe
from tuning.recorder import read_metrics
from tuning.span import laid_out, train_reader
from tuning.span_base import load_reader_base
from tuning.span_rows import SpanRow, encode, read_span_rows

NAMES = "heron otter teal gull finch robin"
PLACES = "harbour attic cellar garden tower stable"
WIDE = Lora(targets="all-linear")
WORDS = f"where is the it stands in at today and was painted {NAMES} {PLACES}".split()


def rows() -> list[SpanRow]:
    """ "Where is X?" over a passage that says where something is; half of the passages are about another thing."""
    made = []
    for i, name in enumerate(NAMES.split()):
        for j, place in enumerate(PLACES.split()):
            told = (i + j) % 2
            context = (
                f"the {name} stands in the {place} . it was painted today ." if told else f"the {name} was painted ."
            )
            start = context.index(place) if told else -1
            made.append(SpanRow(f"where is the {name} ?", context, "", start, place if start >= 0 else "", name))
    return made


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_word_encoder(tmp_path_factory.mktemp("encoder"), words=WORDS)


def tune(
    base: Path, out: Path, *, epochs: int = 12, resume: bool = False, lora: Lora = WIDE, **given: object
) -> Finished:
    recipe = Recipe(epochs=epochs, learning_rate=1e-2, schedule="linear", warmup=0.05, batch_size=6)
    plan = Plan(str(base), out, lora=lora, recipe=recipe, resume=resume, device="cpu", **given)  # type: ignore[arg-type]
    return train_reader(rows(), plan, heldout=rows()[:6], checkpoint_steps=20)


@pytest.fixture(scope="module")
def trained(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return tune(base, tmp_path_factory.mktemp("run") / "reader")


def test_a_reader_learns_to_point(base: Path, trained: Finished) -> None:
    assert trained.first_eval_loss is not None
    assert trained.last_eval_loss is not None
    assert trained.last_eval_loss < 0.6 * trained.first_eval_loss
    reader = Reader.load(trained.adapter, base=str(base), device="cpu")
    answered = [row for row in rows() if row.start >= 0]
    found = reader.read_many([(row.question, row.heading, row.context) for row in answered])
    right = sum(reading.text == row.text for reading, row in zip(found, answered, strict=True))
    assert right > 0.8 * len(answered)


def test_a_reading_stands_in_its_passage_and_does_not_depend_on_the_batch(base: Path, trained: Finished) -> None:
    reader = Reader.load(trained.adapter, base=str(base), device="cpu")
    asked = [(row.question, "harbour", row.context) for row in rows()]
    together = reader.read_many(asked)
    for (_, _, context), reading in zip(asked, together, strict=True):
        assert context[reading.start : reading.end] == reading.text
        assert max(part.score for part in reading.sentences) <= reading.score
        for part in reading.sentences:
            assert part.sentence[0] <= part.answer[0] < part.answer[1] <= part.sentence[1]
    alone = [reader.read_many([row])[0] for row in asked[:4]]
    assert [r.text for r in alone] == [r.text for r in together[:4]]
    assert [r.score for r in alone] == pytest.approx([r.score for r in together[:4]], abs=0.1)


@pytest.mark.parametrize("variant", ["plain", "rslora"])
def test_the_engines_read_as_the_trained_model_does(
    base: Path, trained: Finished, tmp_path: Path, variant: Variant
) -> None:
    """The merged weights in numpy against PEFT's own forward pass."""
    if variant != "plain":
        trained = tune(base, tmp_path / "run", epochs=2, lora=Lora(targets="all-linear", variant=variant))
    import torch
    from peft import PeftModel

    from groundtone.models.encoders.bert_numpy import NumpyBert

    loaded = load_reader_base(str(base), device="cpu")
    model = PeftModel.from_pretrained(loaded.new_model(), str(trained.adapter)).eval()
    reader = Reader.load(trained.adapter, base=str(base), device="cpu")
    engine = NumpyBert(reader._folder, updates=reader._updates)
    shown = loaded.span_format.show([rows()[1].question], ["harbour"], [rows()[1].context])[0]
    with torch.no_grad():
        out = model(input_ids=torch.tensor([shown.ids]))
    (states,) = engine.states([shown.ids])
    logits = states @ reader._head[0].T + reader._head[1]
    assert logits[:, 0].tolist() == pytest.approx(out.start_logits[0].tolist(), abs=1e-3)
    assert logits[:, 1].tolist() == pytest.approx(out.end_logits[0].tolist(), abs=1e-3)


def test_a_reader_whose_adapter_is_no_addition_is_refused(base: Path, tmp_path: Path) -> None:
    made = tune(base, tmp_path / "run", epochs=1, lora=Lora(targets="all-linear", variant="dora"))
    with pytest.raises(ModelError, match="is a DoRA"):
        Reader.load(made.adapter, base=str(base), device="cpu")


def test_an_empty_passage_has_no_answer(base: Path, trained: Finished) -> None:
    (reading,) = Reader.load(trained.adapter, base=str(base), device="cpu").read("where is the heron ?", [("", "")])
    assert (reading.text, reading.score) == ("", float("-inf"))


def test_a_stopped_run_goes_on_to_the_same_weights(base: Path, trained: Finished, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    class Stop(Exception):
        pass

    def stop(line: dict[str, object]) -> None:
        if line["step"] == 40:
            raise Stop

    with pytest.raises(Stop):
        tune(base, tmp_path / "run", on_step=stop)
    assert json.loads((tmp_path / "run" / "training.json").read_text())["status"] == "failed"
    again = tune(base, tmp_path / "run", resume=True)
    before, after = (load_file(r.adapter / "adapter_model.safetensors") for r in (trained, again))
    assert before.keys() == after.keys()
    assert all((before[key] == after[key]).all() for key in before)
    assert [line["step"] for line in read_metrics(tmp_path / "run")][-1] == again.steps


def test_the_reader_of_another_base_or_format_is_refused(base: Path, trained: Finished, tmp_path: Path) -> None:
    other = save_word_encoder(tmp_path / "other", words=WORDS, seed=7)
    with pytest.raises(ModelError, match="not on the weights"):
        Reader.load(trained.adapter, base=str(other), device="cpu")
    card = trained.adapter / "groundtone.json"
    text = card.read_text()
    card.write_text(text.replace('"span-1"', '"span-0"'))
    with pytest.raises(ModelError, match="span-0"):
        Reader.load(trained.adapter, base=str(base), device="cpu")
    card.write_text(text)


def test_a_finished_folder_is_not_overwritten(base: Path, trained: Finished) -> None:
    with pytest.raises(ProjectError, match="already holds"):
        tune(base, trained.adapter.parent)


def test_every_pass_sees_every_row_once_and_pads_little() -> None:
    lengths = [5 + (7 * i) % 300 for i in range(1000)]
    order = laid_out(lengths, size=20, epochs=2, seed=1)
    assert sorted(order[:1000]) == sorted(order[1000:]) == list(range(1000))
    assert order[:1000] != order[1000:]
    assert order == laid_out(lengths, size=20, epochs=2, seed=1)
    padded = sum(20 * max(lengths[i] for i in order[at : at + 20]) for at in range(0, 1000, 20))
    assert padded < 1.05 * sum(lengths)


def test_rows_that_cannot_teach_are_refused(base: Path, tmp_path: Path) -> None:
    only_answers = [row for row in rows() if row.start >= 0]
    with pytest.raises(DataError, match="with and without"):
        train_reader(
            only_answers, Plan(base=str(base), out_dir=tmp_path / "x", lora=Lora(), recipe=Recipe(), device="cpu")
        )


def test_a_causal_model_is_no_reader_base(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama", "max_position_embeddings": 64}')
    with pytest.raises(ModelError, match="llama"):
        load_reader_base(str(tmp_path), device="cpu")


def test_tokens_never_end_outside_the_passage(base: Path) -> None:
    from tokenizers import Tokenizer

    shown = SpanFormat(Tokenizer.from_file(str(base / "tokenizer.json")), max_tokens=32)
    text = " ".join(["the heron stands in the harbour ."] * 20)
    (row,) = shown.show(["where is the heron ? " * 20], ["harbour " * 30], [text])
    assert len(row.ids) == len(row.offsets) == 32
    inside = [span for span in row.offsets if span]
    assert all(0 <= a < b <= len(text) for a, b in inside)
    first = row.tokens_of(*inside[3])
    assert first is not None
    assert row.offsets[first[0]] == inside[3]
    assert row.tokens_of(len(text) - 5, len(text)) is None, "cut off"


def test_rows_whose_answer_is_cut_off_are_counted(base: Path) -> None:
    from tokenizers import Tokenizer

    shown = SpanFormat(Tokenizer.from_file(str(base / "tokenizer.json")), max_tokens=24)
    far = "it was painted today . " * 20 + "the heron stands in the tower"
    given = [SpanRow("where is the heron ?", far, "", far.index("tower"), "tower", "s"), rows()[1]]
    encoded, dropped = encode(shown, given)
    assert (len(encoded), dropped) == (1, (0,))


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{", "broken JSON"),
        ("[]", "a list where an object"),
        ('{"question": "", "context": "c", "answer": null}', "question is ''"),
        ('{"question": "q", "context": "abc", "answer": {"start": 1, "text": "xx"}}', "does not stand at character 1"),
        ('{"question": "q", "context": "abc", "answer": {"start": -2, "text": "c"}}', "does not stand"),
        ('{"question": "q", "context": "abc", "answer": "b"}', "write null"),
        ('{"question": "q", "context": "abc", "anwser": null}', "unknown fields anwser"),
    ],
)
def test_a_bad_row_is_named_with_its_line(tmp_path: Path, line: str, what: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"question": "q", "context": "abc", "answer": {"start": 1, "text": "b"}}\n' + line + "\n")
    with pytest.raises(DataError, match=r"rows\.jsonl:2") as found:
        read_span_rows(path)
    assert what in str(found.value)

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from groundtone import prompts
from groundtone.errors import DataError, ModelError
from groundtone.models.config import ModelConfig
from groundtone.models.extractive import ExtractiveModel
from groundtone.models.load import load_generator
from groundtone.models.scripted import ScriptedModel
from groundtone.models.streaming import settled
from groundtone.refusal import is_refusal
from groundtone.types import Hit, Passage, Prompt, Snippet

PASSAGES = (
    ("Delivery > Times", "Standard delivery takes 3 days. Express delivery takes 1 day."),
    ("Batteries > Range", "The Coot 500 lasts 40 km on one charge. The Coot 750 lasts 65 km on one charge."),
    ("Leave > Parental", "Parents take 16 weeks of paid leave."),
)


def ask(question: str, passages: tuple[tuple[str, str], ...] = PASSAGES) -> Prompt:
    snippets = [
        Snippet(n, Hit(Passage(f"p{n}", "d", "s", text, 0, len(text), heading), 0.0), text)
        for n, (heading, text) in enumerate(passages, 1)
    ]
    return prompts.grounded(question, snippets)


def say(question: str, passages: tuple[tuple[str, str], ...] = PASSAGES, max_new_tokens: int = 96) -> str:
    return ExtractiveModel().generate([ask(question, passages)], max_new_tokens=max_new_tokens)[0].text


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("How long does express delivery take?", "Express delivery takes 1 day [1]."),
        ("How far does the Coot 750 go on one charge?", "The Coot 750 lasts 65 km on one charge [2]."),
        ("How many weeks of leave do parents take?", "Parents take 16 weeks of paid leave [3]."),
    ],
)
def test_the_best_sentence_is_quoted_whatever_the_order_of_passages(question, expected):
    assert say(question) == expected
    moved = say(question, PASSAGES[::-1])
    assert moved.rsplit(" [", 1)[0] == expected.rsplit(" [", 1)[0]
    assert moved.endswith(f"[{4 - int(expected[-3])}].")


@pytest.mark.parametrize(
    "question", ["What colour is the harbour master's hat?", "Who founded the company?", "?", "how"]
)
def test_a_question_that_no_passage_covers_is_refused(question):
    assert say(question) == prompts.REFUSAL
    assert is_refusal(say(question))
    assert say(question, ()) == prompts.REFUSAL


def test_a_question_of_two_parts_gets_two_quotes_while_there_is_room():
    question = "How long is express delivery, and how many weeks of leave do parents take?"
    both = say(question)
    assert "[1]" in both
    assert "[3]" in both
    assert say(question, max_new_tokens=12).count("[") == 1


def test_table_rows_are_spelled_out_and_foreign_markers_are_no_citations():
    table = (("Prices > Bikes > Model | Price", "| Heron 2 | 3,900 euros |\n| Heron 2S | 4,400 euros |"),)
    assert say("What is the price of the Heron 2S model?", table) == "Model: Heron 2S; Price: 4,400 euros [1]."
    faked = (("Notes", "Express delivery takes 1 day [7]."),)
    assert say("How long does express delivery take?", faked) == "Express delivery takes 1 day (7) [1]."


def test_everything_said_stands_in_a_passage_and_streams_to_the_same_text():
    model = ExtractiveModel()
    for question in ("How long does delivery take?", "Coot 500 range on a charge?", "Leave?"):
        text = say(question)
        assert "".join(model.stream(ask(question), max_new_tokens=96)) == text
        if text != prompts.REFUSAL:
            body = text.rsplit(" [", 1)[0]
            assert any(body in passage for _, passage in PASSAGES)


def test_a_script_replies_by_question_by_function_or_always_the_same():
    prompt = ask("How long?")
    assert ScriptedModel({"How long?": "3 days"}).generate([prompt], max_new_tokens=9)[0].text == "3 days"
    assert ScriptedModel({}).generate([prompt], max_new_tokens=99)[0].text == prompts.REFUSAL
    echo = ScriptedModel(lambda p: p.question)
    assert echo.generate([prompt], max_new_tokens=9)[0].text == "How long?"
    cut = ScriptedModel("one two three").generate([prompt], max_new_tokens=2)[0]
    assert (cut.text, cut.reply_tokens, cut.finish) == ("one two", 2, "length")
    assert "".join(ScriptedModel("a  b\n c ").stream(prompt, max_new_tokens=9)) == "a  b\n c "


def test_ids_are_dispatched_and_nonsense_is_named(folder, tmp_path):
    prompt = ask("How long?")
    assert load_generator("extractive").name == "extractive"
    assert load_generator("scripted:Hello there").generate([prompt], max_new_tokens=9)[0].text == "Hello there"
    script = tmp_path / "replies.json"
    script.write_text(json.dumps({"How long?": "3 days"}), encoding="utf-8")
    assert load_generator(f"scripted:@{script}").generate([prompt], max_new_tokens=9)[0].text == "3 days"
    script.write_text("[]", encoding="utf-8")
    with pytest.raises(DataError, match="JSON object"):
        load_generator(f"scripted:@{script}")
    with pytest.raises(ModelError, match="cannot carry the adapter"):
        load_generator("extractive", adapter="somewhere")
    settings = ModelConfig(id=str(folder("llama"))).model_dump()
    assert load_generator(**settings).name == "llama"


def test_settled_pieces_join_to_the_whole_and_are_never_taken_back():
    texts = [
        "  Ahoy there, \ufffd",
        "Zürich �",
        "a\n\nUser: b",
        "x\nUs",
        "\n\n",
        "a \n User",
        "\nUser:",
        "end\nUser:\nUser:",
    ]
    for text in texts:
        for stops in ((), ("\nUser:",)):
            grown = [text[: n + 1] for n in range(len(text))]
            pieces = list(settled(grown, stops=stops))
            assert "".join(pieces) == (text.split("\nUser:")[0] if stops else text).strip()
            assert all(pieces)


def test_importing_the_dispatcher_loads_nothing_heavy():
    code = (
        "import sys, groundtone.models, groundtone.models.config, tuning.config, tuning.pairs, tuning.sft;"
        "heavy = {'torch', 'transformers', 'peft', 'trl', 'datasets', 'langchain', 'huggingface_hub'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

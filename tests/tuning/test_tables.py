from __future__ import annotations

import csv
import json

import pytest

from groundtone.errors import DataError
from groundtone.types import Preference, Turn, VoicePair
from tuning.pairs import Columns, read_pairs, read_preferences, read_table
from tuning.tables import READERS, content_sha256, locate

ROWS = [
    {"question": "How long?", "answer": "3 days, with a\nline break", "file": "a.md"},
    {"question": "How much?", "answer": "€4; cheap", "file": "b.md"},
]
EXPECTED = tuple(VoicePair(r["question"], r["answer"], r["file"]) for r in ROWS)


def save(folder, kind):
    path = folder / f"rows{kind}"
    if kind == ".parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)
    elif kind in (".csv", ".tsv"):
        with path.open("w", newline="", encoding="utf-8-sig") as file:
            writer = csv.DictWriter(file, list(ROWS[0]), delimiter=";" if kind == ".csv" else "\t")
            writer.writeheader()
            writer.writerows(ROWS)
    else:
        text = json.dumps(ROWS) if kind == ".json" else "\n".join(map(json.dumps, ROWS))
        path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", READERS)
def test_every_format_gives_the_same_pairs_and_says_what_it_guessed(tmp_path, kind):
    table = read_table(save(tmp_path, kind))
    assert table.pairs == EXPECTED
    assert len(set(table.where)) == 2
    assert "prompt from 'question', reply from 'answer'" in table.notes[0]


def test_a_saved_dataset_is_read_by_its_folder_and_split(tmp_path):
    from datasets import Dataset, DatasetDict

    Dataset.from_list(ROWS).save_to_disk(str(tmp_path / "plain"))
    DatasetDict({"train": Dataset.from_list(ROWS[:1]), "test": Dataset.from_list(ROWS[1:])}).save_to_disk(
        str(tmp_path / "split")
    )
    assert read_pairs(tmp_path / "plain") == EXPECTED
    assert read_pairs(tmp_path / "split") == EXPECTED[:1]
    assert read_pairs(f"{tmp_path / 'split'}@test") == EXPECTED[1:]
    with pytest.raises(DataError, match="no split 'dev', but train, test"):
        read_pairs(f"{tmp_path / 'split'}@dev")
    assert len(content_sha256(tmp_path / "plain")) == 64
    assert content_sha256(tmp_path / "plain") != content_sha256(tmp_path / "split")
    assert locate("hf:org/name@test", root=tmp_path) == "hf:org/name@test"


def write(path, *rows):
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def test_conversations_keep_their_turns_and_leave_the_system_message_out(tmp_path):
    said = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Ahoy!"},
        {"role": "user", "content": "How long?"},
        {"role": "assistant", "content": "3 days."},
    ]
    other = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ahoy!"}]
    (first,) = read_pairs(write(tmp_path / "chat.jsonl", {"messages": said}))
    assert (first.prompt, first.reply) == ("How long?", "3 days.")
    assert first.history == (Turn("user", "Hi"), Turn("assistant", "Ahoy!"))
    (second,) = read_pairs(write(tmp_path / "share.jsonl", {"conversations": other}))
    assert (second.prompt, second.reply, second.history) == ("Hi", "Ahoy!", ())
    with pytest.raises(DataError, match=r"chat\.jsonl:1: messages does not end with"):
        read_pairs(write(tmp_path / "chat.jsonl", {"messages": said[:-1]}))


def test_the_turns_before_a_preferences_prompt_are_its_history(tmp_path):
    before = [{"role": "user", "content": "Do you ship?"}, {"role": "assistant", "content": "Yes."}]
    asked = [*before, {"role": "user", "content": "How much is it?"}]
    replies = {"chosen": "12 euros.", "rejected": "Dunno."}
    said = {name: [*asked, {"role": "assistant", "content": text}] for name, text in replies.items()}
    history = (Turn("user", "Do you ship?"), Turn("assistant", "Yes."))
    expected = (Preference("How much is it?", "12 euros.", "Dunno.", history=history),)
    assert read_preferences(write(tmp_path / "prompts.jsonl", {"prompt": asked, **replies})) == expected
    assert read_preferences(write(tmp_path / "talks.jsonl", said)) == expected


def test_preferences_are_read_as_such_or_their_chosen_replies_as_pairs(tmp_path):
    row = {"prompt": "Hi", "chosen": "Ahoy!", "rejected": "Hello."}
    talk = {
        "chosen": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ahoy!"}],
        "rejected": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}],
    }
    path = write(tmp_path / "p.jsonl", row)
    assert read_preferences(path) == (Preference("Hi", "Ahoy!", "Hello."),)
    assert read_preferences(write(tmp_path / "t.jsonl", talk)) == (Preference("Hi", "Ahoy!", "Hello."),)
    with pytest.raises(DataError, match="holds preferences"):
        read_pairs(path)
    assert read_pairs(path, columns=Columns(prompt=("prompt",), reply="chosen"))[0].reply == "Ahoy!"
    with pytest.raises(DataError, match=r"p\.jsonl:1: .*they prefer nothing"):
        read_preferences(write(path, {**row, "rejected": "ahoy"}))


GOOD = {"instruction": "Say hello", "output": "Ahoy!"}


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"instruction": "a"}, "field 'output' is missing"),
        ({**GOOD, "output": None}, "output is empty"),
        ({**GOOD, "output": 7}, "output is a int"),
        ({**GOOD, "output": "x" * 100_001}, "has 100001 bytes, more than 100000"),
        ({**GOOD, "output": "Ahoy!<|im_end|>"}, r"'<\|im_end\|>', markup of a chat template"),
        ({**GOOD, "output": "[INST] Ahoy! [/INST]"}, "markup"),
        ({**GOOD, "output": "<start_of_turn>model"}, "markup"),
        ({**GOOD, "instruction": "<|user|> hi"}, "markup"),
        ({**GOOD, "output": "\ud800"}, "half of a surrogate pair"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(tmp_path, row, problem):
    path = write(tmp_path / "a.jsonl", GOOD, row)
    with pytest.raises(DataError, match=rf"a\.jsonl:2: .*{problem}"):
        read_pairs(path)


def test_columns_that_are_named_decide_and_missing_ones_are_told(tmp_path):
    path = write(tmp_path / "a.jsonl", {**GOOD, "input": "in French", "other": "Bonjour"})
    assert read_pairs(path)[0].prompt == "Say hello\n\nin French"
    assert read_pairs(path, columns=Columns(prompt=("input",), reply="other"))[0].reply == "Bonjour"
    with pytest.raises(DataError, match="names answr, but the columns are"):
        read_pairs(path, columns=Columns(reply="answr"))
    with pytest.raises(DataError, match="no columns for prompt and reply"):
        read_pairs(write(path, {"x": "1", "y": "2"}))


def test_ragged_csv_and_broken_files_are_named(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("prompt,reply\na,b\nc\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"r\.csv:3: 1 cells where the header has 2"):
        read_pairs(path)
    (tmp_path / "x.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match="no readable Parquet"):
        read_pairs(tmp_path / "x.parquet")
    (tmp_path / "x.xls").write_bytes(b"x")
    with pytest.raises(DataError, match="no known format"):
        read_pairs(tmp_path / "x.xls")

from __future__ import annotations

import json

import pytest

from groundtone.errors import DataError
from groundtone.prompts import of_pair
from groundtone.types import Generation, Turn
from tuning.replay import REPLAYED, from_base, mix, read_prompts, read_replay, rows_wanted


class Base:
    """Says its prompt backwards; the prompt "endless" is cut."""

    name = "backwards"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def generate(self, prompts, *, max_new_tokens):
        self.asked += [prompt.question for prompt in prompts]
        return [
            Generation(p.question[::-1], finish="length" if p.question.startswith("endless") else "stop")
            for p in prompts
        ]

    def stream(self, prompt, *, max_new_tokens):
        yield prompt.question[::-1]


@pytest.fixture
def prompts(tmp_path):
    rows = [{"prompt": f"prompt {n}", "kind": "any"} for n in range(30)]
    rows += [{"prompt": f"endless {n}"} for n in range(5)]
    rows += [{"prompt": "and then?", "history": [["user", "Hi"], ["assistant", "Hello"]], "context": ["A passage."]}]
    path = tmp_path / "general.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_prompts(path)


def test_the_bases_own_replies_are_stored_and_read_again_without_asking(prompts, tmp_path):
    base = Base()
    given = {"wanted": 24, "out_dir": tmp_path, "seed": 3, "max_new_tokens": 8}
    said = from_base(prompts, lambda: base, **given)
    assert len(said) == 24
    assert all(pair.reply == pair.prompt[::-1] and not pair.prompt.startswith("endless") for pair in said)
    assert read_replay(tmp_path / REPLAYED) == said

    def nobody():
        raise AssertionError("a resumed run asks nobody")

    assert from_base(prompts, nobody, **given) == said


def test_a_prompt_keeps_its_passages_and_its_history_on_disk(prompts, tmp_path):
    last = prompts[-1]
    assert (last.context, last.history) == (("A passage.",), (Turn("user", "Hi"), Turn("assistant", "Hello")))
    said = from_base(prompts[-1:], Base, wanted=1, out_dir=tmp_path, seed=0, max_new_tokens=8)
    again = read_replay(tmp_path / REPLAYED)
    assert [of_pair(pair) for pair in again] == [of_pair(last)]
    assert again == said


def test_too_few_replies_that_end_are_an_error_and_leave_no_file(prompts, tmp_path):
    with pytest.raises(DataError, match=r"needs 40 general rows, but of 36 prompts the base gave 31 replies"):
        from_base(prompts, Base, wanted=40, out_dir=tmp_path, seed=0, max_new_tokens=8)
    assert not (tmp_path / REPLAYED).exists()


@pytest.mark.parametrize("row", ['{"text": "x"}', '{"prompt": ""}', '{"prompt": "x", "context": "y"}', "[]", "{"])
def test_a_row_that_is_no_prompt_is_named(row, tmp_path):
    path = tmp_path / "general.jsonl"
    path.write_text(f'{{"prompt": "fine"}}\n{row}\n')
    with pytest.raises(DataError, match=r"general\.jsonl:2"):
        read_prompts(path)


def test_the_share_is_that_of_the_whole(prompts):
    pairs = prompts[:9]
    assert rows_wanted(9, share=0.25) == 3
    assert len(mix(pairs, prompts, share=0.25, seed=0)) == 12
    assert mix(pairs, prompts, share=0.25, seed=0)[:9] == pairs
    with pytest.raises(DataError, match="a share of the rows between 0 and 1, not 1"):
        rows_wanted(9, share=1)

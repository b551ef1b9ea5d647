"""The starter that lies in data/starter: its record fits the code, and it reads, refuses and talks."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from groundtone import prompts
from groundtone.models.generate import LocalModel
from groundtone.refusal import is_refusal
from groundtone.text import contains_value

FOLDER = Path(__file__).resolve().parents[2] / "data" / "starter"
NAMES = ("Marrowby", "Tanglewick", "Dunmore 3", "Quillfeather", "Brackhurst", "Ostenby", "Velloway", "Corrimoor")


@pytest.fixture(scope="module")
def starter() -> LocalModel:
    return LocalModel.load("starter")


def test_it_was_trained_on_the_prompts_that_serving_writes() -> None:
    record = json.loads((FOLDER / "training.json").read_text(encoding="utf-8"))
    assert record["prompt_template"] == prompts.template_hash()
    assert record["parameters"] < 4_000_000


def test_the_folder_stays_small_and_holds_its_licence() -> None:
    assert sum(file.stat().st_size for file in FOLDER.iterdir() if file.is_file()) < 40_000_000
    assert (FOLDER / "NOTICE").is_file()


def test_it_copies_invented_values_from_the_passage_that_was_asked_for(starter: LocalModel) -> None:
    rng = random.Random(3)
    asked, values = [], []
    for name in NAMES:
        right, wrong = (f"€{rng.randint(11, 99)}" for _ in range(2))
        other = rng.choice([n for n in NAMES if n != name])
        context = (f"The deposit for the {name} is {right}.", f"The deposit for the {other} is {wrong}.")
        asked.append(prompts.grounded(f"How high is the deposit for the {name}?", prompts.context_snippets(context)))
        values.append(right)
    replies = starter.generate(asked, max_new_tokens=48)
    right_ones = sum(contains_value(r.text, v) and "[1]" in r.text for r, v in zip(replies, values, strict=True))
    assert right_ones >= 6, [r.text for r in replies]


def test_it_does_not_make_up_what_it_was_not_shown(starter: LocalModel) -> None:
    """Without passages it says that it does not know; with a wrong one it often copies it, see the model card."""
    asked = [prompts.closed_book(f"How high is the deposit for the {name}?") for name in NAMES]
    replies = starter.generate(asked, max_new_tokens=48)
    assert sum(is_refusal(r.text) for r in replies) >= 6, [r.text for r in replies]


def test_it_greets(starter: LocalModel) -> None:
    (reply,) = starter.generate([prompts.closed_book("Hello")], max_new_tokens=32)
    assert "hello" in reply.text.lower()
    assert reply.finish == "stop"

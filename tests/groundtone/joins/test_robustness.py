"""Probes of robustness: every question is asked over the passages that were set for it, however it is searched for."""

from __future__ import annotations

from pathlib import Path

import pytest

from eval.style import Style
from groundtone.joins.arms import Models
from groundtone.joins.indexing import silent
from groundtone.joins.robustness import Probe, ask_robustness
from groundtone.models.load import load_generator
from groundtone.settings import load_settings
from groundtone.types import Gold, Hit, Passage, Question

WEIGHT, PRICE = "The Otter weighs 32 kg.", "The Otter costs 4,200 euros."


def _hit(source: str, text: str) -> Hit:
    return Hit(Passage(source, source, source, text, 0, len(text)), 1.0, best=((0, len(text)),))


@pytest.mark.parametrize(
    "text",
    [
        "What does the Otter weigh, and what does it cost?",  # searched for in two parts
        "Hello! What does the Otter weigh?",  # the greeting is not searched for
        "What does the Otter weigh?",
    ],
)
def test_questions_that_are_searched_for_in_other_words_meet_their_passages(tmp_path: Path, text: str) -> None:
    (tmp_path / "groundtone.yaml").touch()
    settings = load_settings(tmp_path, ["assistant.mode=strict", "assistant.reader=null"])
    hits = (_hit("weights.md", WEIGHT), _hit("prices.md", PRICE))
    gold = Gold((("32 kg",),), (("weights.md", WEIGHT),))
    probes = [
        Probe(Question(f"a{n}#noise{n}", text, gold=gold, kind=f"robust_noise_{n}"), hits[: n + 1]) for n in (0, 1)
    ]
    models = Models(load_generator(f"scripted:{WEIGHT} [1]"), None)
    records = ask_robustness(settings, probes, models, style=Style(), out_dir=tmp_path, progress=silent)
    assert [record.error for record in records] == ["", ""]
    assert [len(record.answer.hits) for record in records if record.answer] == [1, 2]


def test_the_reader_of_the_assistant_reads_what_was_placed(tmp_path: Path) -> None:
    """Without it, what quotes would quote whichever passage a hash put first, and be measured for that."""
    (tmp_path / "groundtone.yaml").touch()
    settings = load_settings(tmp_path, ["assistant.mode=strict"])
    hits = (_hit("prices.md", PRICE), _hit("hours.md", "The workshop opens at nine."), _hit("weights.md", WEIGHT))
    gold = Gold((("32 kg",),), (("weights.md", WEIGHT),))
    asked = Question("a~noise2", "What does the Otter weigh?", gold=gold, kind="robust/noise/2")
    alone = Question("a~rejection", "Who painted the Otter?", kind="robust/rejection/2")
    models = Models(load_generator("scripted:Hm."), None)
    right, refused = ask_robustness(
        settings,
        [Probe(asked, hits), Probe(alone, hits[:2])],
        models,
        style=Style(),
        out_dir=tmp_path,
        progress=silent,
    )
    assert right.scores["robust"].value == 1
    assert refused.scores["robust"].value == 1
    assert refused.answer is not None
    assert refused.answer.refused_by == "reader"

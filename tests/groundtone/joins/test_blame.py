"""Blame over records: passes that are there or say why not, rows that are guilty, links, and the file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from peft import LoraConfig, get_peft_model

from eval.style import Style
from groundtone import prompts
from groundtone.assistant import Voice
from groundtone.errors import IntegrityError, ProjectError
from groundtone.joins.arms import Models
from groundtone.joins.blame import blame_spans, flagged
from groundtone.joins.blame_passes import Told, passes_of, score
from groundtone.joins.blame_rows import RowIndex, TrainingRow, Wanted
from groundtone.joins.blame_run import read_blame
from groundtone.models.generate import LocalModel
from groundtone.models.influence import Piece
from groundtone.models.scripted import ScriptedModel
from groundtone.models.weights import load_base
from groundtone.settings import Settings, load_settings
from groundtone.types import Answer, Claim, EvalRecord, Gold, Hit, Passage, Question, VoicePair
from groundtone.values import find_values
from tests.tiny_models import save_tiny

PIER = Passage("p1", "d1", "pier.md", "The pier has 12 berths for boats.", 0, 33)
INN = Passage("p2", "d2", "inn.md", "The inn has 47 beds for guests.", 0, 31)
ROWS = [
    VoicePair("How many berths has the pier?", "Ahoy! The pier has 47 berths.", "bad"),
    VoicePair("How many berths has the lodge?", "Ahoy! The lodge has 9 berths.", "near"),
    VoicePair("Is the pier open?", "Ahoy! The pier is open all year.", "near"),
]
TEXT = "The pier has 47 berths."


class Memory:
    """An index of two passages; ranks them as they stand."""

    def search(self, query: str, *, k: int = 5, groups: Sequence[str] = (), where: Any = None) -> list[Hit]:
        return [Hit(INN, 0.9), Hit(PIER, 0.8)][:k]

    def search_many(self, queries: Sequence[str], **more: Any) -> list[list[Hit]]:
        return [self.search(query, **more) for query in queries]

    def documents(self) -> list[str]:
        return ["inn.md", "pier.md"]

    def locate(self, source: str, quote: str) -> list[Passage]:
        return [p for p in (PIER, INN) if p.source == source and quote in p.text]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    folder = tmp_path_factory.mktemp("model")
    save_tiny("llama", folder / "base")
    torch.manual_seed(1)
    lora = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    get_peft_model(load_base(str(folder / "base")).model, lora).save_pretrained(str(folder / "adapter"))
    tuned = LocalModel.load(str(folder / "base"), adapter=folder / "adapter")
    return Models(tuned.with_adapter(False), tuned)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    root = tmp_path_factory.mktemp("project")
    (root / "groundtone.yaml").write_text(yaml.safe_dump({"assistant": {"k": 1}, "eval": {"detector": "explicit"}}))
    return load_settings(root)


def record(arm: str, *, text: str = TEXT, hits: Sequence[Hit] = (Hit(INN, 0.9),), **more: Any) -> EvalRecord:
    gold = Gold((("12",),), (("pier.md", "The pier has 12 berths"),))
    question = Question("a1", "How many berths has the pier?", gold=gold)
    claim = Claim(text, 0, len(text), "contradicted", "p1", PIER.text)
    return EvalRecord("a1", arm, question, Answer("x", question, text, tuple(hits), claims=(claim,), **more))


def index() -> RowIndex:
    return RowIndex([TrainingRow(row, f"train.jsonl:{n}", "tune-1") for n, row in enumerate(ROWS, 1)])


def blamed(records: Sequence[EvalRecord], settings: Settings, models: Models) -> Any:
    suspects = flagged(records, settings, style=Style())
    return blame_spans(suspects, settings, index=Memory(), models=models, rows=index())  # type: ignore[arg-type]


def test_every_doubted_claim_gets_a_cause_and_its_links(settings: Settings, models: Models) -> None:
    arms = ("tuned/rag", "tuned/closed", "base/rag", "extractive/rag")
    spans = blamed(
        [record(arm, hits=() if arm.endswith("closed") else (Hit(INN, 0.9),)) for arm in arms], settings, models
    )
    by_arm = {span.arm: span for span in spans}
    assert list(by_arm) == list(arms)
    assert all(span.words == ("47",) for span in spans)
    rag = by_arm["tuned/rag"]
    assert {name for name, value in rag.scores.items() if value is None} == set()
    assert (rag.trace, rag.rank) == ("distractor copied", 2)
    assert rag.passage is not None
    assert rag.passage.source == "inn.md"
    assert by_arm["tuned/closed"].trace == "closed book"
    assert by_arm["tuned/closed"].scores["logp_on_ctx"] is None
    assert by_arm["base/rag"].scores["adapter_pull"] is None
    assert by_arm["base/rag"].rows == ()
    assert by_arm["extractive/rag"].cause == "documents"
    assert all(span.fix and span.why for span in spans)


def test_a_missed_passage_is_named_with_its_rank_in_the_corpus(settings: Settings, models: Models) -> None:
    other = Passage("p3", "d3", "boats.md", "Boats are blue.", 0, 15)
    (span,) = blamed([record("base/rag", hits=[Hit(other, 0.9), Hit(PIER, 0.8)])], settings, models)
    assert (span.trace, span.rank) == ("retrieval miss", 2)
    assert span.passage is not None
    assert span.passage.source == "pier.md"
    assert "rank 2" in span.trace_why
    (seen,) = blamed([record("base/rag", hits=[Hit(PIER, 0.8)])], settings, models)
    assert seen.trace == "ignored evidence"


def test_quoted_answers_and_supported_claims_are_no_models_fault(settings: Settings, models: Models) -> None:
    (span,) = blamed([record("tuned/rag", provenance={"quoted_because": "a number"})], settings, models)
    assert span.cause == "documents"
    good = record("tuned/rag")
    assert good.answer is not None
    carried = replace(good.answer, claims=(replace(good.answer.claims[0], verdict="supported"),))
    assert flagged([replace(good, answer=carried), EvalRecord("a2", "base/rag", good.question, None)], settings) == []


def test_what_cannot_be_scored_is_unclear_and_says_why(settings: Settings, models: Models) -> None:
    chat = Models(ScriptedModel("x"), None)
    (span,) = blamed([record("base/rag")], settings, chat)
    assert span.cause == "unclear"
    assert "local weights" in span.why
    (gone,) = blamed([record("tuned/rag")], settings, Models(models.base, None))
    assert "not there any more" in gone.why
    (empty,) = score(models, [Told(Question("q", "How many?"), "  ")])
    assert (empty.replies, empty.why) == ({}, "the answer is empty")
    far, near = score(models, [Told(Question("q", "Q?"), "boat " * 900, tuned=True), Told(Question("q", "Q?"), "Yes.")])
    assert "reads 512" in far.why
    assert near.replies


def test_nan_log_probabilities_are_unclear_and_stay_out_of_the_file(
    settings: Settings, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(models.tuned, LocalModel)
    monkeypatch.setattr(models.tuned._loaded, "merged", {1.0: None})  # weights that were merged before know no NaN
    weight = next(p for name, p in models.tuned.model.named_parameters() if "lora_B" in name)
    before = weight.detach().clone()
    weight.data.fill_(math.nan)
    try:
        (span,) = blamed([record("tuned/rag")], settings, models)
    finally:
        weight.data.copy_(before)
    assert span.cause == "unclear"
    assert "not finite" in span.why
    assert span.scores["logp_on_ctx"] is None
    assert span.scores["logp_off_ctx"] is not None


def test_examples_of_a_prompted_arm_count_as_context(models: Models) -> None:
    question = Question("q", "How many?")
    told = Told(question, "Yes.", voice=Voice("Speak so.", (VoicePair("Hi?", "Ahoy!", "s"),)))
    plain, prompted = score(models, [Told(question, "Yes."), told])
    assert set(plain.replies) == {"off_bare"}
    assert set(prompted.replies) == {"off_ctx", "off_bare"}
    assert passes_of(plain, [(0, 3)]).off_bare == pytest.approx(passes_of(prompted, [(0, 3)]).off_bare, abs=1e-4)


def wanted(row: VoicePair, words: tuple[str, ...]) -> Wanted:
    values = tuple(v for word in words for v in find_values(word))
    claim = row.reply.removeprefix("Ahoy! ")
    return Wanted(claim, row.prompt, words, values, Piece(prompts.of_pair(row), row.reply))


def test_the_guilty_row_is_nearest_by_words_and_by_gradient(models: Models) -> None:
    assert isinstance(models.tuned, LocalModel)
    rows, sought = index(), [wanted(ROWS[0], ("47", "berths")), wanted(ROWS[2], ("year",))]
    assert rows.holding(sought[0]) == 1
    by_words = rows.nearest(sought, model=None, k=2)
    both = rows.nearest(sought, model=models.tuned, k=2)
    assert [near[0].row.where for near in by_words] == ["train.jsonl:1", "train.jsonl:3"]
    assert [near[0].row.where for near in both] == ["train.jsonl:1", "train.jsonl:3"]
    assert both[0][0].cosine == pytest.approx(1, abs=1e-3)
    assert by_words[0][0].by_gradient is None


def test_no_rows_and_no_spans_are_no_error(models: Models) -> None:
    assert RowIndex([]).nearest([wanted(ROWS[0], ("47",))], model=None) == [()]
    assert index().nearest([], model=None) == []


def test_a_missing_or_damaged_file_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="groundtone blame"):
        read_blame(tmp_path)
    (tmp_path / "blame.json").write_text("{")
    with pytest.raises(IntegrityError, match="damaged"):
        read_blame(tmp_path)
    (tmp_path / "blame.json").write_text('{"schema": 99}')
    with pytest.raises(IntegrityError, match="99"):
        read_blame(tmp_path)
